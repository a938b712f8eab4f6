"""What every result is made of: samples, estimates, the model and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT_VERSION = 1


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleResult(Record):
    """One sample of one measurement.

    Attributes:
        measure: Name of the measurement, such as `paired_nll` or `passkey`.
        sample: Identifier that is the same for every model measured, so that comparisons pair up.
        cluster: Samples of one cluster (a document, a context) are not independent; intervals resample clusters.
        length: Tokens of context that the model could see.
        depth: Where the fact stood, 0 to 1, for retrieval.
        value: The measured value in the measure's unit, or None if the sample failed.
        weight: What the value counts for in a mean over samples, such as its number of tokens; None counts as 1.
        chance: Expected value of a blind choice, for retrieval.
    """

    measure: str
    sample: str
    cluster: str
    length: int
    depth: float | None = None
    status: Literal["ok", "failed"] = "ok"
    value: float | None = None
    weight: float | None = None
    chance: float | None = None
    detail: str | None = None


class Estimate(Record):
    """A number with its interval.

    Attributes:
        measure: Name of the measurement.
        protocol: How it was measured, in one phrase.
        unit: Unit of value, low and high.
        length: Tokens of context, or the longer of the two lengths of a difference.
        baseline_length: The shorter length of a difference, else None.
        low, high: Two-sided interval at `level`.
        interval: How the interval was made, such as `Wilson` or `bootstrap over 22 modules`.
        samples, failed: Number of samples that the value rests on, and of samples that failed.
        clusters: Number of independent clusters among the samples.
        chance: Expected value of a blind choice, the baseline of a score; None where there is none.
    """

    measure: str
    protocol: str
    unit: str
    length: int
    baseline_length: int | None = None
    depth: float | None = None
    value: float
    low: float
    high: float
    level: float = 0.95
    interval: str
    samples: int
    failed: int = 0
    clusters: int | None = None
    chance: float | None = None

    def __str__(self) -> str:
        text = (
            f"{self.measure} {self.value:.4g} [{self.low:.4g}, {self.high:.4g}] {self.unit} at {self.length:,} tokens"
        )
        return f"{text}, n = {self.samples} of {self.samples + self.failed}"


def find_estimate(
    estimates: Iterable[Estimate],
    measure: str,
    length: int | None = None,
    *,
    baseline: int | None = None,
    depth: float | None = None,
) -> Estimate | None:
    """The first of the estimates with these properties; a length or baseline of None fits any."""
    for estimate in estimates:
        fits = estimate.measure == measure and estimate.depth == depth
        fits = fits and length in (None, estimate.length) and baseline in (None, estimate.baseline_length)
        if fits:
            return estimate
    return None


class Environment(Record):
    """Where a result was made."""

    ropewalk: str
    python: str
    torch: str
    transformers: str
    numpy: str
    device: str
    threads: int

    @property
    def threads_named(self) -> str:
        """Such as `2 threads`."""
        return "1 thread" if self.threads == 1 else f"{self.threads:,} threads"


class ModelRecord(Record):
    """Which model was measured.

    Attributes:
        name: What the user called it.
        method: Phrase such as `yarn, factor 8`, or `untouched`.
        trained_length: Tokens of the original window.
        target_length: Tokens of the extended window, or the trained length.
        rope: The config's rotary parameters.
        weights: First 16 hex digits of SHA-256 over the weight files, or None for a model in memory.
    """

    name: str
    method: str
    trained_length: int
    target_length: int
    rope: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
