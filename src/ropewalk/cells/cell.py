"""A cell of a study: one model, how it is made, and what is measured of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ropewalk.cells.exams import tokens_of
from ropewalk.report.reproduction import UNTOUCHED

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.cells.exams import Exam
    from ropewalk.result import CellRecord
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

TRAINING_PASSES = 3  # a training step costs a forward pass and a backward pass of twice that


class Examples(Protocol):
    """Training examples that a cell brings along; written once for all cells that name the same file."""

    @property
    def name(self) -> str:
        """Of the file."""

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the file into a folder, and returns it."""


class Base(Protocol):
    """A model that a study makes for itself; cells start from it."""

    @property
    def name(self) -> str:
        """Such as `1m`."""

    @property
    def cost(self) -> float:
        """Tokens of forward passes of its making, about."""

    def make(self, study: Path, precision: str, reporter: Reporter) -> tuple[Path, CellRecord]:
        """The folder of the model and how it was made, now or earlier."""


@dataclass(frozen=True)
class Cell:
    """One model of a study.

    Attributes:
        name: The same for every seed, such as `linear-8x`.
        about: What tables call it.
        run: How it is made, with its seed; None for the untouched model.
        model: The base model: a folder, a hub id, or `builtin`.
        exams: What is measured of it.
        samples: Training examples that are made for it, in the place of `run.data.files`.
        search: Name of the search whose learning rate it takes; None for the run's own.
        base: The base model, where the study makes it itself, in the place of `model`.
        measured_in: Number format in which its exams compute.
        shorter: The same training with fewer steps: this one goes on from its end, where that can be done exactly.
    """

    name: str
    about: str
    run: RunFile | None
    exams: tuple[Exam, ...]
    model: str = "builtin"
    samples: Examples | None = None
    search: str | None = None
    base: Base | None = None
    measured_in: Literal["float32", "bfloat16"] = "float32"
    shorter: Cell | None = None

    @property
    def seed(self) -> int | None:
        """Of the training; None where nothing is trained."""
        return self.run.train.seed if self.run is not None and self.run.train.steps else None

    @property
    def label(self) -> str:
        """Name with the seed: the cell's folder."""
        return self.name if self.seed is None else f"{self.name}-seed-{self.seed}"

    @property
    def shortest(self) -> Cell:
        """The first of the trainings of which each goes on from the one before; they are made one after another."""
        return self if self.shorter is None else self.shorter.shortest

    @property
    def cost(self) -> float:
        """Tokens of forward passes, about: what the time left is estimated by."""
        before = self.shorter.run if self.shorter is not None else None
        steps = sum(sign * training_cost(run) for sign, run in ((1, self.run), (-1, before)) if run is not None)
        return steps + tokens_of(self.exams)

    @property
    def model_name(self) -> str:
        """What records call the base model, on every machine."""
        return self.base.name if self.base is not None else PurePath(self.model).name

    @property
    def untouched(self) -> str:
        """Name of the cell that is its base model as it is."""
        return UNTOUCHED if self.base is None else f"{UNTOUCHED}-{self.base.name}"

    def on(self, model: str) -> Cell:
        """The same cell with its base model at another place."""
        run = None if self.run is None else self.run.model_copy(update={"model": model})
        return dataclasses.replace(self, model=model, run=run)

    def at_rate(self, learning_rate: float) -> Cell:
        """The same cell with another peak learning rate."""
        return self._trained_with(learning_rate=learning_rate)

    def in_precision(self, precision: str) -> Cell:
        """The same cell, trained in a number format that is settled already; one that its run names stays."""
        named = self.run is not None and self.run.train.precision != "auto"
        return self if named else self._trained_with(precision=precision)

    def _trained_with(self, **settings: Any) -> Cell:
        if self.run is None:
            return self
        train = self.run.train.model_copy(update=settings)
        return dataclasses.replace(self, run=self.run.model_copy(update={"train": train}))


def training_cost(run: RunFile) -> float:
    """A run's training in tokens of forward passes, about; 0 if it trains nothing."""
    window = run.data.window or run.target_length or 0
    return float(TRAINING_PASSES * run.train.steps * run.train.batch * window)
