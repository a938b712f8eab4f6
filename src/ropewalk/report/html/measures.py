"""Which estimates are drawn how: measures of likelihood, shares of right answers, gains; in words for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ropewalk.report.tables import CHANGES, CURVES, GAINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.report.html.subjects import Subject
    from ropewalk.result import Estimate, EvaluationResult

PER_TOKEN = "per token"  # the unit of a perplexity
NATS = "nats/token"
SHARES = ("share of", "mean score")
GAIN, SCORE, POSITION = "_gain", "_score", "position_nll"


def words(measure: str) -> str:
    """A measure's name for people."""
    known = {**CURVES, **GAINS, **CHANGES}
    if measure in known:
        return known[measure]
    if measure.endswith(SCORE):
        return measure.removesuffix(SCORE).replace("_", "-")  # the task as the command line calls it
    return measure.removesuffix("_accuracy").replace("_", " ")


def likelihood_words(measure: str) -> str:
    """The same of a likelihood that is drawn in nats."""
    return words(measure).replace("perplexity", "NLL")


def is_likelihood(estimate: Estimate) -> bool:
    """Whether it is a perplexity or an NLL at one length, not a difference."""
    return estimate.baseline_length is None and estimate.unit in (PER_TOKEN, NATS)


def is_share(estimate: Estimate) -> bool:
    """Whether it is a score between 0 and 1 at one length."""
    return estimate.baseline_length is None and estimate.unit.startswith(SHARES)


def curve(result: EvaluationResult, measure: str) -> list[Estimate]:
    """The estimates of a measure over all depths, by increasing length."""
    found = [e for e in result.estimates if e.measure == measure and e.depth is None and e.baseline_length is None]
    return sorted(found, key=lambda estimate: estimate.length)


def curve_measures(results: Iterable[EvaluationResult]) -> list[str]:
    """Measures that have a value at each length: likelihoods first, each kind in the order of appearance."""
    found = [e for result in results for e in result.estimates if e.depth is None]
    names = [e.measure for e in found if is_likelihood(e)] + [e.measure for e in found if is_share(e)]
    return list(dict.fromkeys(names))


def depth_measures(result: EvaluationResult) -> list[str]:
    """Measures that have a value at each depth and length."""
    return list(dict.fromkeys(e.measure for e in result.estimates if e.depth is not None and is_share(e)))


def steps(subjects: Sequence[Subject], suffix: str) -> list[tuple[str, int, int]]:
    """Estimates between two lengths, as (measure, shorter, longer), in the order of appearance.

    Args:
        subjects: Whose estimates.
        suffix: How their measures end.
    """
    found = [e for subject in subjects for e in subject.result.estimates if e.measure.endswith(suffix)]
    between = ((e.measure, e.baseline_length, e.length) for e in found if e.baseline_length is not None)
    return list(dict.fromkeys(between))


def in_nats(estimate: Estimate) -> tuple[float, float, float]:
    """Value and interval as an NLL in nats per token, whatever of the two was recorded."""
    ends = (estimate.value, estimate.low, estimate.high)
    if estimate.unit != PER_TOKEN:
        return ends
    value, low, high = (math.log(end) if end > 0 else -math.inf for end in ends)
    return value, low, high


def number(value: float, unit: str = "") -> str:
    """A value as people write it: shares with two decimals, nats with three, perplexities by their size."""
    if unit.startswith(SHARES):
        return f"{value:.2f}"
    if unit == NATS:
        return f"{value:.3f}"
    size = abs(value)
    if size >= 1e5:
        return f"{value:.1e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}"


def interval(estimate: Estimate) -> str:
    """The two ends of its interval."""
    return f"{number(estimate.low, estimate.unit)} to {number(estimate.high, estimate.unit)}"


def signed(value: float) -> str:
    """A difference, which always shows its sign."""
    return f"{value:+.3f}"


def percent(level: float) -> str:
    """A confidence level, such as `95 %`."""
    return f"{100 * level:g} %"


def basis(estimate: Estimate) -> str:
    """What an estimate rests on: n, failures, clusters, interval."""
    clusters = f" in {estimate.clusters:,} clusters" if estimate.clusters not in (None, estimate.samples) else ""
    failed = f", {estimate.failed:,} failed" if estimate.failed else ""
    return f"n = {estimate.samples:,}{clusters}{failed}; {percent(estimate.level)} interval: {estimate.interval}"
