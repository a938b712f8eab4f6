"""By what logits would have to be multiplied so that attention entropy stays what it is at the trained length.

Entropy-ABF (arXiv:2401.07004, eq. 3) multiplies the logits of query n by max(ln n / ln L, 1). Here the multiplier is
measured: for each layer and stretch of positions, the factor at which the mean entropy equals that of the last
positions of the trained window; then its slope against ln n / ln L. Entropy-ABF's own slope is 1, no scale is 0.

NumPy alone: where entropies come from is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.errors import MeasurementError
from ropewalk.statistics import LEVEL, student_quantile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ropewalk.rope import Floats

STRETCHES_PER_OCTAVE = 4
OCTAVES_INSIDE = 4
LARGEST_SCALE = 8.0
POINTS = 9
RELATIVE_TOLERANCE = 2e-3  # of the last bracket; a secant inside it is exact to about its square
# Each pass leaves one of POINTS - 1 parts of a bracket.
PASSES = math.ceil(math.log(2 * math.log(LARGEST_SCALE) / math.log1p(RELATIVE_TOLERANCE), POINTS - 1))


@dataclass(frozen=True)
class Stretch:
    """A range of query positions whose entropies are averaged.

    Attributes:
        first, last: Its ends, tokens counted from 1: query n sees n keys.
        queries: 0-based positions at which it is measured, evenly spaced, `[queries]`.
    """

    first: int
    last: int
    queries: NDArray[np.int64]

    def log_ratio(self, trained_length: int) -> float:
        """The mean of ln n / ln L over its queries."""
        return float(np.log(self.queries + 1.0).mean() / math.log(trained_length))


def stretches(trained_length: int, longest: int, *, queries: int) -> tuple[Stretch, ...]:
    """Ranges of equal ratio, of which one ends at the trained length and the last at the longest.

    Args:
        trained_length: Tokens of the original window.
        longest: Tokens of the longest context.
        queries: Positions in each at most.
    """
    width = 2 ** (1 / STRETCHES_PER_OCTAVE)
    count = math.ceil(math.log(longest / trained_length, width) - 1e-9)
    steps = range(-OCTAVES_INSIDE * STRETCHES_PER_OCTAVE, count + 1)
    edges = sorted({max(1, min(round(trained_length * width**step), longest)) for step in steps})
    found = []
    for before, last in pairwise(edges):
        places = np.linspace(before, last - 1, min(queries, last - before)).round().astype(np.int64)
        found.append(Stretch(before + 1, last, places))
    return tuple(found)


def flat_scales(measure: Callable[[Floats], Floats], reference: Floats, stretches_beyond: int) -> tuple[Floats, Floats]:
    """The multipliers at which mean entropy equals the reference, by bisection.

    Each pass measures `POINTS` multipliers of every bracket, evenly spaced in their logarithm, so that few passes over
    the documents are needed; the bracket is then the neighbours between which the mean falls through the reference.
    Entropy falls with the multiplier (its derivative is minus the multiplier times the variance of the logits), unless
    logits are capped; should it cross the reference more than once, the crossing nearest to 1 is taken.

    Args:
        measure: Multipliers `[layers, stretches, points]` to mean entropies `[documents, layers, stretches, points]`.
        reference: Entropy at the trained length, `[documents, layers]`.
        stretches_beyond: Number of stretches.

    Returns:
        Multipliers for the mean over documents, `[layers, stretches]`, NaN if none from 1/8 to 8 does it; and for each
        document its pseudo-value (the linear effect that the document has on the multiplier), whose mean over
        documents is the multiplier, `[documents, layers, stretches]`.
    """
    low = np.full((reference.shape[1], stretches_beyond), 1 / LARGEST_SCALE)
    high = np.full_like(low, LARGEST_SCALE)
    for _ in range(PASSES):
        grid = np.geomspace(low, high, POINTS, axis=-1)
        excess = measure(grid) - reference[:, :, None, None]
        left, found = _crossing(excess.mean(axis=0), grid)
        low, high = _at(grid, left), _at(grid, left + 1)
        before, after = _at(excess, left), _at(excess, left + 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # entropy that no multiplier changes: not found
        rise = (after - before) / (high - low)
        scale = low - before.mean(axis=0) / rise.mean(axis=0)
        per_document = scale - (before + (scale - low) * rise) / rise.mean(axis=0)
    return np.where(found, scale, np.nan), np.where(found, per_document, np.nan)


def flat_slope(log_ratios: Floats, reference_ratio: float, scales: Floats) -> Floats:
    """Slope of the multipliers against ln n / ln L, by least squares through (reference, 1).

    Args:
        log_ratios: ln n / ln L of each stretch, `[stretches]`.
        reference_ratio: The same of the stretch that ends at the trained length, whose multiplier is 1.
        scales: Multipliers, `[..., stretches]`.

    Returns:
        `[...]`; 1 for Entropy-ABF's own scale. NaN where a multiplier is missing.
    """
    run = log_ratios - reference_ratio
    slope: Floats = (scales - 1) @ run / (run @ run)
    return slope


def mean_over_documents(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and ends of Student's interval over the first axis.

    Raises:
        MeasurementError: Fewer than two documents.
    """
    count = len(values)
    if count < 2:
        raise MeasurementError(
            f"an interval over documents needs at least 2 of them; got {count}. Measure on more documents."
        )
    mean = values.mean(axis=0)
    half = student_quantile(LEVEL, count - 1) * values.std(axis=0, ddof=1) / math.sqrt(count)
    return mean, mean - half, mean + half


def _crossing(excess: Floats, grid: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index of the point before the fall through 0 nearest to multiplier 1, and whether there is one."""
    falls = (excess[..., :-1] >= 0) & (excess[..., 1:] <= 0)
    distance = np.abs(np.log(grid[..., :-1] * grid[..., 1:]))
    return np.where(falls, distance, np.inf).argmin(axis=-1), np.asarray(falls.any(axis=-1))


def _at(values: Floats, point: NDArray[np.int64]) -> Floats:
    """One point of the last axis for each `[layers, stretches]`."""
    index = np.broadcast_to(point[..., None], (*values.shape[:-1], 1))
    picked: Floats = np.take_along_axis(values, index, axis=-1)[..., 0]
    return picked
