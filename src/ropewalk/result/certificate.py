"""How far the context really reaches: references, cells, NLL checks and the lengths that follow."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import computed_field, model_validator

from ropewalk.result.records import Record


class CertificateReference(Record):
    """What the untouched model does at its trained length, and the threshold that follows, fixed beforehand.

    Attributes:
        task: Name of the task.
        length: The trained length, in tokens.
        score: Mean score of all answers.
        low, high: Its two-sided 95 % interval, clustered by context.
        chance: Score of a random choice.
        threshold: What every cell's score must be at least, or None if the task is not certifiable.
        contexts, samples, failed: Contexts, good answers, and answers that failed.
        reason: Why the task is not certifiable, else None.
    """

    task: str
    length: int
    score: float
    low: float
    high: float
    chance: float
    threshold: float | None
    contexts: int
    samples: int
    failed: int
    reason: str | None = None


class CertificateCell(Record):
    """One task at one length and one tenth of its depth.

    Attributes:
        tenth: 0 for facts in the first tenth of the context to 9, or -1 for a task about the whole context.
        verdict: `passed`: the lower bound is at least the threshold; `below`: the upper bound is below it.
        score: Mean score of the good answers up to the verdict, or None without any.
        low, high: One-sided bounds, each at 95 %, valid at every look.
        samples, failed: Good and failed answers up to the verdict; one per context.
        reason: Why a cell is undecided, else None.
    """

    task: str
    length: int
    tenth: int
    verdict: Literal["passed", "below", "undecided"]
    score: float | None
    low: float
    high: float
    threshold: float
    samples: int
    failed: int
    reason: str | None = None


class NllCheck(Record):
    """NLL of the same tokens given `length` tokens minus given `baseline_length`, nats per token.

    Attributes:
        verdict: `passed`: the upper bound is at most the margin.
        value, upper: Mean and one-sided 95 % upper bound, or None without a bound.
        samples, failed: Pairs of windows, and pairs that failed.
        clusters: What the bound takes for independent, named by `unit`: documents, or windows of few documents.
        reason: Why it did not pass, else None.
    """

    length: int
    baseline_length: int
    verdict: Literal["passed", "not shown", "undecided"]
    value: float | None
    upper: float | None
    margin: float
    samples: int
    failed: int
    clusters: int
    unit: Literal["documents", "windows"]
    reason: str | None = None


class Certificate(Record):
    """How far the context really reaches, with 95 % confidence.

    Attributes:
        lengths: Lengths of the retrieval test, in tokens, increasing.
        schedule: When the retrieval test looked, and what each look spent.
        retrieval_length: The longest length up to which every cell passed; 0 if not even the first did; None if no
            task is certifiable or none was tested.
        nll_length: The longest length up to which every NLL check passed; None if none was made.
        ruler_length: RULER's effective length (mean score of at least 85.6 %), or None if not measured.
        k_max: Position Interpolation's k_max, or None if not measured.
        length: The headline: the smaller of the two lengths; None where either was not certified at all.
    """

    trained_length: int
    lengths: tuple[int, ...]
    schedule: str
    references: tuple[CertificateReference, ...]
    cells: tuple[CertificateCell, ...]
    nll: tuple[NllCheck, ...]
    retrieval_length: int | None
    nll_length: int | None
    ruler_length: int | None = None
    k_max: int | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int | None:
        """The smaller of the two lengths; written for readers of the file, and worked out anew when it is read."""
        if self.retrieval_length is None or self.nll_length is None:
            return None
        return min(self.retrieval_length, self.nll_length)

    @model_validator(mode="before")
    @classmethod
    def _without_length(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if name != "length"} if type(values) is dict else values

    @property
    def undecided(self) -> tuple[CertificateCell, ...]:
        """Cells that ended neither way."""
        return tuple(cell for cell in self.cells if cell.verdict == "undecided")

    def __str__(self) -> str:
        def tokens(length: int | None) -> str:
            if length is None:
                return "not certifiable"
            return f"{length:,} tokens" if length else "no tested length"

        parts = f"retrieval {tokens(self.retrieval_length)}, NLL {tokens(self.nll_length)}"
        return f"certified context {tokens(self.length)} at 95 % ({parts})"
