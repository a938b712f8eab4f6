"""What a model was measured to do, and what changed between two."""

from __future__ import annotations

from typing import Literal

from ropewalk.result.certificate import Certificate
from ropewalk.result.extension import ExtensionResult
from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, ModelRecord, Record, find_estimate


class EvaluationResult(Record):
    """All estimates of one model on one set of data.

    Attributes:
        status: `incomplete` when more than 1 % of the samples failed.
        data: Fingerprint of the texts; results with different fingerprints do not compare.
        seed: Seed of the synthetic tasks.
        certificate: How far the context really reaches, or None if it was not asked for.
        suite: The suite that chose what was measured, or None.
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
    certificate: Certificate | None = None
    suite: str | None = None

    def find(
        self, measure: str, length: int | None = None, *, baseline: int | None = None, depth: float | None = None
    ) -> Estimate | None:
        """The first estimate of a measure (at a length, against a baseline length, at a depth), or None."""
        return find_estimate(self.estimates, measure, length, baseline=baseline, depth=depth)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every context length that was measured, increasing."""
        return tuple(sorted({estimate.length for estimate in self.estimates}))


class Evidence(Record):
    """What the card of a checkpoint shows: `ropewalk/evidence.json` inside it.

    Attributes:
        evaluations: Of the checkpoint itself, first, and of others on the same samples.
    """

    format_version: int = FORMAT_VERSION
    evaluations: tuple[EvaluationResult, ...]


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
