"""One-sided bounds, for claims that go one way: "at least this share", "no more than this much worse".

Share of right answers: Clopper and Pearson (1934), Biometrika 26:404, exact at every n. Mean over clusters: Student's
t on the clusters, and the transformation of Hall (1992), JRSS B 54:221, where the clusters are skewed. Damage tends to
be: most documents are unharmed and a few are ruined. There the plain t bound is too low, and so is a percentile
bootstrap (21 exponential documents: they miss the truth in 10 % and 11 % of cases instead of 5 %, Hall in 6 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.errors import MeasurementError
from ropewalk.statistics import student_quantile

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
# With fewer clusters than this neither t nor Hall keeps its promise for skewed damage.
FEWEST_CLUSTERS = 8
BISECTIONS = 50


@dataclass(frozen=True)
class UpperBound:
    """A mean and what it is at most.

    Attributes:
        value: The mean, in the unit of the samples.
        upper: One-sided upper bound, same unit.
        alpha: Probability that such a bound lies below the truth.
        samples: Samples that the mean rests on.
        clusters: Independent groups among them.
    """

    value: float
    upper: float
    alpha: float
    samples: int
    clusters: int


def binomial_tails(trials: int, share: float) -> Floats:
    """Probability of k or more successes in so many independent trials, for every k, `[trials + 1]`.

    Args:
        trials: Number of trials, above 0.
        share: Probability of a success, strictly between 0 and 1.
    """
    number = np.arange(trials + 1)
    terms = np.exp(_log_ways(trials) + number * math.log(share) + (trials - number) * math.log1p(-share))
    tails: Floats = np.minimum(np.cumsum(terms[::-1])[::-1], 1.0)
    return tails


def clopper_pearson_lower(successes: ArrayLike, trials: int, alpha: float) -> Floats:
    """The share p below which `successes` or more of `trials` would happen with a probability below alpha.

    Args:
        successes: Whole numbers from 0 to trials, of any shape.
        trials: Independent trials, above 0.
        alpha: One-sided error probability.

    Returns:
        Lower bounds in the shape of `successes`; 0 for no success.

    Raises:
        MeasurementError: No trials, a number of successes that cannot be, or an impossible alpha.
    """
    counts = _checked_counts(successes, trials, alpha)
    different, where = np.unique(counts, return_inverse=True)
    low, high = np.zeros(len(different)), np.ones(len(different))
    number, ways = np.arange(trials + 1), _log_ways(trials)
    for _ in range(BISECTIONS):
        p = ((low + high) / 2)[:, None]
        terms = np.exp(ways + number * np.log(p) + (trials - number) * np.log1p(-p))
        rare = np.sum(terms, axis=1, where=number >= different[:, None]) <= alpha
        low, high = np.where(rare, p[:, 0], low), np.where(rare, high, p[:, 0])
    bounds: Floats = np.where(different == 0, 0.0, low)[where].reshape(counts.shape)
    return bounds


def clopper_pearson_upper(successes: ArrayLike, trials: int, alpha: float) -> Floats:
    """The share above which `successes` or fewer of `trials` would happen with a probability below alpha.

    Args:
        successes: Whole numbers from 0 to trials, of any shape.
        trials: Independent trials, above 0.
        alpha: One-sided error probability.

    Raises:
        MeasurementError: See `clopper_pearson_lower`.
    """
    counts = _checked_counts(successes, trials, alpha)
    return 1 - clopper_pearson_lower(trials - counts, trials, alpha)


def upper_mean(values: ArrayLike, clusters: Sequence[Hashable], *, alpha: float = ALPHA) -> UpperBound:
    """What the mean over samples is at most, where samples of one cluster resemble each other.

    Every sample weighs the same. The mean is a ratio of sums over clusters; each cluster enters with the amount by
    which it moves that ratio, and the bound is the larger of Student's t on these amounts and Hall's transformation
    of it, so that skewness towards harm widens the bound and skewness towards gain does not shorten it.

    Args:
        values: One number for each sample, `[samples]`.
        clusters: The cluster of each sample, same length.
        alpha: One-sided error probability.

    Raises:
        MeasurementError: Fewer than `FEWEST_CLUSTERS` clusters, not one name for each value, or a value that is not
            finite.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if numbers.size != len(clusters) or not np.isfinite(numbers).all():
        raise MeasurementError(
            f"a bound needs finite samples and one cluster name for each; got {numbers.size} samples, of which "
            f"{int(np.isfinite(numbers).sum())} are finite, and {len(clusters)} names. Count the others as failed."
        )
    order: dict[Hashable, int] = {}
    index = np.asarray([order.setdefault(name, len(order)) for name in clusters], dtype=np.int64)
    groups = len(order)
    if groups < FEWEST_CLUSTERS:
        raise MeasurementError(
            f"a one-sided bound needs at least {FEWEST_CLUSTERS} documents, because fewer do not show how much they "
            f"differ; got {groups}. Measure on more documents."
        )
    counts = np.bincount(index)
    mean = float(numbers.mean())
    moves = (np.bincount(index, weights=numbers) - mean * counts) * groups / numbers.size
    return UpperBound(mean, mean + _margin(moves, _checked_alpha(alpha)), alpha, numbers.size, groups)


def _margin(moves: Floats, alpha: float) -> float:
    """How far above the mean of centred, exchangeable amounts the truth may lie."""
    n = len(moves)
    spread = math.sqrt(float(np.sum(moves**2)) / (n - 1))
    if spread == 0:
        return 0.0
    step = student_quantile(1 - 2 * alpha, n - 1) / math.sqrt(n)
    skewness = float(np.sum(moves**3)) * n / ((n - 1) * (n - 2)) / spread**3
    if skewness <= 1e-6:
        return spread * step
    hall = 3 / skewness * (1 - math.cbrt(1 - skewness * (step + skewness / (6 * n))))
    return spread * max(step, hall)


def _log_ways(trials: int) -> Floats:
    """Logarithms of the binomial coefficients, `[trials + 1]`."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    ways: Floats = factorials[-1] - factorials - factorials[::-1]
    return ways


def _checked_counts(successes: ArrayLike, trials: int, alpha: float) -> NDArray[np.int64]:
    given = np.asarray(successes, dtype=np.float64)
    counts = given.astype(np.int64)
    if trials < 1 or np.any(given != counts) or np.any((counts < 0) | (counts > trials)):
        raise MeasurementError(
            f"an exact bound of a share needs whole numbers of successes from 0 to the number of trials; got "
            f"{given.ravel().tolist()[:5]} of {trials}. Scores between 0 and 1 need the betting schedule."
        )
    _checked_alpha(alpha)
    return counts


def _checked_alpha(alpha: float) -> float:
    if not 0 < alpha < 0.5:
        raise MeasurementError(f"a one-sided error probability lies between 0 and 0.5; got {alpha}. Use 0.05.")
    return alpha
