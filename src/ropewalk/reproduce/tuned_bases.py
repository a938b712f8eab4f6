"""The built-in model tuned at its old window before the cells that start from it: a chat model in miniature.

FOLDER/bases/NAME/conditions.json everything that its weights depend on, written before any work
FOLDER/bases/NAME/trained         what is made of the built-in model; it goes at the end
FOLDER/bases/NAME/model           the base: the trained weights under the settings of the built-in model
FOLDER/bases/NAME/cell.json       how it was made
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk import adapters
from ropewalk.adapters.files import bring_weights, whole_folder, write_json
from ropewalk.cells.cell import training_cost
from ropewalk.cells.measuring import (
    CELL,
    MODEL,
    SAMPLES,
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
from ropewalk.run.checkpoint import UNTOUCHED, settings_fingerprint, weights_fingerprint
from ropewalk.run.device import default_device
from ropewalk.run.runfile import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.cells.cell import Examples
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

BASES, TRAINED = "bases", "trained"


@dataclass(frozen=True)
class TunedBase:
    """The built-in model after a training at its old window.

    Attributes:
        name: Such as `chat`.
        about: What tables call it.
        run: Its training: the method is `none`.
        samples: Training examples that are made for it.
    """

    name: str
    about: str
    run: RunFile
    samples: Examples

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
        place = study / BASES / self.name
        run = self._run(study, precision)
        check_conditions(place, _conditions(run))
        earlier = earlier_record(place)
        if earlier is not None and (place / MODEL).is_dir():
            return place / MODEL, earlier
        reporter.stage(f"base {self.name} is made: {self.about}")
        started = time.monotonic()
        made = trained_model(run, place / TRAINED, reporter)
        _put_together(place)
        record = CellRecord(
            name=f"base-{self.name}",
            seed=run.train.seed,
            about=f"{self.about}, its training",
            method=UNTOUCHED,
            run=resolved_run(place / TRAINED, model=BUILT_IN),
            losses=made.losses,
            tokens=made.tokens,
            wall_seconds=time.monotonic() - started,
        )
        write_record(place / CELL, record)
        shutil.rmtree(place / TRAINED)
        return place / MODEL, record

    def _run(self, study: Path, precision: str) -> RunFile:
        """The run in a number format, with its training examples written."""
        path = study / SAMPLES / self.samples.name
        if not path.is_file():
            self.samples.write(study / SAMPLES, adapters.load_tokenizer(BUILT_IN))
        train = self.run.train.model_copy(update={"precision": precision})
        data = self.run.data.model_copy(update={"files": (str(path),)})
        return self.run.model_copy(update={"train": train, "data": data})


def _conditions(run: RunFile) -> dict[str, Any]:
    source = adapters.resolve_source(BUILT_IN)
    here = environment(default_device())
    return {
        "run": what_matters(run),
        "training_text": text_fingerprints(run),
        "model": {"weights": weights_fingerprint(source), "settings": settings_fingerprint(source)},
        "versions": here.model_dump(include={"ropewalk", "torch", "transformers", "numpy", "device"}),
        "exams": {},
    }


def _put_together(place: Path) -> None:
    """The trained weights with the built-in model's config, but for the number format in which they are stored.

    A run records in the config that it extended a model, and what was extended once is not extended again; this one
    was not: its rotary embedding is as it was.
    """
    config = json.loads((adapters.resolve_source(BUILT_IN) / "config.json").read_text("utf-8"))
    trained = json.loads((place / TRAINED / "config.json").read_text("utf-8"))
    with whole_folder(place / MODEL, overwrite=True) as partial:
        bring_weights(place / TRAINED, partial, link=False)
        shutil.rmtree(partial / "ropewalk", ignore_errors=True)
        write_json(partial / "config.json", config | {key: trained[key] for key in ("dtype",) if key in trained})
