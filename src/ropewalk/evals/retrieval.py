"""Asks a model for what stands in its context and reads its greedy answer, decoding only where that can still decide.

Protocol: `new_tokens` greedy tokens, scored by one of the rules of `scoring`. The result is exactly that of plain
decoding, by three savings:

1.  Teacher forcing. If the argmax at every place of question + answer is the next answer token, greedy decoding
    writes the answer; at the first other token it writes that one. So one forward gives the beginning of what greedy
    decoding would write, and mostly the verdict.
2.  Only where that beginning is still undecided is it decoded further, and only until the verdict is certain.
3.  A context is read once; all its questions run as a batch on copies of its cache.

With a rope that depends on the length of the call none of this is exact; each token is then decoded from a full
forward without a cache, which is what such a model means by its own definition.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.cache import cache_bytes as bytes_of
from ropewalk.adapters.cache import selected
from ropewalk.evals.scoring import score
from ropewalk.evals.static_rope import depends_on_length, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ropewalk.data.recall import Question, RecallContext, Tokens
    from ropewalk.data.retrieval_task import Scoring

NEW_TOKENS = 10
BATCH_TOKENS = 8192
# Copies of a cache that exist at one time, for the questions about its context.
CACHE_BYTES = 2**29


@dataclass
class Answer:
    """A model's answer to one question.

    Attributes:
        context, number: Which context, and which of its questions.
        question: What was asked.
        tokens: The greedy tokens known so far.
        score: 0 to 1, None while it is open.
        failed: The model gave logits that are not finite.
    """

    context: int
    number: int
    question: Question
    tokens: list[int] = field(default_factory=list)
    score: float | None = None
    failed: bool = False

    @property
    def correct(self) -> bool | None:
        """Whether the score is full; None while it is open."""
        return None if self.score is None else self.score == 1

    @property
    def is_open(self) -> bool:
        return self.score is None and not self.failed


@dataclass(frozen=True)
class Reader:
    """Turns token ids into scores."""

    tokenizer: Any
    ends: frozenset[int]
    new_tokens: int
    scoring: Scoring

    @classmethod
    def of(cls, model: Any, tokenizer: Any, new_tokens: int, scoring: Scoring) -> Reader:
        """A reader that ends where plain `generate` of the model ends."""
        ends = model.generation_config.eos_token_id
        known = () if ends is None else (ends,) if isinstance(ends, int) else ends
        return cls(tokenizer, frozenset(known), new_tokens, scoring)

    def read(self, answer: Answer, tokens: Iterable[int]) -> None:
        """Appends greedy tokens until the score is certain."""
        for token in tokens:
            if not answer.is_open:
                return
            ended = token in self.ends
            if not ended:
                answer.tokens.append(token)
            finished = ended or len(answer.tokens) == self.new_tokens
            answer.score = score(self.scoring, self.text(answer), answer.question, finished=finished)

    def text(self, answer: Answer) -> str:
        return str(self.tokenizer.decode(answer.tokens, skip_special_tokens=True))


def answer_all(
    model: Any,
    tokenizer: Any,
    contexts: Sequence[RecallContext],
    *,
    new_tokens: int = NEW_TOKENS,
    at_once: bool = False,
    scoring: Scoring | None = None,
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
            no decoding. Short for the scoring `number-at-once`.
        scoring: How answers are scored, `first-number` by default.
        batch_tokens: Bound on the tokens of one forward.
        cache_bytes: Bound on the bytes of the copies of a cache.

    Returns:
        For each context the answers to its questions, in order, each with a score unless the model failed.
    """
    answers = [
        [Answer(index, number, question) for number, question in enumerate(context.questions)]
        for index, context in enumerate(contexts)
    ]
    rule = scoring or ("number-at-once" if at_once else "first-number")
    reader = Reader.of(model, tokenizer, new_tokens, rule)
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
    reader: Reader,
    contexts: Sequence[RecallContext],
    answers: Sequence[Sequence[Answer]],
    chosen: Sequence[int],
    cache_bytes: int,
) -> None:
    """Contexts of one length: read once, then asked."""
    cache = read(model, [contexts[index].context for index in chosen])
    rows = {index: row for row, index in enumerate(chosen)}
    ask(model, reader, cache, rows, [answer for group in answers for answer in group], cache_bytes)


def read(model: Any, contexts: Sequence[Tokens]) -> Any:
    """The cache of contexts of one length."""
    return model(input_ids=tensor(model, contexts), use_cache=True, logits_to_keep=1).past_key_values


def ask(
    model: Any,
    reader: Reader,
    cache: Any,
    rows: Mapping[int, int],
    answers: Sequence[Answer],
    cache_bytes: int = CACHE_BYTES,
) -> None:
    """Asks questions about contexts that are read already, and decodes where a score is open.

    Args:
        model: The model that read them.
        reader: Scores the answers.
        cache: Of the contexts; it stays as it is.
        rows: Number of a context to its row in the cache.
        answers: The questions, to be answered.
        cache_bytes: Bound on the bytes of the copies of the cache.
    """
    most = max(1, cache_bytes * len(rows) // max(1, bytes_of(cache)))

    def copied(batch: Sequence[Answer]) -> Any:
        room = max(len(a.question.prompt) + max(len(a.question.answer), reader.new_tokens) for a in batch)
        return selected(cache, [rows[answer.context] for answer in batch], room)

    for batch in _chunks(list(answers), most):
        _force(model, reader, copied(batch), batch)
    undecided = sorted((answer for answer in answers if answer.is_open), key=_suffix_length)
    for _, same in groupby(undecided, key=_suffix_length):
        for batch in _chunks(list(same), most):
            _decode(model, reader, copied(batch), batch)


def _force(model: Any, reader: Reader, cache: Any, batch: Sequence[Answer]) -> None:
    """What greedy decoding writes as long as it follows the expected answer, and the first token that differs."""
    suffixes = [np.concatenate([a.question.prompt, a.question.answer]) for a in batch]
    width = max(len(suffix) for suffix in suffixes)
    # Padding stands after everything that is read, where a causal model does not look.
    padded = [np.pad(suffix, (0, width - len(suffix)), mode="edge") for suffix in suffixes]
    begin = min(len(answer.question.prompt) for answer in batch) - 1  # logits of the question itself are not read
    inputs = tensor(model, padded)
    logits = model(input_ids=inputs, past_key_values=cache, use_cache=True, logits_to_keep=width - begin).logits
    greedy = logits.argmax(-1).cpu().numpy()
    finite = torch.isfinite(logits).all(-1).cpu().numpy()
    for row, answer in enumerate(batch):
        first, size = len(answer.question.prompt) - 1 - begin, len(answer.question.answer)
        written = greedy[row, first : first + size + 1]
        if not finite[row, : first + size + 1].all():
            answer.failed = True
            continue
        same = written[:-1] == answer.question.answer
        known = size if same.all() else int(np.argmin(same))
        reader.read(answer, written[: known + 1].tolist())


def _decode(model: Any, reader: Reader, cache: Any, batch: Sequence[Answer]) -> None:
    """Greedy decoding on a cache of contexts, from question and known tokens of one length in all rows."""
    tokens = tensor(model, [np.concatenate([a.question.prompt, np.asarray(a.tokens, dtype=np.int64)]) for a in batch])
    while True:
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
        greedy = _take(reader, batch, logits)
        still = [row for row, answer in enumerate(batch) if answer.is_open]
        if not still:
            return
        if 2 * len(still) <= len(batch):
            batch, greedy = [batch[row] for row in still], greedy[still]
            cache = selected(cache, still, reader.new_tokens)
        tokens = greedy[:, None]


def _answer_without_cache(
    model: Any, reader: Reader, contexts: Sequence[RecallContext], answers: Sequence[Answer], batch_tokens: int
) -> None:
    """Every token from a forward over all tokens before it."""

    def tokens_before(answer: Answer) -> list[np.ndarray[Any, Any]]:
        return [contexts[answer.context].context, answer.question.prompt, np.asarray(answer.tokens, dtype=np.int64)]

    def size(answer: Answer) -> int:
        return sum(len(part) for part in tokens_before(answer))

    while undecided := sorted((a for a in answers if a.is_open), key=size):
        for length, same in groupby(undecided, key=size):
            # A list first: the batches below make answers longer while the groups are still being read.
            for batch in _chunks(list(same), max(1, batch_tokens // length)):
                tokens = tensor(model, [np.concatenate(tokens_before(answer)) for answer in batch])
                settle(model, tokens)
                _take(reader, batch, model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[:, -1])


def _take(reader: Reader, batch: Sequence[Answer], logits: torch.Tensor) -> torch.Tensor:
    greedy = logits.argmax(-1)
    finite = torch.isfinite(logits).all(-1).tolist()
    for answer, token, good in zip(batch, greedy.tolist(), finite, strict=True):
        if good:
            reader.read(answer, [token])
        elif answer.is_open:
            answer.failed = True
    return greedy


def _suffix_length(answer: Answer) -> int:
    return len(answer.question.prompt) + len(answer.tokens)


def tensor(model: Any, rows: Sequence[Tokens]) -> torch.Tensor:
    """Rows of one length on the model's device, `[rows, tokens]`."""
    return torch.as_tensor(np.stack(rows).astype(np.int64), device=model.device)


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
