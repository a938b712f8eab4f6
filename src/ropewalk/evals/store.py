"""Evaluations on disk: `result.json` and, one line a sample, `samples.jsonl`. No torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ropewalk.errors import MeasurementError, OutputError
from ropewalk.result import EvaluationResult, SampleResult
from ropewalk.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import Record

RESULT = "result.json"
SAMPLES = "samples.jsonl"


def write_evaluation(directory: Path, result: EvaluationResult, samples: Sequence[SampleResult]) -> EvaluationResult:
    """Writes both files beside their places, then moves them there, so that no reader meets half a file.

    Args:
        directory: Made if it does not exist.
        result: Written with the name of the samples' file.
        samples: What the result rests on.

    Returns:
        The result as written.

    Raises:
        OutputError: The folder cannot be written.
    """
    written = result.model_copy(update={"samples_file": SAMPLES})
    lines = "".join(sample.model_dump_json(exclude_none=True) + "\n" for sample in samples)
    # Samples first: whoever finds a result finds its samples.
    write_text(directory / SAMPLES, lines)
    write_record(directory / RESULT, written)
    return written


def write_record(path: Path, record: Record) -> None:
    """Writes a record beside its place, then moves it there; makes the folder if it does not exist.

    Raises:
        OutputError: The folder cannot be written.
    """
    write_text(path, record.model_dump_json(indent=1) + "\n")


def refuse_earlier(directory: Path, *, overwrite: bool) -> None:
    """Keeps an earlier result from being lost.

    Raises:
        OutputError: The folder holds one, and it may not be replaced.
    """
    if (directory / RESULT).exists() and not overwrite:
        raise OutputError(
            f"an earlier result must not be lost; '{directory / RESULT}' exists. Choose another folder with -o, or "
            "replace it with --overwrite."
        )


def read_evaluation(directory: Path) -> tuple[EvaluationResult, list[SampleResult]]:
    """Reads what `write_evaluation` wrote.

    Raises:
        MeasurementError: There is no such result, or it was written by another format version.
    """
    path = directory / RESULT
    try:
        result = EvaluationResult.model_validate_json(path.read_text("utf-8"))
        text = (directory / (result.samples_file or SAMPLES)).read_text("utf-8")
        samples = [SampleResult.model_validate(json.loads(line)) for line in text.splitlines()]
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        raise MeasurementError(
            f"a folder of an evaluation must hold {RESULT} and {SAMPLES} as this version of ropewalk writes them; "
            f"'{directory}' does not ({type(error).__name__}). Run 'ropewalk evaluate' with -o again."
        ) from error
    return result, samples


def write_text(path: Path, text: str) -> None:
    """Writes a text beside its place, then moves it there; makes the folder if it does not exist.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise OutputError(
            f"an evaluation must be written to a folder; '{path.parent}' cannot be written: {error.strerror}. "
            "Give another folder."
        ) from error
