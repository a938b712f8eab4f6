"""Typed records of what was measured. Every number carries its unit, interval, n and protocol.

Two levels: `SampleResult` (one line each in `samples.jsonl`) and `Estimate`s gathered in an `EvaluationResult`
(`result.json`). A sample that failed has no value: it is counted as failed, never as zero.
"""

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
    """

    measure: str
    sample: str
    cluster: str
    length: int
    depth: float | None = None
    status: Literal["ok", "failed"] = "ok"
    value: float | None = None
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

    def __str__(self) -> str:
        text = (
            f"{self.measure} {self.value:.4g} [{self.low:.4g}, {self.high:.4g}] {self.unit} at {self.length:,} tokens"
        )
        return f"{text}, n = {self.samples} of {self.samples + self.failed}"


class Environment(Record):
    """Where a result was made."""

    ropewalk: str
    python: str
    torch: str
    transformers: str
    numpy: str
    device: str
    threads: int


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


class ExtensionResult(Record):
    """What an extension did: `ropewalk/result.json` inside the checkpoint.

    Attributes:
        model: The extended model.
        carrier: The rope type that the config carries.
        exact: Plain transformers computes the whole method from the config; if not, `ropewalk.load` does.
        notes: What people should know: layers left alone, what other readers will see.
        self_test: What was checked after the extension.
        data: Fingerprint of the training texts, or None without training.
        steps: Optimizer steps.
        tokens: Tokens read in training, supervised or not.
        losses: Loss of each step, nats per supervised token.
        wall_seconds: Time of the process that finished the run.
    """

    format_version: int = FORMAT_VERSION
    model: ModelRecord
    carrier: str
    exact: bool
    notes: tuple[str, ...]
    self_test: tuple[str, ...]
    data: str | None
    steps: int
    tokens: int
    losses: tuple[float, ...]
    wall_seconds: float
    environment: Environment


class EvaluationResult(Record):
    """All estimates of one model on one set of data.

    Attributes:
        status: `incomplete` when more than 1 % of the samples failed.
        data: Fingerprint of the texts; results with different fingerprints do not compare.
        seed: Seed of the synthetic tasks.
    """

    format_version: int = FORMAT_VERSION
    status: Literal["complete", "incomplete"]
    model: ModelRecord
    data: str
    seed: int
    estimates: tuple[Estimate, ...]
    environment: Environment
    wall_seconds: float
    samples_file: str | None = None

    def find(
        self, measure: str, length: int | None = None, *, baseline: int | None = None, depth: float | None = None
    ) -> Estimate | None:
        """The first estimate of a measure (at a length, against a baseline length, at a depth), or None."""
        return find_estimate(self.estimates, measure, length, baseline=baseline, depth=depth)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every context length that was measured, increasing."""
        return tuple(sorted({estimate.length for estimate in self.estimates}))


class Comparison(Record):
    """Paired differences, after - before, of two models on the same samples.

    Attributes:
        before, after: The models.
        data: Fingerprint that both results share.
        estimates: One per measure and length, named such as `paired_nll_change`.
    """

    format_version: int = FORMAT_VERSION
    before: ModelRecord
    after: ModelRecord
    data: str
    seed: int
    estimates: tuple[Estimate, ...]

    def find(self, measure: str, length: int | None = None) -> Estimate | None:
        """The first estimate of a measure (at a length), or None."""
        return find_estimate(self.estimates, measure, length)


class DemoResult(Record):
    """The demo: one model before and after its extension.

    Attributes:
        extension: What was done.
        before: The untouched model.
        after: The extended and trained model.
        comparison: Paired differences, after - before.
        wall_seconds: The whole demo.
    """

    format_version: int = FORMAT_VERSION
    extension: ExtensionResult
    before: EvaluationResult
    after: EvaluationResult
    comparison: Comparison
    wall_seconds: float


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
