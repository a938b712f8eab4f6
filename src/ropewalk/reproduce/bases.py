"""Models that a study makes for itself, once, before the cells that start from them.

FOLDER/bases/NAME/conditions.json everything that its weights depend on, written before any work
FOLDER/bases/NAME/start           random weights, where it starts from such; they go at the end
FOLDER/bases/NAME/trained         what the training makes of the start; it goes at the end
FOLDER/bases/NAME/model           the base: the trained weights under the settings of the start
FOLDER/bases/NAME/cell.json       how it was made
"""

from __future__ import annotations

import json
import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ropewalk import adapters
from ropewalk.adapters.files import bring_weights, whole_folder, write_json
from ropewalk.cells.cell import training_cost
from ropewalk.cells.measuring import (
    CELL,
    MODEL,
    check_conditions,
    earlier_record,
    resolved_run,
    samples_of,
    text_fingerprints,
    trained_model,
    what_matters,
)
from ropewalk.cells.sharing import held
from ropewalk.evals.environment import environment
from ropewalk.evals.store import write_record
from ropewalk.result import CellRecord
from ropewalk.run.checkpoint import UNTOUCHED, settings_fingerprint, weights_fingerprint
from ropewalk.run.device import default_device
from ropewalk.run.output import RECORDS
from ropewalk.run.runfile import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters import Form
    from ropewalk.cells.cell import Examples
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

BASES, START, TRAINED = "bases", "start", "trained"
RANDOM = "random weights"


@dataclass(frozen=True)
class OwnBase(ABC):
    """A model that a run of ours makes at its own window: the method of the run is `none`.

    Attributes:
        name: Such as `1m`.
        about: What tables call it.
        run: Its training.
    """

    name: str
    about: str
    run: RunFile

    @property
    def cost(self) -> float:
        """Tokens of forward passes of its training, about."""
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
        with held(f"base-{self.name}", study):
            return self._make(study, precision, reporter)

    def _make(self, study: Path, precision: str, reporter: Reporter) -> tuple[Path, CellRecord]:
        place = study / BASES / self.name
        train = self.run.train.model_copy(update={"precision": precision})
        run = self._settled(self.run.model_copy(update={"train": train}), study, place)
        check_conditions(place, self._conditions(run))
        earlier = earlier_record(place)
        if earlier is not None and (place / MODEL).is_dir():
            return place / MODEL, earlier
        reporter.stage(f"base {self.name}, {self.about}: {run.train.steps:,} steps x {run.train.batch} windows")
        started = time.monotonic()
        start = self._start(place)
        made = trained_model(run, place / TRAINED, reporter)
        _put_together(place, start)
        record = CellRecord(
            name=f"base-{self.name}",
            seed=run.train.seed,
            about=f"{self.about}, its training",
            method=UNTOUCHED,
            run=resolved_run(place / TRAINED, model=self._start_name),
            losses=made.losses,
            tokens=made.tokens,
            wall_seconds=time.monotonic() - started,
        )
        write_record(place / CELL, record)
        for done in (START, TRAINED):
            shutil.rmtree(place / done, ignore_errors=True)
        return place / MODEL, record

    @property
    @abstractmethod
    def _start_name(self) -> str:
        """What records call the model that the training starts from."""

    @abstractmethod
    def _settled(self, run: RunFile, study: Path, place: Path) -> RunFile:
        """The run with the places of its model and texts."""

    @abstractmethod
    def _start(self, place: Path) -> Path:
        """The folder of the model that the training starts from, made now if it has to be."""

    def _conditions(self, run: RunFile) -> dict[str, Any]:
        here = environment(default_device())
        return {
            "run": what_matters(run) | {"model": self._start_name},
            "training_text": text_fingerprints(run),
            **self._start_conditions(),
            "versions": here.model_dump(include={"ropewalk", "torch", "transformers", "numpy", "device"}),
            "exams": {},
        }

    @abstractmethod
    def _start_conditions(self) -> dict[str, Any]:
        """What the start depends on, as JSON knows it."""


@dataclass(frozen=True)
class PretrainedBase(OwnBase):
    """A small model with the built-in model's tokenizer, from random weights.

    Attributes:
        form: What it is like.
    """

    form: Form

    @property
    def _start_name(self) -> str:
        return RANDOM

    def _settled(self, run: RunFile, study: Path, place: Path) -> RunFile:
        del study
        return run.model_copy(update={"model": str(place / START)})

    def _start(self, place: Path) -> Path:
        adapters.write_fresh_model(self.form, place / START, seed=self.run.train.seed)
        return place / START

    def _start_conditions(self) -> dict[str, Any]:
        return {"shape": asdict(self.form)}


@dataclass(frozen=True)
class TunedBase(OwnBase):
    """The built-in model after a training at its old window, such as on conversations.

    Attributes:
        samples: Training examples that are made for it.
    """

    samples: Examples

    @property
    def _start_name(self) -> str:
        return BUILT_IN

    def _settled(self, run: RunFile, study: Path, place: Path) -> RunFile:
        del place
        path = samples_of(self.samples, study, BUILT_IN)
        return run.model_copy(update={"data": run.data.model_copy(update={"files": (str(path),)})})

    def _start(self, place: Path) -> Path:
        del place
        return adapters.resolve_source(BUILT_IN)

    def _start_conditions(self) -> dict[str, Any]:
        source = adapters.resolve_source(BUILT_IN)
        return {"model": {"weights": weights_fingerprint(source), "settings": settings_fingerprint(source)}}


def _put_together(place: Path, start: Path) -> None:
    """The trained weights with the config of the start, but for the number format in which they are stored.

    A run records in the config that it extended a model, and what was extended once is not extended again; this one
    was not: its rotary embedding is as it was.
    """
    config, trained = (json.loads((f / "config.json").read_text("utf-8")) for f in (start, place / TRAINED))
    with whole_folder(place / MODEL, overwrite=True) as partial:
        bring_weights(place / TRAINED, partial, link=False)
        shutil.rmtree(partial / RECORDS, ignore_errors=True)
        write_json(partial / "config.json", config | {key: trained[key] for key in ("dtype",) if key in trained})
