"""What is read off measured cells: a number for each seed and document, so that everything can be paired.

A document (or a context of recall questions) counts as one, with the mean of its samples; so two cells differ by the
mean over documents of their differences. A document with a failed sample is left out whole, of all cells that are
compared, and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.cells.intervals import crossed_interval
from ropewalk.errors import MeasurementError
from ropewalk.evals.plan import DEPTH_DIGITS
from ropewalk.result import AGAINST_CUT, CellReading, Estimate, quantity_of
from ropewalk.statistics import Interval, clustered_proportion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ropewalk.result import Quantity, SampleResult

    Means = Mapping[str, float]
    # Samples by cell name, then by seed, then by exam.
    Samples = Mapping[str, Mapping[int | None, Mapping[str, Sequence[SampleResult]]]]


@dataclass(frozen=True)
class Reading:
    """One number of a cell.

    Attributes:
        cell: Name of the cell.
        of: Name of the exam.
        measure: Measure of the samples, such as `paired_nll` or `key_value`.
        length: Tokens of context.
        depths: Facts at these depths count, from and to, both included; None for all.
    """

    cell: str
    of: str
    measure: str
    length: int
    depths: tuple[float, float] | None = None

    @property
    def is_share(self) -> bool:
        """Whether samples are right or wrong, and no loss."""
        return self.quantity.kind == "share"

    @property
    def quantity(self) -> Quantity:
        """The kind of number that its measure is."""
        return quantity_of(self.measure)

    def __str__(self) -> str:
        where = "" if self.depths is None else f", depth {self.depths[0]:.2g} to {self.depths[1]:.2g}"
        return f"{self.cell} at {self.length:,} ({self.of}{where})"


@dataclass(frozen=True)
class Table:
    """Numbers of seeds on documents.

    Attributes:
        seeds: Of the rows; none where nothing was trained, and there is one row.
        documents: Of the columns.
        values: `[seeds, documents]`.
        failed: Documents that are left out, because a sample of theirs failed.
    """

    seeds: tuple[int, ...]
    documents: tuple[str, ...]
    values: NDArray[np.float64]
    failed: int


def table_of(terms: Sequence[tuple[float, Reading]], samples: Samples) -> Table | None:
    """The weighted sum of readings, for each seed and document.

    A cell without training (the untouched model) stands beside every seed of the others.

    Args:
        terms: Weights and readings.
        samples: Of all cells that are done.

    Returns:
        The table over the seeds that all cells share, or None if a cell is missing.

    Raises:
        MeasurementError: The readings were not taken on the same documents, or on none.
    """
    by_seed = [_means_by_seed(reading, samples) for _, reading in terms]
    if any(not means for means in by_seed):
        return None
    trained = [set(means) for means in by_seed if None not in means]
    seeds = sorted(seed for seed in set.intersection(*trained) if seed is not None) if trained else []
    if trained and not seeds:
        return None
    rows = [[means[seed if seed in means else None] for means in by_seed] for seed in (seeds or (None,))]
    failed = set().union(*(broken for row in rows for _, broken in row))
    names = [set(means) | broken for row in rows for means, broken in row]
    if any(name != names[0] for name in names):
        raise MeasurementError(
            f"a contrast needs the same documents in every cell; {' and '.join(str(r) for _, r in terms)} were "
            "measured on different ones. Measure them by one exam."
        )
    documents = tuple(sorted(names[0] - failed))
    weights = [weight for weight, _ in terms]
    values = np.array(
        [
            [math.fsum(w * means[d] for w, (means, _) in zip(weights, row, strict=True)) for d in documents]
            for row in rows
        ]
    )
    return Table(tuple(seeds), documents, values.reshape(len(rows), len(documents)), len(failed))


def interval_of(table: Table, *, unit: str, is_share: bool = False) -> Interval:
    """The table's mean with its 95 % interval over seeds and documents.

    Shares without any spread (all right, or all wrong) get Wilson's interval, which has width there.
    """
    if is_share and table.values.min() == table.values.max() in (0.0, 1.0):
        answers, contexts = table.values[0], table.documents
        return clustered_proportion(answers, contexts)
    return crossed_interval(table.values, np.random.default_rng(0), unit=unit)


def unit_of_documents(reading: Reading) -> str:
    """What the columns of a reading's table are."""
    return reading.quantity.documents


def cell_reading(
    reading: Reading, samples: Samples, *, depth: float | None = None, against: Reading | None = None
) -> CellReading | None:
    """The record of a reading over all seeds of its cell, or None if the cell is missing or has too few documents.

    Args:
        reading: The reading.
        samples: Of all cells that are done.
        depth: What the record calls the reading's depths.
        against: Read off the same documents and subtracted: the untouched model with its context cut.
    """
    terms = [(1.0, reading)] if against is None else [(1.0, reading), (-1.0, against)]
    table = table_of(terms, samples)
    if table is None or len(table.documents) < 2:
        return None
    interval = interval_of(table, unit=unit_of_documents(reading), is_share=reading.is_share)
    # A few trainings widen an interval beyond what a share can be.
    least, most = (0.0, 1.0) if reading.is_share and against is None else (-math.inf, math.inf)
    estimate = Estimate(
        measure=reading.measure + ("" if against is None else AGAINST_CUT),
        protocol="mean over documents of the mean over samples" + ("" if against is None else f", minus {against}"),
        unit=reading.quantity.unit,
        length=reading.length,
        depth=depth,
        value=interval.value,
        low=max(interval.low, least),
        high=min(interval.high, most),
        interval=interval.method,
        samples=table.values.size,
        failed=table.failed,
        clusters=len(table.documents),
    )
    return CellReading(cell=reading.cell, of=reading.of, seeds=_seeds(reading, samples), estimate=estimate)


def depths_of(reading: Reading, samples: Samples) -> tuple[float, ...]:
    """Every depth at which facts stood."""
    found = {
        s.depth for exams in samples.get(reading.cell, {}).values() for s in _chosen(reading, exams.get(reading.of, ()))
    }
    return tuple(sorted(depth for depth in found if depth is not None))


def _seeds(reading: Reading, samples: Samples) -> int:
    return sum(reading.of in exams for exams in samples[reading.cell].values())


def _means_by_seed(reading: Reading, samples: Samples) -> dict[int | None, tuple[Means, set[str]]]:
    found: dict[int | None, tuple[Means, set[str]]] = {}
    for seed, exams in samples.get(reading.cell, {}).items():
        chosen = list(_chosen(reading, exams.get(reading.of, ())))
        if chosen:
            found[seed] = _document_means(chosen)
    return found


def _chosen(reading: Reading, samples: Sequence[SampleResult]) -> Iterable[SampleResult]:
    # Samples carry their depths to four digits, so that a third is 0.3333 and lies at the border, which is included.
    low, high = (round(depth, DEPTH_DIGITS) for depth in reading.depths or (-math.inf, math.inf))
    for sample in samples:
        measured = (sample.measure, sample.length) == (reading.measure, reading.length)
        if measured and (sample.depth is None or low <= sample.depth <= high):
            yield sample


def _document_means(samples: Iterable[SampleResult]) -> tuple[dict[str, float], set[str]]:
    """Mean of each document whose samples are all good, and the names of the others."""
    values: dict[str, list[float]] = {}
    broken: set[str] = set()
    for sample in samples:
        if sample.value is None:
            broken.add(sample.cluster)
        else:
            values.setdefault(sample.cluster, []).append(sample.value)
    return {name: math.fsum(of) / len(of) for name, of in values.items() if name not in broken}, broken
