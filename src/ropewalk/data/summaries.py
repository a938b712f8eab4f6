"""Documents with a reference summary, in the shape of GovReport: one JSON object a line, `report` and `summary`.

GovReport: Huang et al. (2021), arXiv:2104.02112; 972 test documents. Nothing is downloaded: give the file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.data.documents import read_text
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = ("report", "summary")


@dataclass(frozen=True)
class SummaryDocument:
    """One document and what a person wrote of it.

    Attributes:
        name: `line-N` and a fingerprint of both texts: the same for every model.
        report: The document.
        summary: The reference summary.
    """

    name: str
    report: str
    summary: str


def read_summaries(path: str | Path) -> tuple[SummaryDocument, ...]:
    """Reads a JSONL file of documents with summaries; empty lines are passed over.

    Raises:
        DataError: The file is missing, empty or not UTF-8, or a line is no JSON object with a `report` and a
            `summary` that hold text. The message names the line.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"documents with summaries must be a JSONL file; '{file}' does not exist. Check the path.")
    lines = enumerate(read_text(file).split("\n"), start=1)
    return tuple(_document(file, number, line) for number, line in lines if line.strip())


def summaries_fingerprint(documents: Sequence[SummaryDocument]) -> str:
    """The first 16 hex digits of SHA-256 over all documents and summaries."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(_digest(document.report, document.summary))
    return digest.hexdigest()[:16]


def _document(file: Path, number: int, line: str) -> SummaryDocument:
    try:
        fields: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise _bad_line(file, number, f"it is no JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(fields, dict):
        raise _bad_line(file, number, f"it is a {type(fields).__name__}")
    for field in FIELDS:
        if field not in fields:
            raise _bad_line(file, number, f"it has no '{field}', only {', '.join(map(repr, fields)) or 'nothing'}")
        if not isinstance(fields[field], str) or not fields[field].strip():
            raise _bad_line(file, number, f"its '{field}' holds no text")
    report, summary = fields["report"], fields["summary"]
    return SummaryDocument(f"line-{number}@{_digest(report, summary).hex()[:8]}", report, summary)


def _digest(report: str, summary: str) -> bytes:
    return hashlib.sha256(f"{len(report)}\0{report}{summary}".encode()).digest()


def _bad_line(file: Path, number: int, what: str) -> DataError:
    return DataError(
        'each line must be a JSON object {"report": TEXT, "summary": TEXT}, as in GovReport; '
        f"line {number} of '{file}' is not: {what}. Mend the line or take it out."
    )
