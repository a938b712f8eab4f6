"""The certificates of a study's cells on its page: how far each context reaches, and what that rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.markdown import markdown_table

if TYPE_CHECKING:
    from ropewalk.result import Certificate, Reproduction


def certificate_section(result: Reproduction) -> list[str]:
    """A table of the certified cells with its heading; nothing where no cell was certified."""
    if not result.certificates:
        return []
    about = {cell.name: cell.about for cell in result.cells}
    rows = [
        (
            about[found.cell],
            "-" if found.seed is None else str(found.seed),
            *(_length(found.certificate, length) for length in _three(found.certificate)),
            _rests_on(found.certificate),
        )
        for found in result.certificates
    ]
    first = result.certificates[0].certificate
    tested = ", ".join(f"{length:,}" for length in first.lengths)
    return [
        "## Certified context",
        "The longest tested length up to which each model is shown, with 95 % confidence, to find at least 0.85 of "
        "what the untouched model finds at its trained length, and to predict text at most 0.02 nats per token worse "
        f"than from there. Tested: {tested} tokens, {first.schedule}.",
        markdown_table(("model", ">seed", ">certified", ">retrieval", ">NLL", "tasks"), rows),
    ]


def _three(certificate: Certificate) -> tuple[int | None, int | None, int | None]:
    return certificate.length, certificate.retrieval_length, certificate.nll_length


def _length(certificate: Certificate, length: int | None) -> str:
    if length is None:
        return "not certifiable"
    return f"{length:,}" if length else f"below {certificate.lengths[0]:,}"


def _rests_on(certificate: Certificate) -> str:
    """Each task with what the untouched model scores, or why it is left out."""
    return "; ".join(
        f"{one.task} ({one.score:.2f} untouched)" + (f", left out: {one.reason}" if one.reason else "")
        for one in certificate.references
    )
