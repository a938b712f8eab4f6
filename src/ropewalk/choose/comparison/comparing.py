"""`ropewalk compare`: candidates trained under one budget, losers stopped early, all of it kept cell by cell.

First rung   every candidate with every learning rate, a quarter of the budget, one seed: its rate is chosen.
Next rung    half the budget; last rung: the whole budget, all seeds. A rung is a training of its own with its own
             warm-up and decay, so that it shows what so much budget buys.
Dropped      between rungs, in the worse half and shown to be behind the best (`ropewalk.choose.comparison.scores`).
Read once    the test side, by those that stand at the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ropewalk.cells.cell import Cell
from ropewalk.cells.measuring import measure_cell, settled_precision
from ropewalk.cells.sharing import in_turn
from ropewalk.choose.comparison.candidates import control_of
from ropewalk.choose.comparison.order import Frame, frame_of
from ropewalk.choose.comparison.ranking import ranking_of
from ropewalk.choose.comparison.scores import dropped, estimated, readings_of
from ropewalk.choose.searched import searched_choice
from ropewalk.errors import InterruptedRunError, MeasurementError, OutputError
from ropewalk.evals.store import RESULT, write_record
from ropewalk.report.html import html_page, write_page
from ropewalk.report.ranking import FIGURE, write_ranking_figure
from ropewalk.report.style import UNTOUCHED
from ropewalk.result import RateRecord, RungRecord
from ropewalk.run.extension import Silent
from ropewalk.run.flags import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ropewalk.cells.exams import Exam
    from ropewalk.choose.comparison.candidates import Candidate
    from ropewalk.choose.comparison.order import CompareOrder
    from ropewalk.result import CellRecord, Estimate, Ranking, SampleResult
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import Choice

PAGE = "report.html"
CONTROL = "control"
SEARCH, SEARCHED_FILE = "search", "searched.toml"


def compare(order: CompareOrder, folder: Path, reporter: Reporter | None = None) -> Ranking:
    """Compares candidates, goes on with a comparison that was stopped, or reads one that is done.

    Args:
        order: What is compared.
        folder: Keeps every cell, the result, its figure and its page.
        reporter: Hears of cells, stages, steps and samples.

    Raises:
        InterruptedRunError: Ctrl-C while training; the same call goes on.
        MeasurementError: No candidate could be measured.
        OutputError: The folder holds cells that were made under other conditions, or cannot be written.
        RopewalkError: What cannot be compared; see `frame_of`.
    """
    frame = frame_of(order)
    work = Work(frame, folder, reporter or Silent())
    result = ranking_of(work.compare(_searched(frame, folder, work.reporter)))
    write_record(folder / RESULT, result)
    write_ranking_figure(result, folder / FIGURE)
    write_page(html_page([result]), folder / PAGE)
    return result


def _searched(frame: Frame, folder: Path, reporter: Reporter) -> Choice | None:
    """What the search found, where one is asked for."""
    order = frame.order
    if SEARCHED not in order.methods:
        return None
    return searched_choice(
        order.model,
        order.target_length,
        folder / SEARCH,
        search=order.search,
        evaluations=order.evaluations,
        keys=order.keys,
        file=folder / SEARCHED_FILE,
        reporter=reporter,
    )


class Work:
    """A comparison as it gets done.

    Attributes:
        frame, folder, reporter: See `compare`.
        standing: Candidates that are neither dropped nor failed.
        failed: Why the others could not be measured, by name.
        stopped: Steps of the rung after which others were dropped, by name.
        rungs: What each has reached.
        rates: Chosen learning rates.
        samples: By cell, seed and exam.
        records: Of cells by label, by the candidate or control that they belong to.
        data: Fingerprints of what the exams read.
        control: Name of the control's cells, which depends on what is best.
    """

    def __init__(self, frame: Frame, folder: Path, reporter: Reporter) -> None:
        self.frame, self.folder, self.reporter = frame, folder, reporter
        self.precision = settled_precision(folder)
        self.candidates: tuple[Candidate, ...] = ()
        self.standing: list[Candidate] = []
        self.failed: dict[str, str] = {}
        self.stopped: dict[str, int] = {}
        self.rungs: dict[str, list[RungRecord]] = {}
        self.rates: dict[str, RateRecord] = {}
        self.samples: dict[str, dict[int | None, dict[str, list[SampleResult]]]] = {}
        self.records: dict[str, dict[str, CellRecord]] = {}
        self.data: dict[str, str] = {}
        self.control = CONTROL

    def compare(self, searched: Choice | None) -> Work:
        """Trains and measures everything.

        Raises:
            MeasurementError: No candidate is left.
        """
        self.candidates = self.frame.candidates_with(searched)
        self.standing = list(self.candidates)
        exams = self.frame.exams("validation", "test")
        self._measure_all({UNTOUCHED: [Cell(UNTOUCHED, UNTOUCHED, None, exams, model=self.frame.order.model)]})
        self._search_rates()
        for steps in self.frame.rungs:
            self._rung(steps)
        if self.frame.order.controls:
            self._control()
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trainings with the whole budget."""
        return tuple(range(self.frame.order.seeds))

    def rate(self, candidate: Candidate) -> float:
        """Its learning rate."""
        return self.rates[candidate.name].chosen

    def cell_name(self, candidate: Candidate, steps: int, rate: float) -> str:
        """Of its cells after a rung."""
        return f"{candidate.slug}-{steps}-steps-rate-{rate:g}"

    def measure(self, owner: str, cell: Cell) -> bool:
        """Makes and measures a cell; whether that succeeded. What a candidate dies of does not end the others.

        Raises:
            InterruptedRunError: Ctrl-C.
            OutputError: The folder cannot be used.
        """
        cell = cell.in_precision(self.precision)
        self.reporter.stage(cell.label)
        try:
            done = measure_cell(cell, self.folder, self.reporter)
        except (InterruptedRunError, OutputError):
            raise
        except Exception as error:  # whatever it is, it is this cell's, and it is reported in the result
            if owner == UNTOUCHED:
                raise
            self.failed[owner] = f"{cell.label}: {type(error).__name__}: {' '.join(str(error).split())}"
            self.reporter.stage(f"{cell.label} failed and is left out: {self.failed[owner]}")
            return False
        self.samples.setdefault(cell.name, {})[cell.seed] = dict(done.samples)
        self.records.setdefault(owner, {})[cell.label] = done.record
        for name, data in done.data.items():
            self.data.setdefault(name, data)
        return True

    def score(self, cell: str, minus: str | None = None) -> Estimate | None:
        """What decides, of a cell, or its difference from another's."""
        of = partial(readings_of, length=self.frame.order.target_length, with_text=self.frame.with_text)
        others = None if minus is None else of(minus, "validation")
        return estimated(of(cell, "validation"), self.samples, minus=others)

    def _cell(self, candidate: Candidate, steps: int, rate: float, seed: int, exams: tuple[Exam, ...]) -> Cell:
        order = self.frame.order
        run = candidate.run(
            self.frame.base, target_length=order.target_length, steps=steps, learning_rate=rate, seed=seed
        )
        return Cell(self.cell_name(candidate, steps, rate), candidate.name, run, exams, model=order.model)

    def _measure_all(self, owned: Mapping[str, Sequence[Cell]]) -> set[str]:
        """Measures cells by the names of their candidates; the labels of those that failed.

        Other processes may be at the same comparison: each makes cells that no other is at.
        """
        owners = {cell.label: name for name, cells in owned.items() for cell in cells}
        cells = [cell for cells in owned.values() for cell in cells]
        turns = in_turn(cells, self.folder, self.reporter)
        return {cell.label for cell in turns if not self.measure(owners[cell.label], cell)}

    def _search_rates(self) -> None:
        steps = self.frame.rungs[0]
        # Where nothing is left to choose, the test side is read at once: later the model would be trained again for it.
        settled = len(self.frame.rates) == 1 and steps == self.frame.rungs[-1]
        exams = self.frame.exams("validation", "test") if settled else self.frame.exams("validation")
        cells = {
            one.name: {rate: self._cell(one, steps, rate, 0, exams) for rate in self.frame.rates}
            for one in self.candidates
        }
        failed = self._measure_all({name: tuple(found.values()) for name, found in cells.items()})
        for candidate in self.candidates:
            measured = {rate: cell for rate, cell in cells[candidate.name].items() if cell.label not in failed}
            found = {rate: self.score(cell.name) for rate, cell in measured.items()}
            scores = {rate: score.value for rate, score in found.items() if score is not None}
            if not scores:
                self._fail(candidate, "no finite loss with any learning rate")
                continue
            self.failed.pop(candidate.name, None)  # another rate did
            self.rates[candidate.name] = RateRecord(
                name=candidate.name,
                of=f"score after {steps:,} steps on the validation side",
                rates=tuple(scores),
                values=tuple(scores.values()),
                chosen=min(scores, key=scores.__getitem__),
            )
        self._require_some()

    def _rung(self, steps: int) -> None:
        """Measures those that stand after so many steps, and drops some unless it is the last rung."""
        last = steps == self.frame.rungs[-1]
        exams = self.frame.exams("validation", "test") if last else self.frame.exams("validation")
        seeds = self.seeds if last else (0,)
        cells = {
            one.name: [self._cell(one, steps, self.rate(one), seed, exams) for seed in seeds] for one in self.standing
        }
        failed = self._measure_all(cells)
        for candidate in tuple(self.standing):
            own = cells[candidate.name]
            if any(cell.label in failed for cell in own) or self.score(own[0].name) is None:
                self._fail(candidate, f"{own[0].name}: a sample failed")
        self._require_some()
        behind = self._judge(steps, len(self.seeds) if last else 1)
        if last:
            return
        scores = {one.name: self.rungs[one.name][-1].score.value for one in self.standing}
        for name in dropped(scores, behind):
            self.stopped[name] = steps
            self.reporter.stage(f"{name} stops after {steps:,} steps: worse half, and shown to be behind the best")
        self.standing = [one for one in self.standing if one.name not in self.stopped]

    def _judge(self, steps: int, seeds: int) -> dict[str, float]:
        """Files scores after a rung; the lower ends of their differences from the best."""
        cells = {one.name: self.cell_name(one, steps, self.rate(one)) for one in self.standing}
        scores = {name: found for name, cell in cells.items() if (found := self.score(cell)) is not None}
        best = min(scores, key=lambda name: scores[name].value)
        lows = {}
        for name, score in scores.items():
            behind = self.score(cells[name], minus=cells[best])
            assert behind is not None
            self.rungs.setdefault(name, []).append(RungRecord(steps=steps, seeds=seeds, score=score, behind=behind))
            lows[name] = behind.low
        return lows

    def _control(self) -> None:
        """The same tokens at the old window, with the rate of the best candidate."""
        frame, trained = self.frame, self.frame.config.rope.trained_length
        best = min(self.standing, key=lambda one: self.rungs[one.name][-1].score.value)
        rate = self.rate(best)
        control = control_of(trained, frame.step_tokens)
        runs = [
            control.run(frame.base, target_length=trained, steps=frame.steps, learning_rate=rate, seed=seed)
            for seed in self.seeds
        ]
        exams, model = frame.exams("test"), frame.order.model
        self.control = f"{CONTROL}-{frame.steps}-steps-rate-{rate:g}"
        self._measure_all({CONTROL: [Cell(self.control, control.described, run, exams, model=model) for run in runs]})

    def _fail(self, candidate: Candidate, why: str) -> None:
        self.failed.setdefault(candidate.name, why)
        self.standing = [one for one in self.standing if one.name != candidate.name]

    def _require_some(self) -> None:
        if not self.standing:
            first = next(iter(self.failed.values()))
            raise MeasurementError(
                f"a comparison needs one candidate that can be trained and measured; all {len(self.candidates)} "
                f"failed, the first so: {first} Change what they share, such as --rates or --batch."
            )
