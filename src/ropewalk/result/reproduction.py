"""A paper in miniature: its cells, what was read off them, and what that says of the paper's claims."""

from __future__ import annotations

from typing import Any, Literal

from ropewalk.result.certificate import Certificate
from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, Record

State = Literal["holds", "does not hold", "undecided", "cannot be judged at this scale", "not measured"]


class CellRecord(Record):
    """One model of a study: how it was made. What was measured of it are the study's readings.

    Attributes:
        name: The same for every seed, such as `linear-8x`.
        seed: Of the training; None where nothing was trained.
        about: What tables call it.
        method: Phrase such as `linear, factor 8`, or `untouched`.
        run: The resolved run; None for the untouched model.
        losses: Loss of each training step, nats per supervised token.
        tokens: Tokens read in training, supervised or not.
        wall_seconds: Training and measuring.
    """

    name: str
    seed: int | None
    about: str
    method: str
    run: dict[str, Any] | None
    losses: tuple[float, ...]
    tokens: int
    wall_seconds: float

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return len(self.losses)


class CellReading(Record):
    """A number of a cell, over all its seeds.

    Attributes:
        cell: Name of the cell.
        of: Name of the measurement, such as `modules`.
        seeds: Number of trainings that it rests on.
        estimate: The number; its measure is that of the samples, such as `paired_nll`.
    """

    cell: str
    of: str
    seeds: int
    estimate: Estimate


class Effect(Record):
    """A contrast as it was measured: positive in the claimed direction.

    Attributes:
        low, high: 95 % interval over seeds and documents.
        interval: How it was made.
        seeds: Seeds of the rows of the table.
        documents: Documents (or contexts) of its columns.
        table: The difference of each seed on each document, `[seeds][documents]`.
        failed: Documents that were left out because a sample of theirs failed.
    """

    value: float
    low: float
    high: float
    interval: str
    seeds: tuple[int, ...]
    documents: tuple[str, ...]
    table: tuple[tuple[float, ...], ...]
    failed: int = 0


class Verdict(Record):
    """What the cells say of one claim.

    Attributes:
        claim: Its name.
        source: Where the paper makes it, such as `table 1`.
        words: The claim in our words.
        figure: The paper's own numbers for it, as text.
        contrast: What was subtracted from what.
        unit: Of effect and smallest effect.
        smallest_effect: Smallest difference that counts.
        headline: Whether the paper stands on it.
        state: The verdict.
        because: Why it cannot be judged, what is missing, or that a single seed or an edge keeps it open; else
            empty.
        widening: By how much the interval was widened on both sides, for a claim that rests on one seed.
        effect: None where a cell is missing.
    """

    claim: str
    source: str
    words: str
    figure: str
    contrast: str
    unit: str
    smallest_effect: float
    headline: bool
    state: State
    because: str = ""
    widening: float = 0.0
    effect: Effect | None = None


class RateRecord(Record):
    """A search for a learning rate.

    Attributes:
        name: Of the search.
        of: What the rates were compared by.
        rates: Learning rates.
        values: Mean loss of each on the validation split, nats/token; lower is better.
        chosen: The rate with the smallest.
    """

    name: str
    of: str
    rates: tuple[float, ...]
    values: tuple[float, ...]
    chosen: float


class Line(Record):
    """A line of a panel whose axis is a property of cells.

    Attributes:
        name: Its label.
        cells: Place on the axis and name of the cell, in the order of the places.
        at: Name of the measurement and length of each place, where they are not the panel's.
        measures: Of each place, in the place of the panel's measure; none where it is the panel's.
    """

    name: str
    cells: tuple[tuple[float, str], ...]
    at: tuple[tuple[str, int], ...] | None = None
    measures: tuple[str, ...] = ()

    def points(self, measure: str) -> tuple[tuple[float, str, str], ...]:
        """Place, cell and measure of each point, where `measure` is the panel's."""
        measures = self.measures or (measure,) * len(self.cells)
        return tuple((place, cell, own) for (place, cell), own in zip(self.cells, measures, strict=True))


class Along(Record):
    """An axis that is a property of cells, such as their training steps.

    Attributes:
        title: Of the axis.
        lines: What is drawn.
        logarithmic: Equal ratios are equally far apart; a place of 0 stands before all others.
    """

    title: str
    lines: tuple[Line, ...]
    logarithmic: bool = True


class Panel(Record):
    """One panel of a study's figure.

    Attributes:
        title: Above it.
        of: Name of the measurement.
        measure: Measure of the samples.
        cells: Names of the cells, each a line; none where `along` has the lines.
        at: Length at which depth, or what `along` names, is the axis; None for context length as the axis.
        along: A property of cells as the axis.
        is_grid: A map of lengths and depths of its one cell, in place of lines.
    """

    title: str
    of: str
    measure: str
    cells: tuple[str, ...] = ()
    at: int | None = None
    along: Along | None = None
    is_grid: bool = False

    @property
    def is_by_depth(self) -> bool:
        """Whether the axis is the depth of a fact."""
        return self.at is not None and self.along is None


class CellCertificate(Record):
    """How far the context of a cell reaches.

    Attributes:
        cell: Its name.
        seed: Of the training; None where nothing was trained.
    """

    cell: str
    seed: int | None
    certificate: Certificate


class Reproduction(Record):
    """A study: a paper's claims, judged on a small model.

    Attributes:
        study: `pi`, `entropy-abf`, `cream`, `compositions` or `bridge`.
        title: Of the page.
        paper: arXiv number, several divided by commas; None where there is no paper.
        quick: Whether this is the quick set: few cells, one seed.
        model: The base model.
        trained_length: Its window, tokens.
        data: Fingerprint of the texts of each measurement.
        cells: In the order of the study; those of searches first.
        cells_left: How many more the study has, where it was judged by what there was so far.
        readings: What tables and figures show.
        rates: Learning rates that were searched for.
        verdicts: One for each claim.
        panels: Of the figure.
        certificates: Of the cells that were certified.
        notes: What the reader should know besides, in words.
    """

    format_version: int = FORMAT_VERSION
    study: str
    title: str
    paper: str | None = None
    quick: bool
    model: str
    trained_length: int
    data: dict[str, str]
    cells: tuple[CellRecord, ...]
    cells_left: int = 0
    readings: tuple[CellReading, ...]
    rates: tuple[RateRecord, ...]
    verdicts: tuple[Verdict, ...]
    panels: tuple[Panel, ...]
    certificates: tuple[CellCertificate, ...] = ()
    notes: tuple[str, ...]
    environment: Environment
    wall_seconds: float

    def find(self, cell: str, of: str, measure: str, length: int, depth: float | None = None) -> CellReading | None:
        """The reading with these properties, or None."""
        for reading in self.readings:
            estimate = reading.estimate
            found = (reading.cell, reading.of, estimate.measure, estimate.length, estimate.depth)
            if found == (cell, of, measure, length, depth):
                return reading
        return None
