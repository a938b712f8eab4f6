"""Models that a study makes for itself before the cells that start from them: random weights, pre-trained by a run.

FOLDER/bases/NAME/conditions.json everything that its weights depend on, written before any work
FOLDER/bases/NAME/start           the random weights, and trained.partial what is made of them; both go at the end
FOLDER/bases/NAME/model           the base: the trained weights under the settings of the start
FOLDER/bases/NAME/cell.json       how it was made
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk import adapters
from ropewalk.adapters.files import bring_weights, whole_folder
from ropewalk.cells.cell import training_cost
from ropewalk.cells.measuring import (
    CELL,
    MODEL,
    check_conditions,
    earlier_record,
    resolved_run,
    text_fingerprints,
    trained_model,
    what_matters,
)
from ropewalk.evals.environment import environment
from ropewalk.evals.store import write_record
from ropewalk.result import CellRecord
from ropewalk.run.checkpoint import UNTOUCHED
from ropewalk.run.device import default_device

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters import Shape
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

BASES, START, TRAINED = "bases", "start", "trained"


@dataclass(frozen=True)
class PretrainedBase:
    """A small model with the built-in model's tokenizer, window and rotary base.

    Attributes:
        name: Such as `1m`.
        about: What tables call it.
        shape: Its size.
        run: Its pre-training at the old window: the method is `none`, and the model is replaced by random weights.
    """

    name: str
    about: str
    shape: Shape
    run: RunFile

    @property
    def cost(self) -> float:
        """Tokens of forward passes of its pre-training, about."""
        return training_cost(self.run)

    def make(self, study: Path, precision: str, reporter: Reporter) -> tuple[Path, CellRecord]:
        """The folder of the model and how it was made: now, or earlier; a killed training goes on.

        Args:
            study: The study's folder.
            precision: Number format of the training.
            reporter: Hears of stages and steps.

        Raises:
            InterruptedRunError: Ctrl-C while training; the same call goes on.
            OutputError: The folder holds a base of this name made under other conditions, or cannot be written.
            RopewalkError: See `run_extension`.
        """
        place = study / BASES / self.name
        train = self.run.train.model_copy(update={"precision": precision})
        run = self.run.model_copy(update={"model": str(place / START), "train": train})
        check_conditions(place, self._conditions(run))
        earlier = earlier_record(place)
        if earlier is not None and (place / MODEL).is_dir():
            return place / MODEL, earlier
        reporter.stage(f"{self.about} is pre-trained: {run.train.steps:,} steps x {run.train.batch} windows")
        started = time.monotonic()
        adapters.write_fresh_model(self.shape, place / START, seed=run.train.seed)
        made = trained_model(run, place / TRAINED, reporter)
        _put_together(place)
        record = CellRecord(
            name=f"base-{self.name}",
            seed=run.train.seed,
            about=f"{self.about}, pre-trained",
            method=UNTOUCHED,
            run=resolved_run(place / TRAINED, model="random weights"),
            losses=made.losses,
            tokens=made.tokens,
            wall_seconds=time.monotonic() - started,
        )
        write_record(place / CELL, record)
        for done in (START, TRAINED):
            shutil.rmtree(place / done)
        return place / MODEL, record

    def _conditions(self, run: RunFile) -> dict[str, Any]:
        here = environment(default_device())
        return {
            "run": what_matters(run) | {"model": "random weights"},
            "training_text": text_fingerprints(run),
            "shape": {"layers": self.shape.layers, "width": self.shape.width},
            "versions": here.model_dump(include={"ropewalk", "torch", "transformers", "numpy", "device"}),
            "exams": {},
        }


def _put_together(place: Path) -> None:
    """The trained weights with the config that they had at the start.

    A run records in the config that it extended a model, and what was extended once is not extended again; this one
    was not: it is as it was trained.
    """
    with whole_folder(place / MODEL, overwrite=True) as partial:
        bring_weights(place / TRAINED, partial, link=False)
        shutil.copyfile(place / START / "config.json", partial / "config.json")
