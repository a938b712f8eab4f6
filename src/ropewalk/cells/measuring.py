"""Makes the model of a cell and measures it: once, whatever happens in between.

FOLDER/precision                   number format of every training
FOLDER/samples/                    training examples that cells bring along
FOLDER/cells/LABEL/conditions.json everything that the cell's numbers depend on, written before any work
FOLDER/cells/LABEL/model.partial   the training while it runs; a killed one goes on from its last checkpoint
FOLDER/cells/LABEL/EXAM/           what each exam leaves; EXAM.partial while it is measured
FOLDER/cells/LABEL/cell.json       the cell's record; the cell is done, and its weights are gone if they are not kept
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk import adapters
from ropewalk.cells.sharing import held
from ropewalk.data.corpus import standard_library
from ropewalk.data.examples import lies_on_the_hub
from ropewalk.data.source_identity import contents
from ropewalk.errors import InterruptedRunError, OutputError
from ropewalk.evals.environment import environment
from ropewalk.evals.journal import differences
from ropewalk.evals.store import write_record, write_text
from ropewalk.result import CellRecord, ExtensionResult
from ropewalk.run.checkpoint import load_checkpoint, settings_fingerprint, weights_fingerprint
from ropewalk.run.device import default_device
from ropewalk.run.extension import run_extension
from ropewalk.run.longer import begin_with
from ropewalk.run.output import CHANGES_NO_NUMBER, RECORDS
from ropewalk.run.precision import PRECISIONS, fastest_precision
from ropewalk.run.runfile import BUILT_IN
from ropewalk.run.training_data import paths_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.cells.cell import Cell, Examples
    from ropewalk.result import Certificate, SampleResult
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

CELLS, SAMPLES = "cells", "samples"
CELL, CONDITIONS, MODEL, PRECISION = "cell.json", "conditions.json", "model", "precision"


@dataclass(frozen=True)
class MeasuredCell:
    """A cell that is done.

    Attributes:
        record: How it was made.
        data: Fingerprints of the texts that were read, by exam.
        samples: What was measured, by exam.
        certificate: How far its context reaches, if an exam made one.
        fresh: It was measured now, and not found.
    """

    record: CellRecord
    data: Mapping[str, str]
    samples: Mapping[str, list[SampleResult]]
    certificate: Certificate | None
    fresh: bool


def measure_cell(
    cell: Cell, folder: Path, reporter: Reporter, *, keep_model: bool = False, keep_state: bool = False
) -> MeasuredCell:
    """Trains and measures a cell, goes on with one that was killed, or reads one that is done.

    A cell that is done and gets another exam is measured by that alone; its model is trained again if it was not kept.

    Args:
        cell: The cell; its learning rate is settled.
        folder: The study's folder.
        reporter: Hears of stages, steps and samples.
        keep_model: The weights stay when the cell is done.
        keep_state: So does the model with the state of its training, for the cell that goes on from this one.

    Raises:
        InterruptedRunError: Ctrl-C while training; the same call goes on.
        OutputError: The folder holds this cell under other conditions, or cannot be written.
        RopewalkError: See `run_extension` and `Exam.measure`.
    """
    place = folder / CELLS / cell.label
    run = _with_samples(cell, folder)
    check_conditions(place, conditions(cell, run))
    waiting = [exam for exam in cell.exams if not exam.is_measured(place / exam.name)]
    earlier = earlier_record(place)
    if earlier is not None and not waiting:
        return _read(cell, place, earlier)
    started = time.monotonic()
    if run is not None and cell.shorter is not None:
        begin_with(folder / CELLS / cell.shorter.label / MODEL, run, place / MODEL)
    made = trained_model(run, place / MODEL, reporter, keep_state=keep_state) if run is not None else None
    model = place / MODEL if made else cell.model
    checkpoint = load_checkpoint(model, name=cell.label, dtype=PRECISIONS[cell.measured_in])
    for exam in waiting:
        exam.measure(checkpoint, place / exam.name, reporter.advance)
    record = CellRecord(
        name=cell.name,
        seed=cell.seed,
        about=cell.about,
        method=checkpoint.method,
        run=None if made is None else resolved_run(place / MODEL, model=cell.model_name),
        losses=made.losses if made else (),
        tokens=made.tokens if made else 0,
        wall_seconds=time.monotonic() - started + (earlier.wall_seconds if earlier else 0.0),
    )
    write_record(place / CELL, record)
    if not keep_model and cell.shorter is not None:
        shutil.rmtree(folder / CELLS / cell.shorter.label / MODEL, ignore_errors=True)
    if not (keep_model or keep_state):
        shutil.rmtree(place / MODEL, ignore_errors=True)
    return _read(cell, place, record, fresh=True)


def measured_part(cell: Cell, folder: Path) -> Cell | None:
    """A cell with those of its exams that are measured, or None if it is not finished."""
    place = folder / CELLS / cell.label
    if not (place / CELL).is_file():
        return None
    return dataclasses.replace(cell, exams=tuple(e for e in cell.exams if e.is_measured(place / e.name)))


def settled_precision(folder: Path, *, keep: bool = True) -> str:
    """The number format of every training of a study: that of the models that are there, else what is fast here.

    What is fast is found by a clock, so it must be asked once: a study whose cells differ in it compares nothing.

    Args:
        folder: The study's folder.
        keep: Write down what was found; else nothing is written, for one who may still refuse the study.
    """
    if not keep:
        return _earlier_precision(folder) or fastest_precision(default_device())
    with held(PRECISION, folder):
        found = _earlier_precision(folder)
        if found is None:
            found = fastest_precision(default_device())
            write_text(folder / PRECISION, found + "\n")
    return found


def _earlier_precision(folder: Path) -> str | None:
    if (folder / PRECISION).is_file():
        return (folder / PRECISION).read_text("utf-8").strip()
    for path in sorted(folder.glob(f"*/*/{CONDITIONS}")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(path.read_text("utf-8"))["run"]["train"]["precision"])
    return None


def conditions(cell: Cell, run: RunFile | None) -> dict[str, Any]:
    """Everything that the numbers of a cell depend on, as JSON knows it."""
    here = environment(default_device())
    number_format = {} if cell.measured_in == "float32" else {"measured_in": cell.measured_in}
    return number_format | {
        "run": None if run is None else what_matters(run) | {"model": cell.model_name},
        "training_text": None if run is None else text_fingerprints(run),
        "exams": {exam.name: exam.conditions() for exam in cell.exams},
        "model": model_fingerprints(cell.model),
        "versions": here.model_dump(include={"ropewalk", "torch", "transformers", "numpy", "device"}),
    }


def _with_samples(cell: Cell, folder: Path) -> RunFile | None:
    """The cell's run, reading the samples that it brings along, if any."""
    if cell.run is None or cell.samples is None:
        return cell.run
    path = samples_of(cell.samples, folder, cell.model)
    data = cell.run.data.model_copy(update={"files": (str(path),)})
    return cell.run.model_copy(update={"data": data})


def samples_of(samples: Examples, folder: Path, model: str) -> Path:
    """The file of training examples in a study's folder, written now if nobody has.

    Args:
        samples: The examples.
        folder: The study's folder.
        model: Whose tokenizer counts their tokens.
    """
    path = folder / SAMPLES / samples.name
    with held(SAMPLES, folder):
        if not path.is_file():
            samples.write(folder / SAMPLES, adapters.load_tokenizer(model))
    return path


def what_matters(run: RunFile) -> dict[str, Any]:
    """The entries that decide numbers. Where a file lies decides none; what it holds is a condition of its own."""
    values = run.model_dump(mode="json", exclude_none=True)
    for name in CHANGES_NO_NUMBER:
        values["train"].pop(name, None)
    values["data"].pop("files", None)
    return values


def text_fingerprints(run: RunFile) -> list[str]:
    """Of every source of a run's training data."""
    return [text_fingerprint(path) for path in paths_of(run.data)]


def model_fingerprints(model: str) -> dict[str, str]:
    """Of the files of a model: a folder, a hub id, or `builtin`."""
    source = adapters.resolve_source(model)
    return {"weights": weights_fingerprint(source), "settings": settings_fingerprint(source)}


def text_fingerprint(path: str) -> str:
    """Of a source of texts: a file, a folder, a data set on the hub, or `builtin`."""
    if path == BUILT_IN:
        return standard_library(held_out=False).fingerprint
    if lies_on_the_hub(path) or Path(path).is_dir():
        parts = json.dumps([[PurePath(name).name, content] for name, content in contents(path)])
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
    with open(path, "rb") as file:  # noqa: PTH123 - a run file's paths are texts
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def check_conditions(place: Path, wanted: dict[str, Any]) -> None:
    """Compares what a cell depends on with what stands there, and writes it down together with exams that are new.

    Raises:
        OutputError: The cell was begun under other conditions, or the folder cannot be written.
    """
    found = _conditions_found(place)
    exams = dict(found.get("exams", {})) if found else {}
    differing = sorted(differences(found, wanted | {"exams": exams | wanted["exams"]})) if found else []
    differing = [name for name in differing if not _is_new_exam(name, exams)]
    if differing or found == {}:
        raise OutputError(
            f"cells of one study are made under the same conditions; '{place}' differs from what is asked now in: "
            f"{', '.join(differing) or CONDITIONS}. Remove that folder to measure the cell again, or choose another "
            "place with -o."
        )
    if found is None or wanted["exams"].keys() - exams.keys():
        text = json.dumps(wanted | {"exams": exams | wanted["exams"]}, indent=1) + "\n"
        try:
            write_text(place / CONDITIONS, text)
        except OutputError as error:
            raise OutputError(
                f"a study keeps its cells in a folder; '{place}' cannot be written: {error.__cause__}. "
                "Choose another place with -o."
            ) from error


def _conditions_found(place: Path) -> dict[str, Any] | None:
    """What a cell was begun under; empty if that cannot be read, None if it was not begun."""
    path = place / CONDITIONS
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_new_exam(difference: str, exams: dict[str, Any]) -> bool:
    section, _, rest = difference.partition(".")
    return section == "exams" and rest.partition(".")[0] not in exams


def earlier_record(place: Path) -> CellRecord | None:
    """The record of a cell that was finished once, be it with fewer exams.

    Raises:
        OutputError: It is not as this version writes it.
    """
    path = place / CELL
    if not path.is_file():
        return None
    try:
        return CellRecord.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise OutputError(
            f"a finished cell must hold {CELL} as this version of ropewalk writes it; '{place}' does not "
            f"({type(error).__name__}). Remove that folder to measure the cell again."
        ) from error


def trained_model(run: RunFile, model: Path, reporter: Reporter, *, keep_state: bool = False) -> ExtensionResult:
    """Makes a model, goes on with one whose making was killed, or reads how one that is there was made.

    Raises:
        InterruptedRunError: Ctrl-C while training; the same call goes on.
    """
    try:
        return run_extension(run, model, resume=True, keep_checkpoints=keep_state, reporter=reporter)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"a study was stopped while the model of '{model.parent.name}' was trained; everything done so far is kept "
            "under its folder. The same command goes on where it stopped."
        ) from error


def resolved_run(folder: Path, *, model: str) -> dict[str, Any]:
    """The resolved run; of model and training files only the names, because a record is read on other machines."""
    run = tomllib.loads((folder / RECORDS / "run.toml").read_text("utf-8")) | {"model": model}
    if "files" in run.get("data", {}):
        run["data"]["files"] = [PurePath(file).name for file in run["data"]["files"]]
    return run


def _read(cell: Cell, place: Path, record: CellRecord, *, fresh: bool = False) -> MeasuredCell:
    read = {exam.name: exam.read(place / exam.name) for exam in cell.exams}
    certificates = [found for exam in cell.exams if (found := exam.certificate(place / exam.name)) is not None]
    return MeasuredCell(
        record=record.model_copy(update={"about": cell.about}),
        data={name: data for name, (data, _) in read.items()},
        samples={name: samples for name, (_, samples) in read.items()},
        certificate=certificates[0] if certificates else None,
        fresh=fresh,
    )
