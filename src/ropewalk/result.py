"""Typed records of what was measured. Every number carries its unit, interval, n and protocol.

Two levels: `SampleResult` (one line each in `samples.jsonl`) and `Estimate`s gathered in an `EvaluationResult`
(`result.json`). A sample that failed has no value: it is counted as failed, never as zero.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
        data: Fingerprint of the training texts, or None without training.
        steps: Optimizer steps.
        tokens: Tokens read in training, supervised or not.
        losses: Loss of each step, nats per supervised token.
        wall_seconds: Time of the process that finished the run.
    """

    format_version: int = FORMAT_VERSION
    model: ModelRecord
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

    def find(self, measure: str, length: int | None = None, *, depth: float | None = None) -> Estimate | None:
        """The first estimate of a measure (at a length and depth), or None."""
        for estimate in self.estimates:
            if (
                estimate.measure == measure
                and (length is None or estimate.length == length)
                and estimate.depth == depth
            ):
                return estimate
        return None
