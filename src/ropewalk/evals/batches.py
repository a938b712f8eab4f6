"""Batches: what is measured, and kept, together. A stage is all batches of one measure."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ropewalk.errors import MeasurementError
from ropewalk.evals import retrieval
from ropewalk.result import SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ropewalk.data.recall import Encode
    from ropewalk.data.retrieval_task import RetrievalTask, Scoring
    from ropewalk.evals.tasks import RecallSample


@dataclass(frozen=True)
class Subject:
    """The model that is measured, and how it reads text."""

    model: Any
    tokenizer: Any
    encode: Encode


@dataclass(frozen=True)
class AnswerRule:
    """How answers to questions are read and scored; see `scoring`.

    Attributes:
        scoring: The rule's name.
        new_tokens: Tokens that are decoded at most.
    """

    scoring: Scoring
    new_tokens: int


@dataclass(frozen=True)
class Batch:
    """Samples that are measured together.

    Attributes:
        name: The same in every run of the same plan.
        parts: How much of its stage's work it is.
        measure: Does the work.
    """

    name: str
    parts: int
    measure: Callable[[], Sequence[SampleResult]]


@dataclass(frozen=True)
class Stage:
    """All batches of one measure."""

    measure: str
    batches: tuple[Batch, ...]

    @property
    def parts(self) -> int:
        """The whole of its work."""
        return sum(batch.parts for batch in self.batches)


def rule_of(task: RetrievalTask) -> AnswerRule:
    """How a task's answers are scored."""
    return AnswerRule(task.scoring, task.new_tokens)


def sample(
    measure: str,
    name: str,
    cluster: str,
    length: int,
    value: float,
    *,
    depth: float | None = None,
    chance: float | None = None,
    detail: str | None = None,
) -> SampleResult:
    """The record of a value; one that is not finite is a failed sample."""
    good = math.isfinite(value)
    return SampleResult(
        measure=measure,
        sample=name,
        cluster=cluster,
        length=length,
        depth=depth,
        status="ok" if good else "failed",
        value=value if good else None,
        chance=chance,
        detail=detail if good else "the model's logits are not finite",
    )


def recall_stage(
    subject: Subject, measure: str, recalls: Sequence[RecallSample], rule: AnswerRule, batch_tokens: int
) -> Stage:
    """Contexts with questions; a batch is contexts of one length.

    Args:
        subject: The model.
        measure: Name of the samples' measure.
        recalls: The contexts.
        rule: How answers are scored.
        batch_tokens: Bound on the tokens of one forward.
    """

    def batch(chosen: Sequence[RecallSample]) -> Batch:
        def measured() -> list[SampleResult]:
            return _ask(subject, measure, chosen, rule, batch_tokens)

        return Batch(f"{measure}/{chosen[0].sample}", len(chosen), measured)

    lengths = dict.fromkeys(recall.length for recall in recalls)
    return Stage(
        measure,
        tuple(
            batch(chosen)
            for length in lengths
            for _, chosen in chunks(
                [recall for recall in recalls if recall.length == length], max(1, batch_tokens // length)
            )
        ),
    )


def _ask(
    subject: Subject, measure: str, recalls: Sequence[RecallSample], rule: AnswerRule, batch_tokens: int
) -> list[SampleResult]:
    with memory(measure, recalls[0].length):
        answers = retrieval.answer_all(
            subject.model,
            subject.tokenizer,
            [recall.context for recall in recalls],
            new_tokens=rule.new_tokens,
            scoring=rule.scoring,
            batch_tokens=batch_tokens,
        )
    return [
        _answered(subject.tokenizer, measure, recall, answer, depth)
        for recall, row in zip(recalls, answers, strict=True)
        for answer, depth in zip(row, recall.depths, strict=True)
    ]


def _answered(
    tokenizer: Any, measure: str, recall: RecallSample, answer: retrieval.Answer, depth: float | None
) -> SampleResult:
    detail = None
    if answer.correct is False:
        said = tokenizer.decode(answer.tokens, skip_special_tokens=True)
        detail = f"expected {answer.question.answer_text}; began {said!r}"
    return sample(
        measure,
        f"{recall.sample}/{answer.number}",
        recall.sample,
        recall.length,
        math.nan if answer.failed or answer.score is None else answer.score,
        depth=depth,
        chance=answer.question.chance,
        detail=detail,
    )


@contextmanager
def memory(measure: str, length: int) -> Iterator[None]:
    """Says plainly that the device's memory is too small.

    Raises:
        MeasurementError: The work inside ran out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MeasurementError(
            f"the device must hold one batch of '{measure}' at {length:,} tokens; it ran out of memory. "
            "Lower batch_tokens, measure shorter lengths, or use a larger device."
        ) from error


def chunks(items: Sequence[Any], size: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """Parts of at most `size` items, each with the index of its first."""
    for start in range(0, len(items), size):
        yield start, items[start : start + size]
