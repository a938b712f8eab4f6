"""Builds what is measured, from documents, a tokenizer and a seed: the same samples for every model.

Each builder draws from a generator keyed by (seed, kind, number), so that adding one measurement leaves the samples
of the others as they are.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data import corpus, recall
from ropewalk.data.facts import part_of
from ropewalk.data.retrieval_task import depth_battery
from ropewalk.errors import DataError, OptionError
from ropewalk.evals.plan import DEPTH_DIGITS, EvaluationPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ropewalk.data.recall import Encode, RecallContext, Tokens
    from ropewalk.data.retrieval_task import RetrievalTask

REMEMBERED_CHARACTERS = 1000
KINDS = {"repeated": 1, "streams": 2, "passkey": 3, "key-value": 4}


@dataclass(frozen=True)
class Window:
    """Tokens whose last ones are scored.

    Attributes:
        sample: Identifier, the same for every model.
        cluster: Document or stream that it was cut from.
        tokens: `[longest]`.
        counted: Which of the last `scored` tokens count, `[scored]`.
    """

    sample: str
    cluster: str
    tokens: Tokens
    counted: NDArray[np.bool_]


@dataclass(frozen=True)
class RecallSample:
    """A context with its questions.

    Attributes:
        sample: Identifier, the same for every model.
        length: Tokens of context, question and answer.
        depths: Nominal depth of each question's fact, so that cells of a table have a common name; None for a question
            about the whole context.
    """

    sample: str
    length: int
    context: RecallContext
    depths: tuple[float | None, ...]


@dataclass(frozen=True)
class TextData:
    """Tokenised documents.

    Attributes:
        streams: Document name to tokens, for every document that holds at least one window.
        too_short: Documents that do not.
        fingerprint: Of the texts and of their tokens: equal only for the same texts under the same tokenizer.
    """

    streams: Mapping[str, Tokens]
    too_short: tuple[str, ...]
    fingerprint: str

    def chosen(self, documents: int | None, seed: int) -> TextData:
        """At most so many of the documents, chosen at random by the seed; all where the number is None."""
        names = sorted(self.streams)
        if documents is None or documents >= len(names):
            return self
        rng = np.random.default_rng([seed, len(names)])
        picked = sorted(rng.choice(len(names), size=documents, replace=False).tolist())
        streams = {names[index]: self.streams[names[index]] for index in picked}
        return TextData(streams, self.too_short, f"{self.fingerprint}-{documents}of{len(names)}-{seed}")


def encoder(tokenizer: Any) -> Encode:
    """Text to token ids without special tokens, remembering short pieces for the life of the encoder."""

    def fresh(text: str) -> Tokens:
        ids = tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return np.asarray(ids, dtype=np.int64)

    remembered = lru_cache(maxsize=10_000)(fresh)

    def encode(text: str) -> Tokens:
        return remembered(text) if len(text) <= REMEMBERED_CHARACTERS else fresh(text)

    return encode


def text_data(documents: Mapping[str, str], encode: Encode, *, longest: int) -> TextData:
    """Tokenises documents and keeps those that hold a window of `longest` tokens.

    Raises:
        DataError: No document is long enough.
    """
    streams = {name: encode(text) for name, text in documents.items()}
    digest = hashlib.sha256()
    for name, stream in streams.items():
        digest.update(f"{name}\0{len(stream)}\n".encode() + stream.tobytes())
    long_enough = {name: stream for name, stream in streams.items() if len(stream) >= longest}
    if not long_enough:
        sizes = max((len(stream) for stream in streams.values()), default=0)
        raise DataError(
            f"a text must hold one window of {longest:,} tokens, because its last tokens are scored with that much "
            f"context; the longest of {len(streams)} texts has {sizes:,} tokens. Give longer texts or shorter lengths."
        )
    texts = corpus.Corpus(documents).fingerprint
    too_short = tuple(name for name in streams if name not in long_enough)
    return TextData(long_enough, too_short, f"{texts}-{digest.hexdigest()[:8]}")


def text_windows(data: TextData, plan: EvaluationPlan) -> list[Window]:
    """Evenly spread windows of each document whose targets are disjoint.

    A document too short for all its windows gives as many as fit.
    """
    windows = []
    for name, stream in data.streams.items():
        room = len(stream) - plan.longest
        number = min(plan.windows_per_document, room // plan.scored + 1)
        for end in np.linspace(plan.longest, len(stream), number).astype(int):
            tokens = stream[end - plan.longest : end]
            windows.append(Window(f"{name}@{end}", name, tokens, np.ones(plan.scored, dtype=bool)))
    return windows


def repeated_windows(data: TextData, plan: EvaluationPlan) -> list[Window]:
    """A chunk, other text, the same chunk again as the target.

    The first copy ends before the part that the nearer of the two compared lengths sees, so a model gains from the
    longer one only by reading it.
    """
    names = list(data.streams)
    windows = []
    for index, name in enumerate(names):
        other = names[(index + 1) % len(names)]
        for number in range(plan.repeats_per_document):
            rng = np.random.default_rng((plan.seed, KINDS["repeated"], index, number))
            stream = data.streams[name]
            start = int(rng.integers(0, len(stream) - plan.scored + 1))
            chunk = stream[start : start + plan.scored]
            # With a single document the other text is the same document without the chunk.
            rest = np.delete(stream, np.s_[start : start + plan.scored]) if other == name else data.streams[other]
            filler = recall.TextFiller(rest)(rng, plan.longest - 2 * plan.scored)
            before = int(rng.integers(0, plan.longest - plan.near - 2 * plan.scored + 1))
            tokens = np.concatenate([filler[:before], chunk, filler[before:], chunk])
            windows.append(Window(f"{name}#{number}@{start}", name, tokens, np.ones(plan.scored, dtype=bool)))
    return windows


def far_streams(encode: Encode, plan: EvaluationPlan) -> list[Window]:
    """Key-value streams whose last records ask again for keys that stand only far back.

    Three parts: records of a first set of keys; records of other keys, drawn over and over; the first set again.
    The values of the last part count. (In a stream drawn freely from one set of keys a repeat from half a long
    window back is rare: with 180 words it has probability e^-13 at 32,768 tokens.)

    Raises:
        OptionError: The scored tokens do not hold a record.
    """
    return [_far_stream(encode, plan, number) for number in range(plan.streams)]


def _far_stream(encode: Encode, plan: EvaluationPlan, number: int) -> Window:
    rng = np.random.default_rng((plan.seed, KINDS["streams"], number))
    words = [recall.WORDS[i] for i in rng.permutation(len(recall.WORDS))]
    values = [str(int(v)) for v in rng.integers(1000, 10000, size=len(words))]
    newline = encode("\n")
    records, answers = [], []
    for word, value in zip(words, values, strict=True):
        prompt, answer = recall.split_answer(encode, recall.RECORD_QUESTION.format(word=word), value)
        records.append(np.concatenate([prompt, answer, newline]))
        answers.append(np.repeat([False, True, False], [len(prompt), len(answer), len(newline)]))
    sizes = np.cumsum([len(record) for record in records])
    asked = int(np.searchsorted(sizes, plan.scored, side="right"))
    if not 0 < asked < len(records):
        raise OptionError(
            f"the {plan.scored} scored tokens of a key-value stream must hold from 1 to {len(records) - 1} records of "
            f"about {len(records[0])} tokens. Score another number of tokens, or leave 'streams' out."
        )
    again = rng.permutation(asked)
    tail = np.concatenate([records[i] for i in again])
    counted = np.concatenate([answers[i] for i in again])
    middle: list[Tokens] = []
    room = plan.longest - 2 * len(tail)
    while (missing := room - sum(len(record) for record in middle)) > 0:
        middle.append(records[int(rng.integers(asked, len(records)))][-missing:])
    tokens = np.concatenate([*records[:asked], *middle[::-1], tail])
    counted = np.concatenate([np.zeros(plan.scored - len(counted), dtype=bool), counted])
    return Window(f"stream#{number}", f"stream#{number}", tokens, counted)


def passkey_samples(encode: Encode, plan: EvaluationPlan) -> list[RecallSample]:
    """One five-digit pass key in repeated sentences, at each length, depth and trial.

    Raises:
        OptionError: A length is too short for the prompt.
    """
    filler = recall.GrassFiller(encode(recall.GRASS))
    samples = []
    for length in plan.lengths:
        for index, depth in enumerate(plan.depths):
            for trial in range(plan.trials):
                rng = np.random.default_rng((plan.seed, KINDS["passkey"], length, index, trial))
                context = _fitting(recall.passkey, encode, filler, rng, length=length, depth=depth)
                samples.append(RecallSample(f"{length}/{depth:g}/{trial}", length, context, (depth,)))
    return samples


def key_value_samples(encode: Encode, plan: EvaluationPlan) -> list[RecallSample]:
    """Contexts of `plan.keys` records in repeated sentences at each length; every record is asked for.

    Raises:
        OptionError: A length is too short for the records.
    """
    filler = recall.GrassFiller(encode(recall.GRASS))
    depths = tuple(round(float(d), DEPTH_DIGITS) for d in np.linspace(0, 1, plan.keys))
    samples = []
    for length in plan.lengths:
        for number in range(plan.contexts):
            rng = np.random.default_rng((plan.seed, KINDS["key-value"], length, number))
            context = _fitting(recall.key_value, encode, filler, rng, length=length, keys=plan.keys)
            samples.append(RecallSample(f"{length}/{number}", length, context, depths))
    return samples


def retrieval_samples(
    task: RetrievalTask, encode: Encode, length: int, numbers: Iterable[int], *, seed: int, tenths: int = 10
) -> list[RecallSample]:
    """Contexts of a registered task for the cells (length, tenth of depth); context `number` is always the same.

    Where a task has many facts, a context asks one question in each tenth. Where it has a single fact, context `number`
    stands in tenth `number % tenths`. A question about the whole context has no depth. The name of a cell is the middle
    of its tenth: 0.05, 0.15, ...

    Raises:
        OptionError: The length is too short for the task.
    """
    key = zlib.crc32(task.name.encode())
    samples = []
    for number in numbers:
        rng = np.random.default_rng((seed, key, length, number))
        if task.placement == "whole":
            context = task.sample(encode, rng, length=length)
        else:
            context = depth_battery(task, encode, rng, length, tenths=tenths, tenth=number % tenths)
        depths = tuple(
            None if q.depth is None else round((part_of(q.depth, tenths) + 0.5) / tenths, DEPTH_DIGITS)
            for q in context.questions
        )
        samples.append(RecallSample(f"{length}/{number}", length, context, depths))
    return samples


def _fitting(build: Any, *arguments: Any, **sizes: Any) -> RecallContext:
    try:
        context: RecallContext = build(*arguments, **sizes)
    except ValueError as error:
        raise OptionError(f"{error}. Measure longer lengths, or leave this measurement out of tasks.") from error
    return context
