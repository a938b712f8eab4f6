"""When enough samples have been seen: schedules that look at a growing sample and still err in at most 5 % of cases.

A claim "at least `threshold`" that is tested at 5 % after every sample is wrong far more often than in 5 % of cases:
whoever waits for a lucky moment meets one. Two ways out, both a `Schedule`:

- `LookSchedule`: a few looks at numbers fixed beforehand, each with its part of the 5 % (Bonferroni), and the exact
  bound of Clopper and Pearson at each. For scores of 0 or 1.
- `BettingSchedule`: the hedged capital process of Waudby-Smith and Ramdas (2020), arXiv:2010.09686, theorem 3. A
  player bets against "the mean is at most m" and cannot lose on average if it is true; by Ville's inequality the
  chance that the capital *ever* reaches 1/alpha is then at most alpha. Valid at every sample, for any scores
  between 0 and 1.

Scores are an array whose last axis is the order of drawing; leading axes are cells that are judged side by side. NaN
is a failed sample: it counts as 0 for the lower bound and as 1 for the upper one, and where more than 1 % failed
nothing is decided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.bounds import binomial_tails, clopper_pearson_lower
from ropewalk.errors import MeasurementError, OptionError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Booleans = NDArray[np.bool_]

ALPHA = 0.05
FAILED_SHARE = 0.01
PASSED, OPEN, BELOW = 1, 0, -1
BISECTIONS = 40


@dataclass(frozen=True)
class Decisions:
    """What a schedule says of each cell.

    Attributes:
        verdicts: `PASSED` (at least the threshold), `BELOW` it, or `OPEN`, `[...]`.
        contexts: Samples at which it was said, or all samples of an open cell, `[...]`.
    """

    verdicts: Integers
    contexts: Integers


@dataclass(frozen=True)
class Evidence:
    """Bounds of each cell at each point where a schedule may decide.

    Attributes:
        contexts: Samples at each point, `[points]`.
        above, below: The lower bound is at least the threshold; the upper bound is below it, `[..., points]`.
    """

    contexts: Integers
    above: Booleans
    below: Booleans


@dataclass(frozen=True)
class Schedule:
    """Base of both schedules: from evidence at single points to decisions."""

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of samples, increasing, after which more may be left undrawn."""
        raise NotImplementedError

    @property
    def cap(self) -> int:
        """The number of samples after which an open cell stays undecided."""
        return self.looks[-1]

    def evidence(self, scores: Floats, threshold: float) -> Evidence:
        """Bounds against the threshold; once a bound has crossed it, it stays crossed."""
        raise NotImplementedError

    def lower(self, scores: ArrayLike) -> float:
        """What the mean of one cell is at least, `[samples]`; the bound holds at all points at once."""
        raise NotImplementedError

    def upper(self, scores: ArrayLike) -> float:
        """What the mean of one cell is at most, `[samples]`."""
        return 1 - self.lower(1 - np.asarray(scores, dtype=np.float64))

    def decide(self, scores: ArrayLike, threshold: float) -> Decisions:
        """The first decision of each cell that the samples so far allow. Later samples never change it.

        Args:
            scores: `[..., samples]`, between 0 and 1, NaN where a sample failed.
            threshold: What the mean must be at least, strictly between 0 and 1.

        Raises:
            MeasurementError: Scores or a threshold outside these ranges, or scores that the schedule cannot bound.
        """
        numbers = _checked_scores(scores)
        evidence = self.evidence(numbers, _checked_threshold(threshold))
        failed = np.isnan(numbers).cumsum(axis=-1)[..., evidence.contexts - 1]
        heard = failed <= FAILED_SHARE * evidence.contexts
        says = np.where(evidence.above & heard, PASSED, np.where(evidence.below & heard, BELOW, OPEN))
        # An open column at the end is what is left where no point decides.
        says = np.concatenate([says, np.full((*says.shape[:-1], 1), OPEN)], axis=-1)
        contexts = np.append(evidence.contexts, numbers.shape[-1])
        first = np.where((says != OPEN).any(axis=-1), (says != OPEN).argmax(axis=-1), says.shape[-1] - 1)
        return Decisions(np.take_along_axis(says, first[..., None], axis=-1)[..., 0], contexts[first])

    def hopeless(self, scores: ArrayLike, threshold: float) -> Booleans:
        """Open cells that would not pass even if all further answers up to the cap were right, `[...]`."""
        numbers = _checked_scores(scores)
        room = np.ones((*numbers.shape[:-1], max(0, self.cap - numbers.shape[-1])))
        best = self.decide(np.concatenate([numbers, room], axis=-1), threshold).verdicts != PASSED
        still_open = self.decide(numbers, threshold).verdicts == OPEN
        return np.asarray(best & still_open)


@dataclass(frozen=True)
class LookSchedule(Schedule):
    """Exact binomial bounds at a few looks, which spend 5 % in all.

    Attributes:
        contexts: Samples at each look, increasing.
        alphas: Part of the error probability that each look spends, one-sided, in all at most 0.05. The upper bound
            that ends a hopeless cell spends as much on its own side; it costs power but no validity.

    Raises:
        OptionError: Looks that do not increase, or parts that do not fit them or exceed 0.05.
    """

    contexts: tuple[int, ...] = (50, 100, 200)
    alphas: tuple[float, ...] = (0.02, 0.015, 0.015)

    def __post_init__(self) -> None:
        increasing = all(a < b for a, b in pairwise((0, *self.contexts)))
        if not self.contexts or not increasing or len(self.contexts) != len(self.alphas):
            raise OptionError(
                f"a schedule needs looks at increasing numbers of contexts and one alpha for each; got looks "
                f"{list(self.contexts)} and alphas {list(self.alphas)}. An example: 50, 100, 200 and .02, .015, .015."
            )
        if min(self.alphas) <= 0 or sum(self.alphas) > ALPHA + 1e-12:
            raise OptionError(
                f"the alphas of a schedule must be above 0 and sum to at most {ALPHA}, because each look spends its "
                f"part of the error; got {list(self.alphas)}, together {sum(self.alphas):.4g}. Spend less at each look."
            )

    def __str__(self) -> str:
        alphas = ", ".join(f"{alpha:g}" for alpha in self.alphas)
        return f"exact binomial bounds at {', '.join(map(str, self.contexts))} contexts, alpha {alphas}"

    @property
    def looks(self) -> tuple[int, ...]:
        return self.contexts

    def evidence(self, scores: Floats, threshold: float) -> Evidence:
        seen = [look for look in self.looks if look <= scores.shape[-1]]
        above = np.zeros((*scores.shape[:-1], len(seen)), dtype=bool)
        below = np.zeros_like(above)
        for point, (look, alpha) in enumerate(zip(seen, self.alphas, strict=False)):
            low, high = _counted(scores[..., :look])
            # A bound has crossed the threshold where the outcome would be too rare if the threshold were the truth.
            above[..., point] = binomial_tails(look, threshold)[low] <= alpha
            below[..., point] = binomial_tails(look, 1 - threshold)[look - high] < alpha
        together = np.logical_or.accumulate
        return Evidence(np.asarray(seen, dtype=np.int64), together(above, axis=-1), together(below, axis=-1))

    def lower(self, scores: ArrayLike) -> float:
        numbers = np.asarray(scores, dtype=np.float64)
        looks = [(look, alpha) for look, alpha in zip(self.looks, self.alphas, strict=True) if look <= len(numbers)]
        bounds = [float(clopper_pearson_lower(_counted(numbers[:n])[0], n, alpha)) for n, alpha in looks]
        return max(bounds, default=0.0)


@dataclass(frozen=True)
class BettingSchedule(Schedule):
    """Betting against the threshold after every sample.

    The stake before sample t is min(sqrt(2 ln(1/alpha) / (aim * variance)), 1 / (2 m)), with the variance of the
    samples before t: the stakes that arXiv:2010.09686 gives after theorem 3 for a fixed number of samples, with
    c = 1/2, and ln(1/alpha) for ln(2/alpha) because each bound is one of the two sides. A stake may use the past in
    any way, so `aim` is a matter of power alone.

    Attributes:
        limit: Samples after which an open cell stays undecided.
        block: Samples that are drawn together, between which drawing may end.
        aim: Number of samples for which the stakes are best.
        alpha: Error probability of the lower bound, at most 0.05, and of the upper bound.

    Raises:
        OptionError: Sizes below 1 or an alpha that is not in (0, 0.05].
    """

    limit: int = 800
    block: int = 25
    aim: int = 200
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        if min(self.block, self.aim) < 1 or self.limit < self.block:
            raise OptionError(
                f"a betting schedule needs a block of at least 1 context, an aim of at least 1 and a limit of at least "
                f"a block; got block {self.block}, aim {self.aim}, limit {self.limit}. An example: 25, 200, 800."
            )
        if not 0 < self.alpha <= ALPHA:
            raise OptionError(f"alpha must lie above 0 and be at most {ALPHA}; got {self.alpha}. Use {ALPHA}.")

    def __str__(self) -> str:
        return f"betting confidence sequence, alpha {self.alpha:g}, at most {self.limit} contexts"

    @property
    def looks(self) -> tuple[int, ...]:
        return (*range(self.block, self.limit, self.block), self.limit)

    def evidence(self, scores: Floats, threshold: float) -> Evidence:
        goal = -math.log(self.alpha)
        above = self._capital(np.nan_to_num(scores, nan=0.0), threshold) >= goal
        below = self._capital(np.nan_to_num(1 - scores, nan=0.0), 1 - threshold) >= goal
        return Evidence(np.arange(1, scores.shape[-1] + 1), above, below)

    def lower(self, scores: ArrayLike) -> float:
        numbers = np.nan_to_num(_checked_scores(scores), nan=0.0)
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS if numbers.size else 0):
            middle = (low + high) / 2
            refuted = self._capital(numbers, middle)[-1] >= -math.log(self.alpha)
            low, high = (middle, high) if refuted else (low, middle)
        return low

    def _capital(self, scores: Floats, mean: float) -> Floats:
        """Logarithm of the largest capital so far of a player who bets that scores exceed `mean`, `[..., samples]`.

        It falls as `mean` grows, because the stake before its limit does not depend on `mean`: so what is refuted is
        an interval, and `lower` may bisect.
        """
        number = np.arange(1, scores.shape[-1] + 1)
        means = (0.5 + scores.cumsum(axis=-1)) / (number + 1)
        variances = (0.25 + ((scores - means) ** 2).cumsum(axis=-1)) / (number + 1)
        before = np.concatenate([np.full((*scores.shape[:-1], 1), 0.25), variances[..., :-1]], axis=-1)
        stakes = np.minimum(np.sqrt(-2 * math.log(self.alpha) / (self.aim * before)), 0.5 / mean)
        capital = np.log1p(stakes * (scores - mean)).cumsum(axis=-1)
        largest: Floats = np.maximum.accumulate(capital, axis=-1)
        return largest


SCHEDULES: dict[str, Schedule] = {
    "standard": LookSchedule(),
    "thorough": LookSchedule((50, 100, 200, 400, 800), (0.01, 0.01, 0.01, 0.01, 0.01)),
    "betting": BettingSchedule(),
}


def named_schedule(name: str) -> Schedule:
    """`standard` (at most 200 contexts), `thorough` (800) or `betting` (800, any scores between 0 and 1).

    Raises:
        UnknownNameError: Another name.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    return SCHEDULES[name]


def leading_passed(passed: Booleans) -> Integers:
    """How many lengths, from the shortest on without a gap, have passed in every cell.

    An intersection-union test (Berger 1982, Technometrics 24:295) in a fixed order: if some length is truly below,
    it must pass by mistake for the claim to overstate, and the cell that is below does so in at most 5 % of cases.
    So no correction for the number of cells, tasks or lengths is needed.

    Args:
        passed: `[..., lengths, cells]`, lengths increasing.
    """
    counts: Integers = np.cumprod(passed.all(axis=-1), axis=-1, dtype=np.int64).sum(axis=-1)
    return counts


def _counted(scores: Floats) -> tuple[Integers, Integers]:
    """Right answers with failed samples taken for wrong, and taken for right."""
    good = np.where(np.isnan(scores), 0.0, scores)
    if not np.isin(good, (0.0, 1.0)).all():
        share = good[~np.isin(good, (0.0, 1.0))].flat[0]
        raise MeasurementError(
            f"exact binomial bounds need scores of 0 or 1; got {share:g}. Use the betting schedule, which takes any "
            "score between 0 and 1."
        )
    right = good.sum(axis=-1).astype(np.int64)
    return right, right + np.isnan(scores).sum(axis=-1)


def _checked_scores(scores: ArrayLike) -> Floats:
    numbers = np.asarray(scores, dtype=np.float64)
    good = np.isnan(numbers) | ((numbers >= 0) & (numbers <= 1))
    if not good.all():
        raise MeasurementError(
            f"scores must lie between 0 and 1, or be NaN for a failed sample; got {numbers[~good].flat[0]:g}. "
            "Divide scores by their largest possible value."
        )
    return numbers


def _checked_threshold(threshold: float) -> float:
    if not 0 < threshold < 1:
        raise MeasurementError(
            f"a threshold lies strictly between 0 and 1; got {threshold:g}. A task whose reference gives no such "
            "threshold is not certifiable."
        )
    return threshold
