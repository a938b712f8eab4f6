"""One source of training data as tokens: read once, kept if it is large, and chosen from.

Small sources are tokenized anew in memory, which takes seconds. Larger ones go through a file; see `token_files`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ropewalk.data.chat import ChatEncoder
from ropewalk.data.documents import encode_all
from ropewalk.data.examples import BUILT_IN, lies_on_the_hub, local_path, read_examples, source_files
from ropewalk.data.source_identity import TextDigest, identity
from ropewalk.data.store import SCHEMA, StoreWriter, TokenStore
from ropewalk.data.tally import Tally
from ropewalk.data.token_files import find_store, keep_store
from ropewalk.errors import DataError
from ropewalk.result.data import Reason, SourceReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from ropewalk.data.examples import Example
    from ropewalk.rope import Integers

    Advance = Callable[[str, int, int], None]
    Row = tuple[Example, NDArray[Any], NDArray[np.bool_] | None]

IN_MEMORY_BYTES = 2**24
TOGETHER_CHARACTERS = 2**21  # tokenized in one call: a fast tokenizer holds some hundred bytes a token meanwhile
PLACES = 5


@dataclass(frozen=True)
class TokenSource:
    """A source that was read.

    Attributes:
        store: Its documents; a conversation that was split gives several.
        report: What was read, and what of it is used.
        fingerprint: First 16 hex digits of SHA-256 over the names and texts of what was read; that of the built-in
            corpus is its `Corpus.fingerprint`.
        chosen: Indices of the documents that are trained on, ascending.
        pace: Bytes of text and seconds that tokenizing took; None where the tokens were there.
    """

    store: TokenStore
    report: SourceReport
    fingerprint: str
    chosen: Integers
    pace: tuple[int, float] | None = None


def open_source(
    paths: Sequence[str],
    tokenizer: Any,
    *,
    window: int,
    column: str | None = None,
    advance: Advance | None = None,
) -> TokenSource:
    """Tokenizes a source, or finds its tokens where they were kept.

    Args:
        paths: What `read_examples` takes; several are read as one source.
        tokenizer: A transformers tokenizer.
        window: Conversations are split into pieces of at most this many tokens.
        column: Key of the text or conversation in an example.
        advance: Called with a label, the megabytes done and those in all while a large source is tokenized.

    Raises:
        DataError: See `read_examples`.
        OutputError: There is no room for the tokens.
    """
    size = source_bytes(paths)
    if size is not None and size <= IN_MEMORY_BYTES:
        batches: list[pa.RecordBatch] = []
        with StoreWriter(batches.append) as writer:
            facts = _write(paths, tokenizer, writer, window=window, column=column)
        return _source(TokenStore(pa.Table.from_batches(batches, SCHEMA)), facts, is_new=True)
    name = identity(paths, tokenizer, column)
    with_window = f"{name}-{window}"  # only where conversations are split do tokens depend on it
    found = find_store(name) or find_store(with_window)
    if found:
        return _source(*found, is_new=False)

    def fill(writer: StoreWriter) -> tuple[str, dict[str, Any]]:
        told = _Progress(size, advance)
        facts = _write(paths, tokenizer, writer, window=window, column=column, told=told)
        return (with_window if facts["report"]["template"] else name), facts

    return _source(*keep_store(fill), is_new=True)


def choose(source: TokenSource, *, min_tokens: int, examples: int | None, rng: np.random.Generator) -> TokenSource:
    """The source without its short examples, and at most so many of the others.

    Args:
        source: Where to choose from.
        min_tokens: Tokens of an example, whole, below which it is left out.
        examples: Documents to draw; a conversation that was split counts once for each piece. None takes all.
        rng: Draws them.

    Raises:
        DataError: Nothing is left.
    """
    store, report = source.store, source.report
    sizes = np.bincount(store.examples, weights=store.lengths)
    chosen = np.flatnonzero(sizes[store.examples] >= min_tokens)
    if not len(chosen):
        raise DataError(
            f"a source of training data must hold at least one example of min_tokens = {min_tokens:,} tokens; the "
            f"longest of the {report.used:,} in '{report.source}' has {int(sizes.max()):,}. Lower [data] min_tokens, "
            "or give longer examples."
        )
    report = _without(source, chosen, report, f"shorter than {min_tokens:,} tokens")
    if examples is not None and examples < len(chosen):
        chosen = np.sort(rng.choice(chosen, size=examples, replace=False, shuffle=False))
        report = _without(source, chosen, report, f"not among the {examples:,} drawn")
    return replace(source, chosen=chosen, report=report)


def source_bytes(paths: Sequence[str]) -> int | None:
    """Size of the files of a source; that of a data set on the hub is not known."""
    if any(map(lies_on_the_hub, paths)):
        return None
    local = [local_path(path) for path in paths if path != BUILT_IN]
    return sum(file.stat().st_size for path in local for file in source_files(path))


class _Progress:
    """Tells how many megabytes of text are tokenized, each once."""

    def __init__(self, size: int | None, advance: Advance | None) -> None:
        self.total, self.advance, self.done = -(-(size or 0) // 10**6), advance, 0

    def __call__(self, size: int) -> None:
        """Files hold more than their texts, so that the end is never reached before it is told."""
        done = min(size // 10**6, self.total - 1)
        if self.advance and done > self.done:
            self.done = done
            self.advance("megabytes of text", done, self.total)

    def end(self) -> None:
        if self.advance and self.total:
            self.advance("megabytes of text", self.total, self.total)


def _write(
    paths: Sequence[str],
    tokenizer: Any,
    writer: StoreWriter,
    *,
    window: int,
    column: str | None,
    told: _Progress | None = None,
) -> dict[str, Any]:
    """Writes every row of a source; returns what is to be known about it."""
    started = time.monotonic()
    tally, digest, name = Tally(), TextDigest(), ", ".join(paths)
    encoder = _Encoder(tokenizer, tally, window)
    number, tokens_read, learnt, last = -1, 0, 0, None
    examples = digest.through(example for path in paths for example in read_examples(path, tally, column=column))
    for example, tokens, supervised in encoder.rows(examples):
        number += not (example is last or example.continues)
        writer.add(example.name, tokens, supervised, example=number, continues=example.continues)
        tokens_read += len(tokens)
        learnt += len(tokens) if supervised is None else int(supervised.sum())
        last = example
        if told:
            told(digest.bytes)
    if not tokens_read:
        raise tally.nothing_used(name)
    if told:
        told.end()
    template = encoder.chat.template_source if encoder.chat else None
    report = tally.report(name, tokens=tokens_read, supervised=learnt, template=template)
    return {
        "report": report.model_dump(mode="json"),
        "fingerprint": digest.hex(),
        "bytes": digest.bytes,
        "seconds": time.monotonic() - started,
    }


class _Encoder:
    """Documents and conversations as tokens, in the order in which they come.

    Attributes:
        chat: Encodes conversations; None until the first one comes, because not every tokenizer can.
    """

    def __init__(self, tokenizer: Any, tally: Tally, window: int) -> None:
        self.tokenizer, self.tally, self.window = tokenizer, tally, window
        self.chat: ChatEncoder | None = None

    def rows(self, examples: Iterable[Example]) -> Iterator[Row]:
        for is_conversation, group in groupby(examples, key=lambda example: example.turns is not None):
            if not is_conversation:
                yield from self._texts(group)
                continue
            self.chat = self.chat or ChatEncoder(self.tokenizer)
            for example, encoded in self.chat.pieces(group, self.tally, window=self.window):
                yield example, encoded.tokens, encoded.supervised

    def _texts(self, examples: Iterable[Example]) -> Iterator[Row]:
        waiting: list[Example] = []
        characters = 0
        for example in examples:
            waiting.append(example)
            characters += len(example.text or "")
            if characters >= TOGETHER_CHARACTERS:
                yield from self._together(waiting)
                waiting, characters = [], 0
        yield from self._together(waiting)

    def _together(self, examples: list[Example]) -> Iterator[Row]:
        tokens = encode_all(self.tokenizer, [example.text or "" for example in examples])
        yield from ((example, row, None) for example, row in zip(examples, tokens, strict=True))


def _source(store: TokenStore, facts: dict[str, Any], *, is_new: bool) -> TokenSource:
    report = SourceReport.model_validate(facts["report"])
    pace = (int(facts["bytes"]), float(facts["seconds"])) if is_new else None
    return TokenSource(store, report, facts["fingerprint"], np.arange(len(store)), pace)


def _without(source: TokenSource, chosen: Integers, report: SourceReport, why: str) -> SourceReport:
    """The report when only these documents are used; the examples that are not are dropped for a further reason."""
    store = source.store
    used = np.unique(store.examples[chosen])
    gone = report.used - len(used)
    if not gone and len(chosen) == len(store):
        return report
    lost = np.setdiff1d(np.arange(len(store)), chosen)
    lost = lost[~np.isin(store.examples[lost], used)]
    first = [store.name(int(d)) for d in lost[np.unique(store.examples[lost], return_index=True)[1]][:PLACES]]
    reason = (Reason(kind=why, examples=gone, first=tuple(first)),) if gone else ()
    return report.model_copy(
        update={
            "used": len(used),
            "dropped": (*report.dropped, *reason),
            "tokens": int(store.lengths[chosen].sum()),
            "supervised": int(store.learnt[chosen].sum()),
        }
    )
