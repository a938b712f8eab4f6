"""What a run trains on: its sources as windows. The extension and the control of the gate share it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.documents import encode
from ropewalk.data.examples import read_examples
from ropewalk.data.gaps import GapWeights
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.data.sources import choose, open_source, source_bytes
from ropewalk.data.tally import Tally
from ropewalk.data.windows import TextStretches, TrainingWindows
from ropewalk.errors import OptionError
from ropewalk.result import DataReport, SourceWindows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ropewalk.data.sources import TokenSource
    from ropewalk.rope import Integers
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan
    from ropewalk.run.runfile import DataSettings, Packing

SHORTEST_RECALL = 256  # tokens
REPEATS = 0.4  # of the recall windows; the others hold pass keys, key-value records and streams
RECALL_TEXT = 2**24  # tokens of training text, at most, that recall tasks take their filler from
_CHOICE_KEY = 0xC401CE  # keeps the draw of examples apart from all others


def training_windows(
    plan: Plan, tokenizer: Any, reporter: Reporter | None = None
) -> tuple[TrainingWindows, DataReport]:
    """The training set of a plan, and what it was made of.

    Args:
        plan: A resolved run.
        tokenizer: The model's.
        reporter: Hears how far the tokens of large sources are.

    Raises:
        DataError: A source cannot be read, or holds nothing that can be trained on.
        OutputError: There is no room for the tokens of a large source.
    """
    settings, data = plan.run.train, plan.run.data
    size = settings.steps * settings.batch
    sources, texts = [], []
    for number, (paths, packing) in enumerate(sources_of(data)):
        source = _opened(plan, paths, number, tokenizer, reporter)
        chosen_packing = packing or ("best-fit" if source.store.has_conversations else "fill")
        text = TextStretches(
            source.store,
            window=plan.window,
            reach=plan.target_length,
            seed=settings.seed,
            packing=chosen_packing,
            chosen=source.chosen,
            source=number,
            multiple=settings.batch if data.drop_last else 1,
        )
        sources.append(source)
        texts.append(text)
    windows = TrainingWindows(
        texts,
        plan.sampler,
        target_length=plan.target_length,
        size=size,
        seed=settings.seed,
        weights=[source.weight for source in data.sources] or [1.0],
        recall=_recall(plan, tokenizer, sources),
        recall_share=data.recall_share,
        gaps=_gaps(plan),
    )
    return windows, _report(windows, sources)


def sources_of(data: DataSettings) -> list[tuple[tuple[str, ...], Packing | None]]:
    """Paths and packing of each source; `files` are one source."""
    if data.sources:
        return [((source.path,), source.packing or data.packing) for source in data.sources]
    return [(tuple(dict.fromkeys(data.files)), data.packing)]


def paths_of(data: DataSettings) -> list[str]:
    """The paths of all sources."""
    return [path for paths, _ in sources_of(data) for path in paths]


def texts_trained_on(data: DataSettings, texts: Iterable[str]) -> set[str]:
    """Which of some texts a run trains on from beginning to end.

    The training data is read in bounded memory; what lies on the hub alone is not compared, because that would
    download it a second time.
    """
    wanted = {hashlib.sha256(text.encode()).digest(): text for text in texts}
    here = [path for path in paths_of(data) if source_bytes([path]) is not None]
    return {wanted[digest] for path in here for digest in _text_digests(path, data.column) if digest in wanted}


def _opened(plan: Plan, paths: tuple[str, ...], number: int, tokenizer: Any, reporter: Reporter | None) -> TokenSource:
    """A source, read and chosen from."""
    data, seed = plan.run.data, plan.run.train.seed
    advance = reporter.advance if reporter else None
    source = open_source(paths, tokenizer, window=plan.window, column=data.column, advance=advance)
    if reporter and source.pace and source.store.path:
        size, seconds = source.pace
        reporter.stage(
            f"{source.report.source}: {size / 1e6:,.0f} MB of text became {source.report.tokens:,} tokens in "
            f"{seconds:,.0f} s ({size / 1e6 / seconds:.1f} MB/s)"
        )
    rng = np.random.default_rng(np.random.SeedSequence((seed, _CHOICE_KEY), spawn_key=(number,)))
    return choose(source, min_tokens=data.min_tokens, examples=data.examples, rng=rng)


def _recall(plan: Plan, tokenizer: Any, sources: Sequence[TokenSource]) -> RecallWindows | None:
    """Recall tasks whose filler is the text that is trained on, if the run asks for any."""
    if not plan.run.data.recall_share:
        return None
    if plan.window < SHORTEST_RECALL:
        raise OptionError(
            f"windows of recall tasks must hold a fact, text around it and questions: at least {SHORTEST_RECALL} "
            f"tokens; got windows of {plan.window}. Train with longer windows, or with recall_share = 0."
        )
    return RecallWindows(
        partial(encode, tokenizer),
        _first_tokens(sources, RECALL_TEXT),
        plan.window,
        shortest_passkey=plan.window // 2,
        repeat_share=REPEATS,
    )


def _gaps(plan: Plan) -> GapWeights | None:
    """Which targets count for more, if the run asks for it; a weight of 1 asks for nothing."""
    gap = plan.run.train.gap
    if gap is None or gap.weight == 1.0:
        return None
    return GapWeights(gap.weight, plan.config.rope.trained_length, gap.repeats)


def _first_tokens(sources: Sequence[TokenSource], most: int) -> Integers:
    parts: list[Integers] = []
    for source in sources:
        for document in source.chosen:
            parts.append(source.store.read(int(document), 0, most))
            most -= len(parts[-1])
            if not most:
                return np.concatenate(parts)
    return np.concatenate(parts)


def _report(windows: TrainingWindows, sources: Sequence[TokenSource]) -> DataReport:
    counts = windows.mix.counts(windows.size)
    fingerprints = [source.fingerprint for source in sources]
    whole = fingerprints[0]
    if len(fingerprints) > 1:
        whole = hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()[: len(whole)]
    return DataReport(
        fingerprint=whole,
        window=windows.window,
        sources=tuple(
            SourceWindows(
                report=source.report,
                packing=text.packing,
                windows=count,
                windows_per_sweep=len(text),
                padding_share=text.padding_share,
                left_out_tokens=text.left_out,
            )
            for source, text, count in zip(sources, windows.sources, counts, strict=False)
        ),
        recall_windows=sum(counts[len(sources) :]),
    )


def _text_digests(path: str, column: str | None) -> Iterator[bytes]:
    """SHA-256 of each document of a source."""
    digest = None
    for example in read_examples(path, Tally(), column=column):
        if example.text is None:
            continue
        if digest and not example.continues:
            yield digest.digest()
        digest = digest if digest and example.continues else hashlib.sha256()
        digest.update(example.text.encode())
    if digest:
        yield digest.digest()
