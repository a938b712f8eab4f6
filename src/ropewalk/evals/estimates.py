"""From samples to numbers with intervals. Pure: no model, no torch.

    perplexity                         exp of the mean NLL of the target tokens, at each length
    context_gain                       NLL of the same tokens given the shorter context minus given the longer
    repeated_gain, stream_gain         the same where only the longer context holds what helps
    passkey_accuracy                   share of right answers at each length, and at each depth and length
    key_value_accuracy                 the same for many keys in one context
    position_nll                       NLL of the tokens between two places of a document, from truncated documents
    TASK_score                         mean score of a task of the battery at each length, for its name with underscores

Gains are in nats per token and positive where more context helps.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from ropewalk.data import retrieval
from ropewalk.result import Estimate
from ropewalk.statistics import Interval, bootstrap_difference, clustered_proportion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ropewalk.evals.plan import EvaluationPlan
    from ropewalk.result import SampleResult
    from ropewalk.statistics import Interval

    Pair = tuple[SampleResult, SampleResult]

NATS = "nats/token"
SHARE = "share of answers"
SCORE = "mean score"
GAINS = {"paired_nll": "context_gain", "repeated_nll": "repeated_gain", "stream_nll": "stream_gain"}
RULER = "ruler_"
# Beginnings of measures whose number of samples depends on the answers.
CERTIFICATE, REFERENCE, K_MAX = SEQUENTIAL = ("certificate_", "reference_", "k_max")
ACCURACIES = {"passkey": "passkey_accuracy", "key_value": "key_value_accuracy"}


def summarize(samples: Sequence[SampleResult], plan: EvaluationPlan, *, left_out: int = 0) -> tuple[Estimate, ...]:
    """All estimates of one model's samples.

    Args:
        samples: As `evaluate_model` makes them.
        plan: What was asked for.
        left_out: Documents that were too short for a window, which the protocol states.
    """
    estimates: list[Estimate] = []
    suffix = f", {left_out} shorter documents left out" if left_out else ""
    for length in plan.lengths:
        estimates += _perplexity(samples, plan, length, suffix)
    for measure in GAINS:
        for shorter, longer in _length_pairs(plan.lengths):
            estimates += _gain(samples, plan, measure, shorter, longer, suffix)
    for shorter, longer in pairwise(plan.lengths):
        estimates += _by_position(samples, plan, shorter, longer, suffix)
    for measure in ACCURACIES:
        for length in plan.lengths:
            estimates += _accuracies(samples, plan, measure, length)
    for task in plan.battery:
        estimates += _scores(samples, measure_of(task), _battery_protocol(task))
    for measure in dict.fromkeys(s.measure for s in samples if s.measure.startswith(RULER)):
        estimates += _scores(samples, measure, "prompts of a file in RULER's format, scored by RULER's rule")
    return tuple(estimates)


def measure_of(task: str) -> str:
    """The measure of a retrieval task's samples."""
    return task.replace("-", "_")


def ruler_measure(task: str) -> str:
    """The measure of the samples of a file in RULER's format."""
    return RULER + measure_of(task)


def status_of(samples: Iterable[SampleResult]) -> Literal["complete", "incomplete"]:
    """`incomplete` when more than 1 % of the samples failed, or none was measured."""
    states = [sample.status for sample in samples]
    return "complete" if states and states.count("failed") <= 0.01 * len(states) else "incomplete"


def bootstrapped(
    before: Sequence[float], after: Sequence[float], samples: Sequence[SampleResult], seed: int
) -> Interval | None:
    """Mean of after - before over samples, by a bootstrap over their clusters.

    With one cluster (a user's single text) the windows are resampled, and the interval says so; with fewer than two
    samples there is no interval, hence no estimate. Every estimate starts from the same seed, so it does not depend
    on which others are made.
    """
    rng = np.random.default_rng(seed)
    clusters = [sample.cluster for sample in samples]
    unit = "streams" if samples and samples[0].measure == "stream_nll" else "documents"
    if len(set(clusters)) > 1:
        return bootstrap_difference(before, after, clusters, rng, unit=unit)
    if len(clusters) > 1:
        names = [sample.sample for sample in samples]
        return bootstrap_difference(before, after, names, rng, unit=f"windows of one of the {unit}")
    return None


def estimate_of(
    interval: Interval,
    *,
    measure: str,
    protocol: str,
    unit: str,
    length: int,
    failed: int,
    baseline_length: int | None = None,
    depth: float | None = None,
    chance: float | None = None,
    curve: Callable[[float], float] = float,
) -> Estimate:
    """The record of an interval; `curve` is an increasing function applied to the value and to both ends."""
    return Estimate(
        measure=measure,
        protocol=protocol,
        unit=unit,
        length=length,
        baseline_length=baseline_length,
        depth=depth,
        value=curve(interval.value),
        low=curve(interval.low),
        high=curve(interval.high),
        level=interval.level,
        interval=interval.method,
        samples=interval.samples,
        failed=failed,
        clusters=interval.clusters,
        chance=chance,
    )


def pair_up(before: Sequence[SampleResult], after: Sequence[SampleResult]) -> tuple[list[Pair], int]:
    """Samples of the same name that are good in both, and the number of those that failed in either."""
    known = {sample.sample: sample for sample in before}
    pairs = [(known[sample.sample], sample) for sample in after if sample.sample in known]
    good = [pair for pair in pairs if all(sample.value is not None for sample in pair)]
    return good, len(pairs) - len(good)


def values_of(samples: Iterable[SampleResult]) -> list[float]:
    """The values of samples that did not fail."""
    return [sample.value for sample in samples if sample.value is not None]


def _perplexity(samples: Sequence[SampleResult], plan: EvaluationPlan, length: int, suffix: str) -> Iterator[Estimate]:
    chosen = _of(samples, "paired_nll", length)
    good = [sample for sample in chosen if sample.value is not None]
    interval = bootstrapped([0.0] * len(good), values_of(good), good, plan.seed)
    if interval is not None:
        yield estimate_of(
            interval,
            measure="perplexity",
            protocol=f"last {plan.scored} tokens of text windows given the {length:,} that end with them{suffix}",
            unit="per token",
            length=length,
            failed=len(chosen) - len(good),
            curve=math.exp,
        )


def _gain(
    samples: Sequence[SampleResult], plan: EvaluationPlan, measure: str, shorter: int, longer: int, suffix: str
) -> Iterator[Estimate]:
    good, failed = pair_up(_of(samples, measure, shorter), _of(samples, measure, longer))
    near, far = [pair[0] for pair in good], [pair[1] for pair in good]
    interval = bootstrapped(values_of(far), values_of(near), far, plan.seed)
    if interval is not None:
        what = {
            "paired_nll": f"same last {plan.scored} tokens of text windows{suffix}",
            "repeated_nll": f"same {plan.scored} tokens, which stand before only beyond {plan.near:,} tokens{suffix}",
            "stream_nll": f"values whose key stands before only beyond {plan.near:,} tokens",
        }[measure]
        yield estimate_of(
            interval,
            measure=GAINS[measure],
            protocol=f"{what}: NLL given {shorter:,} tokens minus given {longer:,}",
            unit=NATS,
            length=longer,
            baseline_length=shorter,
            failed=failed,
        )


def _accuracies(samples: Sequence[SampleResult], plan: EvaluationPlan, measure: str, length: int) -> Iterator[Estimate]:
    chosen = _of(samples, measure, length)
    what = {
        "passkey": "pass key of 5 digits in repeated sentences, first number",
        "key_value": f"one of {plan.keys} four-digit records in repeated sentences, number right after 'word='",
    }[measure]
    for depth in (None, *sorted({sample.depth for sample in chosen if sample.depth is not None})):
        cell = [sample for sample in chosen if depth in (None, sample.depth)]
        good = [sample for sample in cell if sample.value is not None]
        if good:
            yield estimate_of(
                clustered_proportion(values_of(good), [sample.cluster for sample in good]),
                measure=ACCURACIES[measure],
                protocol=f"{what} in {plan.new_tokens} greedy tokens",
                unit=SHARE,
                length=length,
                depth=depth,
                chance=_chance(good),
                failed=len(cell) - len(good),
            )


def _by_position(
    samples: Sequence[SampleResult], plan: EvaluationPlan, shorter: int, longer: int, suffix: str
) -> Iterator[Estimate]:
    """NLL between two truncation lengths: what the longer beginning of a document adds to the shorter."""
    good, failed = pair_up(_of(samples, "truncate_nll", shorter), _of(samples, "truncate_nll", longer))
    late = [pair[1] for pair in good]
    # All values of a length have the same weight, its number of scored tokens.
    sums = [[(s.value or 0.0) * (s.weight or 1.0) for s in pair] for pair in good]
    means = [(whole - part) / (longer - shorter) for part, whole in sums]
    interval = bootstrapped([0.0] * len(late), means, late, plan.seed)
    if interval is not None:
        yield estimate_of(
            interval,
            measure="position_nll",
            protocol=f"tokens {shorter:,} to {longer:,} of each document given all before them{suffix}",
            unit=NATS,
            length=longer,
            baseline_length=shorter,
            failed=failed,
        )


def _scores(samples: Sequence[SampleResult], measure: str, protocol: str) -> Iterator[Estimate]:
    chosen = [sample for sample in samples if sample.measure == measure]
    for length in dict.fromkeys(sample.length for sample in chosen):
        cell = [sample for sample in chosen if sample.length == length]
        good = [sample for sample in cell if sample.value is not None]
        if good:
            # A mean of shares varies less than a share of right answers, so the interval is too wide, not too narrow.
            yield estimate_of(
                clustered_proportion(values_of(good), [sample.cluster for sample in good]),
                measure=f"{measure}_score",
                protocol=protocol,
                unit=SCORE,
                length=length,
                chance=_chance(good),
                failed=len(cell) - len(good),
            )


def _battery_protocol(name: str) -> str:
    task = retrieval.get(name)()
    source = f"arXiv:{task.source.arxiv}" if task.source.arxiv else task.source.url
    return (
        f"{name} ({source}), {task.scoring} in {task.new_tokens} greedy tokens; chance is blind "
        f"choice among {task.blind}"
    )


def _chance(samples: Sequence[SampleResult]) -> float | None:
    chances = [sample.chance for sample in samples if sample.chance is not None]
    return float(np.mean(chances)) if chances else None


def _length_pairs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Each length with the next one, and each with the longest."""
    steps = set(pairwise(lengths)) | {(length, lengths[-1]) for length in lengths[:-1]}
    return sorted(steps, key=lambda pair: (pair[1], -pair[0]))


def _of(samples: Sequence[SampleResult], measure: str, length: int) -> list[SampleResult]:
    return [s for s in samples if s.measure == measure and s.length == length]
