"""Puts what was measured into the card of an extended checkpoint."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ropewalk.adapters import files
from ropewalk.errors import MeasurementError, ModelError
from ropewalk.report.figures import FIGURE_MEASURES, window_figure, write_figure
from ropewalk.report.html.subjects import gather
from ropewalk.result import EvaluationResult, Evidence, ExtensionResult
from ropewalk.run.card import CARD, EVIDENCE, FIGURE, RESULT, RUN, card_again
from ropewalk.run.checkpoint import weights_fingerprint
from ropewalk.run.output import RECORDS
from ropewalk.run.report import read_records

if TYPE_CHECKING:
    from collections.abc import Iterable


def put_evidence(folder: Path, results: Iterable[str | Path]) -> None:
    """Writes what was measured into the card of an extended checkpoint: tables, figure and certificate.

    Args:
        folder: The extended checkpoint. Its README.md is replaced, `evidence.png` and the records are kept beside.
        results: Result folders or files of `evaluate`: of this checkpoint, and of others on the same samples.

    Raises:
        MeasurementError: None of the results is of this checkpoint, or they do not compare.
        ModelError: The folder is no extended checkpoint, or an export, whose card is made with it.
        OutputError: A file cannot be written; each is there whole, or as it was.
    """
    extended = _require_extended(folder)
    found = gather([record for path in results for record in read_records(Path(path))])
    evaluations = [subject.result for subject in found.subjects]
    weights = weights_fingerprint(folder)
    own = [one for one in evaluations if _is_of(one, extended, weights)]
    if not own:
        given = ", ".join(f"{one.model.method} ({one.model.weights})" for one in evaluations) or "no evaluation"
        raise MeasurementError(
            f"a card shows what was measured of its own model, {extended.model.method} with weights {weights}; got "
            f"{given}. Run 'ropewalk evaluate {folder} -o RESULT', and name RESULT."
        )
    evaluations = [_without_place(one) for one in (own[0], *(one for one in evaluations if one is not own[0]))]
    drawn = any(estimate.measure in FIGURE_MEASURES for one in evaluations for estimate in one.estimates)
    if drawn:
        write_figure(window_figure(evaluations), folder / FIGURE)
    with files.whole_file(folder / RECORDS / EVIDENCE, overwrite=True) as kept:
        kept.write_text(Evidence(evaluations=tuple(evaluations)).model_dump_json(indent=1) + "\n", "utf-8")
    with files.whole_file(folder / CARD, overwrite=True) as written:
        written.write_text(card_again(folder, evaluations, drawn=drawn), "utf-8")


def _require_extended(folder: Path) -> ExtensionResult:
    record = folder / RECORDS / RESULT
    if not (record.is_file() and (folder / RECORDS / RUN).is_file()):
        raise ModelError(
            f"a card belongs to a checkpoint that 'ropewalk extend' wrote, with {RECORDS}/{RESULT} and {RECORDS}/{RUN} "
            f"in it; '{folder}' holds none. Name such a folder; an export gets its card from the checkpoint that it "
            "was made from."
        )
    return ExtensionResult.model_validate_json(record.read_text("utf-8"))


def _without_place(one: EvaluationResult) -> EvaluationResult:
    """A model may be called by its folder here, which says nothing to the readers of a card."""
    model = one.model.model_copy(update={"name": PurePath(one.model.name).name})
    return one.model_copy(update={"model": model})


def _is_of(one: EvaluationResult, extended: ExtensionResult, weights: str) -> bool:
    """The weights alone do not tell: they are the untouched model's where nothing was trained."""
    same = one.model.method == extended.model.method and one.model.target_length == extended.model.target_length
    return same and one.model.weights == weights
