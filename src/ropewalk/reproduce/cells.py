"""A cell of a study: one model, how it is made, and what is measured of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk.reproduce.exams import tokens_of

if TYPE_CHECKING:
    from ropewalk.reproduce.exams import Exam
    from ropewalk.reproduce.samples import SampleSet
    from ropewalk.run.runfile import RunFile

TRAINING_PASSES = 3  # a training step costs a forward pass and a backward pass of twice that


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
    """

    name: str
    about: str
    run: RunFile | None
    exams: tuple[Exam, ...]
    model: str = "builtin"
    samples: SampleSet | None = None
    search: str | None = None

    @property
    def seed(self) -> int | None:
        """Of the training; None where nothing is trained."""
        return self.run.train.seed if self.run is not None and self.run.train.steps else None

    @property
    def label(self) -> str:
        """Name with the seed: the cell's folder."""
        return self.name if self.seed is None else f"{self.name}-seed-{self.seed}"

    @property
    def cost(self) -> float:
        """Tokens of forward passes, about: what the time left is estimated by."""
        trained = 0
        if self.run is not None and self.run.train.steps:
            window = self.run.data.window or self.run.target_length or 0
            trained = self.run.train.steps * self.run.train.batch * window
        return float(TRAINING_PASSES * trained + tokens_of(self.exams))

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
