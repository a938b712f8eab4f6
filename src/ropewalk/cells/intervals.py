"""The interval of a difference that was measured with several training seeds on the same documents.

Seeds and documents are crossed: every seed is measured on every document. Both are drawn with replacement,
independently of each other (Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1:386, arXiv:0712.1111).
Three seeds are few, and a percentile bootstrap of three knows no value outside them: it finds an effect that is not
there in 13 % of cases where 2.5 % are promised. So the deviations that seeds and documents cause are widened, each by
the factor by which Student's t interval of so many numbers is wider than the plain bootstrap's,
sqrt(n / (n - 1)) t / z (after Hesterberg 2015, arXiv:1411.5279, on narrowness bias; he widens the quantiles instead).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.errors import MeasurementError
from ropewalk.statistics import DRAWS, LEVEL, Interval, student_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ropewalk.rope import Floats


def crossed_interval(
    table: ArrayLike,
    rng: np.random.Generator,
    *,
    unit: str = "documents",
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The mean of a table of seeds and documents, with its interval over both.

    With one seed only documents are drawn: the interval says nothing of other seeds.

    Args:
        table: A number for each seed and document, `[seeds, documents]`.
        rng: Source of the draws.
        unit: What the documents are, in the plural.
        level: Two-sided confidence level.
        draws: Number of resamples.

    Raises:
        MeasurementError: Not a table of finite numbers, or fewer than two documents.
    """
    return summed_interval([table], rng, units=(unit,), level=level, draws=draws)


def summed_interval(
    tables: Sequence[ArrayLike],
    rng: np.random.Generator,
    *,
    units: Sequence[str],
    level: float = LEVEL,
    draws: int = DRAWS,
) -> Interval:
    """The sum of the means of tables with the same seeds and documents of their own, with its interval over all.

    Every draw takes the same seeds of all tables, because one training stands behind a row of each.

    Args:
        tables: A number for each seed and document, `[seeds, documents]`; the seeds are the same in all.
        rng: Source of the draws.
        units: What the documents of each table are, in the plural.
        level: Two-sided confidence level.
        draws: Number of resamples.

    Raises:
        MeasurementError: Not tables of finite numbers and as many seeds, or fewer than two documents in one.
    """
    parts = [_checked(table, unit) for table, unit in zip(tables, units, strict=True)]
    seeds = len(parts[0])
    by_seed = _shares(rng, seeds, draws)
    drawn = sum((_drawn(numbers, by_seed, rng, level) for numbers in parts), start=np.zeros(draws))
    value = float(sum(numbers.mean() for numbers in parts))
    tail = (1 - level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
    counts = [f"{numbers.shape[1]} {unit}" for numbers, unit in zip(parts, units, strict=True)]
    over = " and ".join(counts if seeds == 1 else [f"{seeds} seeds", *counts])
    method = f"bootstrap over {over}, widened as Student's t"
    size, documents = sum(numbers.size for numbers in parts), sum(numbers.shape[1] for numbers in parts)
    return Interval(value, min(low, value), max(high, value), level, method, size, documents)


def _checked(table: ArrayLike, unit: str) -> Floats:
    numbers = np.asarray(table, dtype=np.float64)
    if numbers.ndim != 2 or numbers.shape[1] < 2 or not np.isfinite(numbers).all():
        raise MeasurementError(
            f"an interval over seeds and {unit} needs a finite number for each seed and at least 2 {unit}; got a table "
            f"of {' x '.join(map(str, numbers.shape))}. Measure on more {unit}."
        )
    return numbers


def _drawn(numbers: Floats, by_seed: Floats, rng: np.random.Generator, level: float) -> Floats:
    """The mean of a table in each draw, what seeds and documents cause widened, `[draws]`."""
    draws, (seeds, documents) = len(by_seed), numbers.shape
    mean = float(numbers.mean())
    by_document = _shares(rng, documents, draws)
    from_seeds = by_seed @ (numbers.mean(axis=1) - mean)
    from_documents = by_document @ (numbers.mean(axis=0) - mean)
    from_both = ((by_seed @ numbers) * by_document).sum(axis=1) - mean - from_seeds - from_documents
    drawn: Floats = mean + widening(seeds, level) * from_seeds + widening(documents, level) * from_documents + from_both
    return drawn


def widening(count: int, level: float = LEVEL) -> float:
    """How much wider Student's t interval of so many numbers is than their plain bootstrap's; 0 for a single one."""
    if count < 2:
        return 0.0
    normal = NormalDist().inv_cdf((1 + level) / 2)
    return math.sqrt(count / (count - 1)) * student_quantile(level, count - 1) / normal


def _shares(rng: np.random.Generator, count: int, draws: int) -> Floats:
    """Which share of each draw falls on each of `count` things, `[draws, count]`."""
    shares: Floats = rng.multinomial(count, np.full(count, 1 / count), size=draws) / count
    return shares
