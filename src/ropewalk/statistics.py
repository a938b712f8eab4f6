"""Intervals for what is measured: means, proportions and paired differences of samples that come in clusters.

Windows of one document, and questions about one context, resemble each other. Taking them for independent makes
intervals too short, so everything here resamples, or discounts for, whole clusters.

Wilson interval: Wilson (1927), JASA 22:209. Effective sample size inside it: Korn and Graubard (1998), Survey
Methodology 24:193; Dean and Pagano (2015), Journal of Survey Statistics and Methodology 3:484. Difference of
proportions from two intervals: Newcombe (1998), Statistics in Medicine 17:873, method 10. Cluster bootstrap: Davison
and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


LEVEL = 0.95
DRAWS = 10_000
# One block of resamples is a table of at most this many numbers, so that thousands of clusters fit into memory.
TABLE_NUMBERS = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided interval.

    Attributes:
        value: The estimate, in the unit of the samples.
        low, high: Ends of the interval, same unit.
        level: Probability that such an interval covers the truth.
        method: How it was made, in one phrase.
        samples: Samples that the value rests on.
        clusters: Independent groups among them.
    """

    value: float
    low: float
    high: float
    level: float
    method: str
    samples: int
    clusters: int


def wilson(successes: float, trials: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a proportion, which stays inside [0, 1] and is honest at 0 and 1.

    Args:
        successes: Number of successes; an effective number may be fractional.
        trials: Number of independent trials, above 0.
        level: Two-sided confidence level.

    Raises:
        MeasurementError: No trials, more successes than trials, or an impossible level.
    """
    if not (trials > 0 and 0 <= successes <= trials):
        raise MeasurementError(
            f"a proportion needs 0 <= successes <= trials with at least one trial; got {successes} of {trials}. "
            "Measure more samples."
        )
    z = _normal_quantile(level)
    share = successes / trials
    center = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))


def clustered_proportion(
    successes: ArrayLike, clusters: Sequence[Hashable], *, unit: str = "contexts", level: float = LEVEL
) -> Interval:
    """A proportion of samples that come in clusters, with Wilson's interval at the effective sample size.

    The variance between clusters says how many independent samples the n dependent ones are worth; that number,
    never more than n and never fewer than the clusters, and reduced for estimating it from few clusters (Student's
    t in place of the normal), goes into Wilson's formula. A percentile bootstrap over 8 clusters covers less often,
    and its interval has no width when all samples agree. With all right or all wrong nothing shows how alike the
    samples of a cluster are, so a cluster counts as one sample: 128 right answers in 8 contexts prove no more than
    8 of 8 if a context fails as a whole. One isolated failure is evidence against that, so it can *narrow* the
    interval. With one sample per cluster this is the plain Wilson interval.

    Args:
        successes: 0 or 1 for each sample, `[samples]`.
        clusters: The cluster of each sample, same length.
        unit: What the clusters are, in the plural.
        level: Two-sided confidence level.

    Raises:
        MeasurementError: No samples, not one cluster name for each, or a value that is not finite.
    """
    sums, counts = _cluster_totals(successes, clusters)
    samples, groups = int(counts.sum()), len(counts)
    share = float(sums.sum() / samples)
    if groups == samples:
        low, high = wilson(float(sums.sum()), samples, level=level)
        return Interval(share, low, high, level, "Wilson", samples, groups)
    if share in (0.0, 1.0) or groups == 1:
        low, high = wilson(share * groups, groups, level=level)
        return Interval(share, low, high, level, f"Wilson over {groups} {unit}", samples, groups)
    between = float(np.sum((sums - share * counts) ** 2)) * groups / (groups - 1) / samples**2
    effective = share * (1 - share) / between if between > 0 else float(samples)
    effective = min(max(effective, groups), samples)
    effective *= (_normal_quantile(level) / student_quantile(level, groups - 1)) ** 2
    low, high = wilson(share * effective, effective, level=level)
    return Interval(share, low, high, level, f"Wilson, clustered in {groups} {unit}", samples, groups)


def bootstrap_mean(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    unit: str = "documents",
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The mean over samples, with a percentile bootstrap that draws whole clusters with replacement.

    Every sample weighs the same, so the mean of a draw is (sum over the drawn clusters) / (samples in them).

    Args:
        values: One number for each sample, `[samples]`.
        clusters: The cluster of each sample, same length.
        rng: Source of the draws.
        unit: What the clusters are, in the plural.
        level: Two-sided confidence level.
        draws: Number of resamples.

    Raises:
        MeasurementError: Fewer than two clusters, from which nothing can be resampled, or a value that is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    return bootstrap_weighted_mean(numbers, np.ones_like(numbers), clusters, rng, unit=unit, level=level, draws=draws)


def bootstrap_weighted_mean(
    values: ArrayLike,
    weights: ArrayLike,
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    unit: str = "documents",
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The weighted mean over samples, bootstrapped like `bootstrap_mean`: weights are drawn along with their values.

    The mean per token of documents of different lengths is such a mean; it is a ratio of two sums over the drawn
    clusters, so its denominator varies from draw to draw as well.

    Args:
        values: One number for each sample, `[samples]`.
        weights: What each sample counts for, such as its number of tokens, above 0, `[samples]`.
        clusters: The cluster of each sample, same length.
        rng: Source of the draws.
        unit: What the clusters are, in the plural.
        level: Two-sided confidence level.
        draws: Number of resamples.

    Raises:
        MeasurementError: Not one positive weight for each value, or see `bootstrap_mean`.
    """
    numbers, shares = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if numbers.shape != shares.shape or not (shares > 0).all():
        raise MeasurementError(
            f"a weighted mean needs one weight above 0 for each value; got {numbers.size} values and {shares.size} "
            f"weights, {int((shares > 0).sum())} of them above 0. Leave out samples that count for nothing."
        )
    sums, _ = _cluster_totals(numbers * shares, clusters)
    totals, _ = _cluster_totals(shares, clusters)
    groups = len(totals)
    if groups < 2:
        raise MeasurementError(
            f"a bootstrap over {unit} needs at least 2 of them, because it resamples whole {unit}; got {groups}. "
            f"Measure on more {unit}."
        )
    tail = (1 - _checked_level(level)) / 2
    low, high = (float(q) for q in np.quantile(_resampled_means(sums, totals, rng, draws), [tail, 1 - tail]))
    value = float(sums.sum() / totals.sum())
    return Interval(value, low, high, level, f"bootstrap over {groups} {unit}", numbers.size, groups)


def bootstrap_difference(
    before: ArrayLike,
    after: ArrayLike,
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    *,
    unit: str = "documents",
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The mean of after - before over samples that were measured both ways; see `bootstrap_mean`.

    Raises:
        MeasurementError: The two series differ in length, or see `bootstrap_mean`.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise MeasurementError(
            f"a paired difference needs the same samples before and after; got {first.size} and {second.size}. "
            "Pair them by sample first."
        )
    return bootstrap_mean(second - first, clusters, rng, unit=unit, level=level, draws=draws)


def proportion_difference(before: Interval, after: Interval) -> Interval:
    """After - before for two proportions, from their intervals (Newcombe's hybrid score interval).

    It has width even where both are 0 or 1. On the same questions answers tend to agree, which makes it too wide
    rather than too narrow.
    """
    return weighted_proportions([(1.0, after), (-1.0, before)])


def weighted_proportions(terms: Sequence[tuple[float, Interval]]) -> Interval:
    """A weighted sum of proportions from their intervals: Newcombe's score interval for any number of terms.

    Args:
        terms: Weights, of either sign, and proportions.
    """
    value = sum(weight * share.value for weight, share in terms)
    down = [weight * (share.value - (share.low if weight > 0 else share.high)) for weight, share in terms]
    up = [weight * ((share.high if weight > 0 else share.low) - share.value) for weight, share in terms]
    least, most = (sum(weight for weight, _ in terms if sign * weight > 0) for sign in (-1, 1))
    samples, clusters = min(share.samples for _, share in terms), min(share.clusters for _, share in terms)
    low, high = max(least, value - math.hypot(*down)), min(most, value + math.hypot(*up))
    return Interval(value, low, high, terms[0][1].level, "Newcombe", samples, clusters)


def student_quantile(level: float, degrees: int) -> float:
    """Two-sided quantile of Student's t by the Cornish-Fisher series, within 0.4 % from 4 degrees of freedom on.

    Below 4 degrees, where the series is short of the truth by more, the exact closed forms are used (1 and 2), or
    the series (3, within 2 %). Abramowitz and Stegun, 26.7.5.
    """
    if degrees == 1:
        return math.tan(math.pi * _checked_level(level) / 2)
    if degrees == 2:
        return _checked_level(level) * math.sqrt(2 / (1 - level**2))
    z = _normal_quantile(level)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / degrees + second / degrees**2 + third / degrees**3 + fourth / degrees**4


def _resampled_means(sums: Floats, counts: Floats, rng: np.random.Generator, draws: int) -> Floats:
    groups = len(counts)
    equal = np.full(groups, 1 / groups)
    block = max(1, TABLE_NUMBERS // groups)
    means = []
    for start in range(0, draws, block):
        weights = rng.multinomial(groups, equal, size=min(block, draws - start)).astype(np.float64)
        means.append((weights @ sums) / (weights @ counts))
    return np.concatenate(means)


def _cluster_totals(values: ArrayLike, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of samples of each cluster, in order of first appearance (so that draws repeat)."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if numbers.size == 0 or numbers.size != len(clusters):
        raise MeasurementError(
            f"an interval needs at least one sample, and one cluster name for each; got {numbers.size} samples and "
            f"{len(clusters)} names. Measure more samples."
        )
    if not np.isfinite(numbers).all():
        raise MeasurementError(
            f"an interval needs finite samples; {int((~np.isfinite(numbers)).sum())} of {numbers.size} are not. "
            "Count them as failed instead."
        )
    order: dict[Hashable, int] = {}
    index = np.asarray([order.setdefault(name, len(order)) for name in clusters], dtype=np.int64)
    sums = np.bincount(index, weights=numbers, minlength=len(order))
    counts = np.bincount(index, minlength=len(order))
    return sums.astype(np.float64), counts.astype(np.float64)


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + _checked_level(level)) / 2)


def _checked_level(level: float) -> float:
    if not 0 < level < 1:
        raise MeasurementError(f"a confidence level lies between 0 and 1; got {level}. Use 0.95.")
    return level
