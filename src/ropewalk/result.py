"""Typed records of what was measured. Every number carries its unit, interval, n and protocol.

Two levels: `SampleResult` (one line each in `samples.jsonl`) and `Estimate`s gathered in an `EvaluationResult`
(`result.json`). A sample that failed has no value: it is counted as failed, never as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

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


class GateCheck(Record):
    """One decision of the short-context gate: how much worse than a reference, against a margin.

    Attributes:
        subject: What was compared: `text` (NLL), or `tasks` (short tasks of the lm-eval harness).
        reference: The `original` model, or the `control`: the same tokens trained at the old window.
        verdict: PASS when the upper bound of the change is within the margin, else FAIL.
        reason: The verdict in words, with its numbers.
        margin: How much worse still passes, in the unit of `change`.
        change: Worse by this much, above 0 for worse; both ends are one-sided bounds. None when nothing was measured.
        details: For information, not part of the decision: divergence, parts of the window, single tasks.
        data: Fingerprint of the prompts and answers of tasks; that of a text stands in the gate's result.
    """

    subject: Literal["text", "tasks"]
    reference: Literal["original", "control"]
    verdict: Literal["PASS", "FAIL"]
    reason: str
    margin: float
    change: Estimate | None
    details: tuple[Estimate, ...] = ()
    data: str | None = None


class ControlRecord(Record):
    """How the control of a gate was trained; the model itself is not kept.

    Attributes:
        window: Tokens of a training window: the trained length.
        batch: Windows per step.
        losses: Loss of each step, nats per supervised token.
    """

    steps: int
    batch: int
    window: int
    tokens: int
    losses: tuple[float, ...]


class GateResult(Record):
    """Whether an extension left text up to the trained window as it was.

    Attributes:
        verdict: FAIL when any check fails; otherwise SKIPPED when one that was asked for could not be made.
        reason: Why, in one sentence.
        notes: What the verdict does not show.
        text: Which text was read, and how; None if none was.
        tasks: Which tasks were asked, and how; None if none were.
        data: Fingerprint of the texts and of their tokens.
        checks: One for each subject and reference.
        control: How the control was trained, or None without one.
    """

    verdict: Literal["PASS", "FAIL", "SKIPPED"]
    reason: str
    notes: tuple[str, ...] = ()
    text: str | None = None
    tasks: str | None = None
    data: str | None = None
    checks: tuple[GateCheck, ...] = ()
    control: ControlRecord | None = None


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
        gate: What the short-context gate found, or None if it was left out.
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
    gate: GateResult | None = None


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


class LayerEntropy(Record):
    """Entropy of one layer's attention by query position, one number for each stretch of positions.

    Attributes:
        layer: 0-based.
        entropy: Mean over documents, heads and queries, nats.
        low, high: Its two-sided interval.
        largest: ln of the number of keys seen, nats: the entropy of attention that is spread evenly.
        flat_scale: What the logits would have to be multiplied by, on top of the model's own scale, for the entropy
            of the trained length; None inside the trained window, and where nothing from 1/8 to 8 does it.
        flat_scale_low, flat_scale_high: Its two-sided interval, None where it is None.
        slope: Of `flat_scale` against ln n / ln L, for query n and trained length L, through 1 at the trained length;
            None if a `flat_scale` is missing.
    """

    layer: int
    entropy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    largest: tuple[float, ...]
    flat_scale: tuple[float | None, ...]
    flat_scale_low: tuple[float | None, ...]
    flat_scale_high: tuple[float | None, ...]
    slope: Estimate | None


class EntropyResult(Record):
    """Attention entropy of one model, layer by layer.

    Attributes:
        status: `incomplete` when more than 1 % of the documents failed.
        data: Fingerprint of the texts.
        seed: Seed of the choice of documents.
        documents: Names of those measured.
        failed: Names of those at which the model's logits were not finite.
        length: Tokens of each document that the model read.
        heads: Query heads in each layer.
        first, last: Ends of each stretch, as query positions counted from 1; query n sees n keys or fewer.
        protocol: How it was measured, in one phrase.
        interval: How the intervals were made.
    """

    format_version: int = FORMAT_VERSION
    status: Literal["complete", "incomplete"]
    model: ModelRecord
    data: str
    seed: int
    documents: tuple[str, ...]
    failed: tuple[str, ...]
    length: int
    heads: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    unit: str = "nats"
    protocol: str
    interval: str
    level: float = 0.95
    layers: tuple[LayerEntropy, ...]
    environment: Environment
    wall_seconds: float

    @property
    def reference(self) -> int:
        """Index of the stretch that ends at the trained length."""
        return self.last.index(self.model.trained_length)


class EntropyComparison(Record):
    """Attention entropy of several models on the same texts, such as before and after an extension."""

    format_version: int = FORMAT_VERSION
    results: tuple[EntropyResult, ...]


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
