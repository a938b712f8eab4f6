"""A study: the cells, claims and figures of one paper, and the run that fills them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.cells.measuring import measure_cell, measured_part, settled_precision
from ropewalk.cells.readings import Reading, cell_reading, depths_of
from ropewalk.cells.sharing import in_turn
from ropewalk.errors import DivergenceError
from ropewalk.evals.environment import environment
from ropewalk.evals.store import RESULT, write_record, write_text
from ropewalk.report.reproduction import FIGURE, reproduction_page
from ropewalk.report.reproduction_figure import write_reproduction_figure
from ropewalk.reproduce.claims import judge
from ropewalk.reproduce.reach import reach_reading
from ropewalk.result import CellCertificate, CellRecord, Reproduction
from ropewalk.run.device import default_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ropewalk.cells.cell import Cell
    from ropewalk.cells.measuring import MeasuredCell
    from ropewalk.reproduce.claims import Claim
    from ropewalk.reproduce.search import Search
    from ropewalk.result import CellReading, Panel, RateRecord, SampleResult
    from ropewalk.run.extension import Reporter

PAGE = "page.md"
PASSKEY = "passkey"  # the measure of keys whose distances k_max counts


@dataclass(frozen=True)
class Study:
    """One paper in miniature, or what no paper has put together.

    Attributes:
        name: `pi`, `entropy-abf`, `cream` or `compositions`.
        title: Of the page.
        paper: arXiv number; None where there is no paper.
        quick: Whether this is the quick set.
        cells: In the order of work: what matters most comes first.
        claims: What is judged.
        shown: Exams and measures that tables show, such as `("modules", "paired_nll")`.
        depths: Lengths at which recall is shown by depth, by exam and measure.
        panels: Of the figure.
        searches: For learning rates, before all cells; a cell whose search is not among them takes its default.
        defaults: Rates by the name of the search, where that is not made or finds none: what it chose when it was last
            made, or a guess.
        notes: What the reader should know.
    """

    name: str
    title: str
    paper: str | None
    quick: bool
    cells: tuple[Cell, ...]
    claims: tuple[Claim, ...]
    shown: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]
    depths: tuple[tuple[str, str, int], ...] = ()
    searches: tuple[Search, ...] = ()
    defaults: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_study(
    study: Study, folder: Path, reporter: Reporter, *, keep_models: bool = False, so_far: bool = False
) -> Reproduction:
    """Measures every cell that is not done yet, judges the claims, and writes result, figure and page.

    Args:
        study: The study.
        folder: Keeps cells and result; the same folder and study go on where they stopped.
        reporter: Hears of cells, stages, steps and samples.
        keep_models: Weights of finished cells stay, so that more can be measured of them later.
        so_far: Measures nothing, and judges by what is there.

    Raises:
        InterruptedRunError: Ctrl-C while training.
        OptionError: An exam needs a library that is not installed; no cell is made then.
        RopewalkError: See `ropewalk.cells.measuring.measure_cell`.
    """
    for exam in () if so_far else (exam for cell in study.cells for exam in cell.exams):
        exam.require()
    work = _Work(study, folder, reporter, keep_models=keep_models, so_far=so_far)
    work.measure([cell for search in study.searches for cell in search.cells])
    for search in study.searches:
        record = search.choose(work.samples)
        if record is not None:
            work.rates[search.name] = record
    work.measure(study.cells)
    result = _result(study, work)
    write_record(folder / RESULT, result)
    write_reproduction_figure(result, folder / FIGURE)
    write_text(folder / PAGE, reproduction_page(result))
    return result


class _Work:
    """Cells as they get done, with the time that is left."""

    def __init__(self, study: Study, folder: Path, reporter: Reporter, *, keep_models: bool, so_far: bool) -> None:
        self.study, self.folder, self.reporter = study, folder, reporter
        self.keep_models, self.so_far = keep_models, so_far
        self.precision = settled_precision(folder)
        self.rates: dict[str, RateRecord] = {}
        self.samples: dict[str, dict[int | None, dict[str, list[SampleResult]]]] = {}
        self.records: dict[str, CellRecord] = {}
        self.data: dict[str, str] = {}
        self.certificates: dict[str, CellCertificate] = {}
        self.diverged: list[str] = []
        self.cells_left = 0  # of a study that is judged so far
        self.cells = {c.label: c for c in (*(c for s in study.searches for c in s.cells), *study.cells)}
        self.gone_on_from = {c.shorter.label for c in self.cells.values() if c.shorter is not None}
        self.waiting = dict(self.cells)
        self.paid: list[tuple[float, float]] = []  # cost and seconds of what was measured
        self.bases: dict[str, tuple[Path, CellRecord]] = {}  # those that were made

    def measure(self, cells: Sequence[Cell]) -> None:
        """Measures cells, or reads those that are there; other processes may be at the same study."""
        for cell in cells if self.so_far else in_turn(cells, self.folder, self.reporter):
            self.measure_one(cell)

    def measure_one(self, cell: Cell) -> None:
        """Measures a cell, and says how much time is left."""
        del self.waiting[cell.label]
        if self.so_far:
            found_part = measured_part(cell, self.folder)
            if found_part is None:
                self.cells_left += 1
                return
            cell = found_part
        cell = self.settled(cell)
        number = f"cell {len(self.cells) - len(self.waiting)} of {len(self.cells)}: {cell.label}"
        self.reporter.stage(number)
        try:
            cell = self.based(cell)
            done = measure_cell(
                cell,
                self.folder,
                self.reporter,
                keep_model=self.keep_models,
                keep_state=cell.label in self.gone_on_from,
            )
        except DivergenceError as error:
            self.diverged.append(cell.label)
            self.reporter.stage(f"{cell.label} diverged and is left out: {error}")
            return
        self.keep(cell, done)
        found = "measured before" if not done.fresh else f"{done.record.wall_seconds:,.0f} s"
        self.reporter.stage(f"{number}: {found}{self.left()}")

    def settled(self, cell: Cell) -> Cell:
        """The cell with the study's precision and the learning rate that its search chose."""
        cell = cell.in_precision(self.precision)
        if cell.search is None:
            return cell
        if cell.search in self.rates:
            return cell.at_rate(self.rates[cell.search].chosen)
        return cell.at_rate(self.study.defaults[cell.search])

    def based(self, cell: Cell) -> Cell:
        """The cell with its base model in place, which is made now if it is a study's own and not there yet."""
        base = cell.base
        if base is None:
            return cell
        if base.name not in self.bases:
            self.bases[base.name] = base.make(self.folder, self.precision, self.reporter)
        return cell.on(str(self.bases[base.name][0]))

    def keep(self, cell: Cell, done: MeasuredCell) -> None:
        """Files a cell that is done."""
        self.records[cell.label] = done.record
        if done.certificate is not None:
            kept = CellCertificate(cell=cell.name, seed=cell.seed, certificate=done.certificate)
            self.certificates[cell.label] = kept
        self.samples.setdefault(cell.name, {})[cell.seed] = dict(done.samples)
        for name, data in done.data.items():
            self.data.setdefault(name, data)
        if done.fresh:
            self.paid.append((cell.cost, done.record.wall_seconds))

    def records_in_order(self) -> Iterator[CellRecord]:
        """How everything was made, in the order of the study: a base before the first cell that starts from it."""
        bases = {name: record for name, (_, record) in self.bases.items()}
        for label, cell in self.cells.items():
            if cell.base is not None and cell.base.name in bases:
                yield bases.pop(cell.base.name)
            if label in self.records:
                yield self.records[label]

    def left(self) -> str:
        """The time that is left, by what was measured so far; nothing where nothing was."""
        cost, waiting = sum(cost for cost, _ in self.paid), self.waiting.values()
        if not cost or not waiting:
            return ""
        bases = {c.base.name: c.base.cost for c in waiting if c.base is not None and c.base.name not in self.bases}
        seconds = sum(seconds for _, seconds in self.paid) / cost
        seconds *= sum(cell.cost for cell in waiting) + sum(bases.values())
        return f", about {seconds / 60:,.0f} min left"


def _result(study: Study, work: _Work) -> Reproduction:
    base = study.cells[0].model
    trained_length = adapters.read_model_config(base).rope.trained_length
    notes = list(study.notes)
    if work.diverged:
        notes.append(f"Diverged, and left out: {', '.join(work.diverged)}.")
    return Reproduction(
        study=study.name,
        title=study.title,
        paper=study.paper,
        quick=study.quick,
        model=Path(base).name,
        trained_length=trained_length,
        data=work.data,
        cells=tuple(work.records_in_order()),
        cells_left=work.cells_left,
        readings=tuple(_readings(study, work, trained_length)),
        rates=tuple(work.rates.values()),
        verdicts=tuple(judge(claim, work.samples) for claim in study.claims),
        panels=study.panels,
        certificates=tuple(work.certificates[c.label] for c in study.cells if c.label in work.certificates),
        notes=tuple(notes),
        environment=environment(default_device()),
        wall_seconds=sum(record.wall_seconds for record in work.records_in_order()),
    )


def _readings(study: Study, work: _Work, trained_length: int) -> Iterator[CellReading]:
    cells = {cell.name: cell for cell in study.cells}
    for cell in cells.values():
        exams = {exam.name: exam for exam in cell.exams}
        for of, measure in study.shown:
            for length in exams[of].lengths if of in exams else ():
                reading = Reading(cell.name, of, measure, length)
                yield from _read(reading, work)
                if reading.quantity.kind == "loss":
                    yield from _read(reading, work, against=Reading(cell.untouched, of, measure, trained_length))
        for of, measure, length in study.depths:
            if of in exams:
                by_depth = list(_read_depths(Reading(cell.name, of, measure, length), work))
                yield from by_depth
                reach = reach_reading(by_depth) if measure == PASSKEY else None
                yield from () if reach is None else (reach,)


def _read(
    reading: Reading, work: _Work, *, depth: float | None = None, against: Reading | None = None
) -> Sequence[CellReading]:
    found = cell_reading(reading, work.samples, depth=depth, against=against)
    return () if found is None else (found,)


def _read_depths(whole: Reading, work: _Work) -> Iterator[CellReading]:
    for depth in depths_of(whole, work.samples):
        at = Reading(whole.cell, whole.of, whole.measure, whole.length, (depth, depth))
        yield from _read(at, work, depth=depth)
