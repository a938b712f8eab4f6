"""Reads the results that a report is asked for, whatever command wrote them, and writes the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.errors import MeasurementError
from ropewalk.report.html import html_page, write_page
from ropewalk.result import (
    FORMAT_VERSION,
    Comparison,
    DemoResult,
    EntropyComparison,
    EntropyResult,
    EvaluationResult,
    ExtensionPlan,
    ExtensionResult,
    Probe,
    Ranking,
    SearchComparison,
)
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.report.html.subjects import ReportRecord
    from ropewalk.result import Record

RESULT = "result.json"
# A kind of record by fields that no other kind has together; what is more special comes first.
KINDS: tuple[tuple[frozenset[str], type[Record]], ...] = (
    (frozenset({"extension", "before", "after"}), DemoResult),
    (frozenset({"before", "after", "estimates"}), Comparison),
    (frozenset({"layers", "heads"}), EntropyResult),
    (frozenset({"results"}), EntropyComparison),
    (frozenset({"candidates", "rung_steps"}), Ranking),
    (frozenset({"geometry", "recipes"}), ExtensionPlan),
    (frozenset({"cuts", "slopes"}), Probe),
    (frozenset({"trajectories", "fresh"}), SearchComparison),
    (frozenset({"carrier", "steps"}), ExtensionResult),
    (frozenset({"estimates", "environment"}), EvaluationResult),
)


def write_report(results: Iterable[str | Path], output: Path) -> None:
    """Writes one HTML page about results.

    Args:
        results: Folders of `evaluate`, `extend`, `compare` and `demo`, or result files.
        output: The page. An earlier report is replaced.

    Raises:
        MeasurementError: A result that cannot be read, or results that do not compare.
        OutputError: The page cannot be written there.
    """
    records = [record for path in results for record in read_records(Path(path))]
    write_page(html_page(records), output)


def read_records(path: Path) -> list[ReportRecord]:
    """The records of a result folder, or of one result file.

    Raises:
        MeasurementError: There is no result, or half of one, or one of another version.
    """
    if not path.is_dir():
        return [read_record(path)]
    found = [file for file in (path / RECORDS / RESULT, path / RESULT) if file.is_file()]
    if not found:
        raise MeasurementError(
            f"a result folder must hold {RESULT} ('evaluate', 'demo') or {RECORDS}/{RESULT} ('extend'); '{path}' holds "
            "neither. Name the folder that was given with -o; a run that was stopped must be finished first."
        )
    return [read_record(file) for file in found]


def read_record(file: Path) -> ReportRecord:
    """The record in a file, of whatever kind it is.

    Raises:
        MeasurementError: See `read_records`.
    """
    content = _content(file)
    version = content.get("format_version")
    kind = next((kind for fields, kind in KINDS if fields <= content.keys()), None)
    if kind is None:
        raise MeasurementError(
            f"a report is made from results of 'evaluate', 'extend' and 'demo'; '{file}' is none of them. Name a "
            "result folder or its result.json."
        )
    if version != FORMAT_VERSION:
        raise MeasurementError(
            f"a result must have format version {FORMAT_VERSION}, which this ropewalk writes; '{file}' has {version}. "
            "Measure again with this version, or report with the one that wrote it."
        )
    try:
        return kind.model_validate(content)  # type: ignore[return-value]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MeasurementError(
            f"a result must be as this version of ropewalk writes it; '{file}' is not: {place}: {first['msg']}. Run "
            "the command that wrote it again."
        ) from error


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise MeasurementError(
            f"a report needs results that can be read; '{file}': {error.strerror}. Name a folder of 'ropewalk "
            "evaluate', 'extend' or 'demo', or its result.json."
        ) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise MeasurementError(
            f"a result file must be whole, because what is missing cannot be shown; '{file}' is no complete JSON: it "
            f"breaks off{where}. Run the command that wrote it again."
        ) from error
    return content if isinstance(content, dict) else {}
