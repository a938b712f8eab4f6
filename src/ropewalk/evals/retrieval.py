"""Asks a model for a number in its context and reads its greedy answer, without decoding where nothing is to learn.

Protocol: ten greedy tokens, the first run of digits in them, equal to the expected number (Mohtashami & Jaggi 2023,
arXiv:2305.16300, and after them YaRN and PoSE). The result is exactly that of plain decoding, by three savings:

1.  Teacher forcing. If the argmax at every place of question + answer is the next answer token, greedy decoding
    writes the answer; at the first other token it writes that one. So one forward gives the beginning of what greedy
    decoding would write, and mostly the verdict.
2.  Only where that beginning is still undecided is it decoded further, and only until the verdict is certain.
3.  A context is read once; all its questions run as a batch on copies of its cache.

With a rope that depends on the length of the call none of this is exact; each token is then decoded from a full
forward without a cache, which is what such a model means by its own definition.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.evals.static_rope import depends_on_length, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ropewalk.data.recall import Question, RecallContext

NEW_TOKENS = 10
BATCH_TOKENS = 8192
# Copies of a cache that exist at one time, for the questions about its context.
CACHE_BYTES = 2**29
DIGITS = re.compile("[0-9]+")


@dataclass
class Answer:
    """A model's answer to one question.

    Attributes:
        context, number: Which context, and which of its questions.
        question: What was asked.
        tokens: The greedy tokens known so far.
        correct: The verdict, None while it is open.
        failed: The model gave logits that are not finite.
    """

    context: int
    number: int
    question: Question
    tokens: list[int] = field(default_factory=list)
    correct: bool | None = None
    failed: bool = False


@dataclass(frozen=True)
class _Reader:
    """Turns token ids into verdicts."""

    tokenizer: Any
    ends: frozenset[int]
    new_tokens: int
    at_once: bool

    def read(self, answer: Answer, tokens: Iterable[int]) -> None:
        """Appends greedy tokens until the verdict is certain."""
        for token in tokens:
            if answer.correct is not None or answer.failed:
                return
            ended = token in self.ends
            if not ended:
                answer.tokens.append(token)
            finished = ended or len(answer.tokens) == self.new_tokens
            text = self.text(answer)
            answer.correct = verdict(text, answer.question.answer_text, finished=finished, at_once=self.at_once)

    def text(self, answer: Answer) -> str:
        return str(self.tokenizer.decode(answer.tokens, skip_special_tokens=True))


def verdict(text: str, expected: str, *, finished: bool, at_once: bool = False) -> bool | None:
    """Whether the first run of digits in `text` is the expected number; None while more text could still decide.

    Numbers compare as numbers, so leading zeros do not matter, and as wholes: 123456 is not 12345. With `at_once` only
    blanks may stand before the number.
    """
    match = DIGITS.search(text)
    if at_once and text[: match.start() if match else None].strip():
        return False
    if match is None:
        return False if finished else None
    run = match.group()
    if match.end() < len(text) or finished:
        return int(run) == int(expected)
    beginning, wanted = run.lstrip("0"), expected.lstrip("0")
    return None if wanted.startswith(beginning) else False


def answer_all(
    model: Any,
    tokenizer: Any,
    contexts: Sequence[RecallContext],
    *,
    new_tokens: int = NEW_TOKENS,
    at_once: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    cache_bytes: int = CACHE_BYTES,
) -> list[list[Answer]]:
    """Answers of a model to every question of every context.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        contexts: Contexts of any lengths; those of one length share forwards.
        new_tokens: Length of the answer that is read, in tokens.
        at_once: The number must stand at the beginning of the answer, as after `word=`; most wrong answers then need
            no decoding.
        batch_tokens: Bound on the tokens of one forward.
        cache_bytes: Bound on the bytes of the copies of a cache.

    Returns:
        For each context the answers to its questions, in order, each with a verdict unless the model failed.
    """
    answers = [
        [Answer(index, number, question) for number, question in enumerate(context.questions)]
        for index, context in enumerate(contexts)
    ]
    reader = _Reader(tokenizer, _end_tokens(model), new_tokens, at_once)
    order = sorted(range(len(contexts)), key=lambda index: len(contexts[index].context))
    longest = max((context.length for context in contexts), default=0) + new_tokens
    with torch.inference_mode():
        if depends_on_length(model, longest):
            _answer_without_cache(model, reader, contexts, [a for row in answers for a in row], batch_tokens)
            return answers
        for length, group in groupby(order, key=lambda index: len(contexts[index].context)):
            for chosen in _chunks(list(group), max(1, batch_tokens // length)):
                _answer_group(model, reader, contexts, [answers[i] for i in chosen], chosen, cache_bytes)
    return answers


def _answer_group(
    model: Any,
    reader: _Reader,
    contexts: Sequence[RecallContext],
    answers: Sequence[Sequence[Answer]],
    chosen: Sequence[int],
    cache_bytes: int,
) -> None:
    """Contexts of one length: read once, then asked, then decoded where the verdict is open."""
    tokens = _tensor(model, [contexts[index].context for index in chosen])
    cache = model(input_ids=tokens, use_cache=True, logits_to_keep=1).past_key_values
    row_of = {index: row for row, index in enumerate(chosen)}
    per_row = max(1, _cache_bytes(cache) // len(chosen))
    rows = max(1, cache_bytes // per_row)
    for batch in _chunks([answer for group in answers for answer in group], rows):
        _force(model, reader, _selected(cache, [row_of[a.context] for a in batch]), batch)
    undecided = sorted((a for group in answers for a in group if _is_open(a)), key=_suffix_length)
    for _, same in groupby(undecided, key=_suffix_length):
        for batch in _chunks(list(same), rows):
            _decode(model, reader, _selected(cache, [row_of[a.context] for a in batch]), batch)


def _force(model: Any, reader: _Reader, cache: Any, batch: Sequence[Answer]) -> None:
    """What greedy decoding writes as long as it follows the expected answer, and the first token that differs."""
    suffixes = [np.concatenate([a.question.prompt, a.question.answer]) for a in batch]
    width = max(len(suffix) for suffix in suffixes)
    # Padding stands after everything that is read, where a causal model does not look.
    padded = [np.pad(suffix, (0, width - len(suffix)), mode="edge") for suffix in suffixes]
    logits = model(input_ids=_tensor(model, padded), past_key_values=cache, use_cache=True).logits
    greedy = logits.argmax(-1).cpu().numpy()
    finite = torch.isfinite(logits).all(-1).cpu().numpy()
    for row, answer in enumerate(batch):
        first, size = len(answer.question.prompt) - 1, len(answer.question.answer)
        written = greedy[row, first : first + size + 1]
        if not finite[row, : first + size + 1].all():
            answer.failed = True
            continue
        same = written[:-1] == answer.question.answer
        known = size if same.all() else int(np.argmin(same))
        reader.read(answer, written[: known + 1].tolist())


def _decode(model: Any, reader: _Reader, cache: Any, batch: Sequence[Answer]) -> None:
    """Greedy decoding on a cache of contexts, from question and known tokens of one length in all rows."""
    tokens = _tensor(model, [np.concatenate([a.question.prompt, np.asarray(a.tokens, dtype=np.int64)]) for a in batch])
    while True:
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        greedy = _take(reader, batch, logits)
        if not any(_is_open(answer) for answer in batch):
            return
        tokens = greedy[:, None]


def _answer_without_cache(
    model: Any, reader: _Reader, contexts: Sequence[RecallContext], answers: Sequence[Answer], batch_tokens: int
) -> None:
    """Every token from a forward over all tokens before it."""

    def tokens_before(answer: Answer) -> list[np.ndarray[Any, Any]]:
        return [contexts[answer.context].context, answer.question.prompt, np.asarray(answer.tokens, dtype=np.int64)]

    def size(answer: Answer) -> int:
        return sum(len(part) for part in tokens_before(answer))

    while undecided := sorted((a for a in answers if _is_open(a)), key=size):
        for length, same in groupby(undecided, key=size):
            # A list first: the batches below make answers longer while the groups are still being read.
            for batch in _chunks(list(same), max(1, batch_tokens // length)):
                tokens = _tensor(model, [np.concatenate(tokens_before(answer)) for answer in batch])
                settle(model, tokens)
                _take(reader, batch, model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[:, -1])


def _take(reader: _Reader, batch: Sequence[Answer], logits: torch.Tensor) -> torch.Tensor:
    greedy = logits.argmax(-1)
    finite = torch.isfinite(logits).all(-1).tolist()
    for answer, token, good in zip(batch, greedy.tolist(), finite, strict=True):
        if good:
            reader.read(answer, [token])
        elif _is_open(answer):
            answer.failed = True
    return greedy


def _is_open(answer: Answer) -> bool:
    return answer.correct is None and not answer.failed


def _suffix_length(answer: Answer) -> int:
    return len(answer.question.prompt) + len(answer.tokens)


def _selected(cache: Any, rows: Sequence[int]) -> Any:
    """A cache of its own for the given rows, which may repeat; the original stays as it is.

    Layers replace their tensors when they grow, so a shallow copy of each layer is enough.
    """
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(torch.as_tensor(rows))
    return chosen


def _cache_bytes(cache: Any) -> int:
    tensors = (t for layer in cache.layers for t in vars(layer).values() if isinstance(t, torch.Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _end_tokens(model: Any) -> frozenset[int]:
    """Tokens at which plain `generate` stops."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)


def _tensor(model: Any, rows: Sequence[np.ndarray[Any, Any]]) -> torch.Tensor:
    return torch.as_tensor(np.stack(rows).astype(np.int64), device=model.device)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
