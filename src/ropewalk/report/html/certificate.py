"""The certificate's section: how far the context really reaches, and every cell that the claim rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.html.heat import heat_cell, scale_key
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table
from ropewalk.report.html.measures import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.report.html.subjects import Subject
    from ropewalk.result import Certificate, CertificateCell, CertificateReference, NllCheck

CELLS = (
    "In each cell: mean score, verdict, one-sided 95 % bounds, n. A cell passes when its lower bound reaches the "
    "threshold of its task. Columns are lengths in tokens."
)


def certificates(subjects: Sequence[Subject]) -> Markup | None:
    """One part for each model that has a certificate."""
    found = [(subject, subject.result.certificate) for subject in subjects]
    return joined(_certificate(subject, one) for subject, one in found if one) or None


def headline(certificate: Certificate) -> str:
    """The certified length in words."""
    return certified(certificate.length)


def certified(length: int | None) -> str:
    """A certified length in words: none was, or the shortest one tested failed, or so many tokens."""
    if length is None:
        return "not certifiable"
    return f"{length:,} tokens" if length else "no tested length"


def _certificate(subject: Subject, certificate: Certificate) -> Markup:
    parts: list[Content] = [
        element("h3", subject.label),
        element("p", element("strong", f"Certified context: {headline(certificate)}"), " at 95 % confidence."),
        _lengths(certificate),
        _references(certificate.references),
    ]
    tasks = dict.fromkeys(cell.task for cell in certificate.cells)
    maps = [_cells(task, [c for c in certificate.cells if c.task == task]) for task in tasks]
    parts += [element("p", CELLS), scale_key()] if maps else []
    parts.append(element("div", *maps, class_="maps"))
    parts.append(_undecided(certificate.undecided))
    parts.append(_nll(certificate.nll))
    return joined(parts)


def _lengths(certificate: Certificate) -> Markup:
    rows = [
        ["headline", headline(certificate), "the smaller of the two below"],
        ["retrieval", certified(certificate.retrieval_length), "every task and depth at every length up to it"],
        ["NLL", certified(certificate.nll_length), "not worse than from the trained window by more than the margin"],
        *([name, certified(length), rule] for name, length, rule in _beside(certificate) if length is not None),
    ]
    note = f"Tested in order: {_tokens(certificate.lengths)} tokens. Schedule: {certificate.schedule}."
    return table("Certified lengths", ["", "length", "rule"], rows, note=note)


def _beside(certificate: Certificate) -> tuple[tuple[str, int | None, str], ...]:
    """What others report of such a model, by its name; neither carries a confidence."""
    return (
        ("RULER's effective length", certificate.ruler_length, "mean score of at least 85.6 %, a point estimate"),
        ("k_max of Position Interpolation", certificate.k_max, "distances up to it were found, a point estimate"),
    )


def _references(references: Sequence[CertificateReference]) -> Markup | None:
    rows = [
        [
            words(one.task),
            f"{one.length:,}",
            lines(f"{one.score:.3f}", small(f"{one.low:.3f} to {one.high:.3f}")),
            f"{one.chance:.3f}",
            "-" if one.threshold is None else f"{one.threshold:.3f}",
            f"{one.contexts:,} / {one.samples:,}",
            f"{one.failed:,}",
            one.reason or "certifiable",
        ]
        for one in references
    ]
    head = ["task", "length", "score", "chance", "threshold", "contexts / answers", "failed", "status"]
    note = "The untouched model at its trained length, fixed before the test. Below each score: its 95 % interval."
    return table("What the thresholds rest on", head, rows, note=note) if rows else None


def _cells(task: str, cells: Sequence[CertificateCell]) -> Markup:
    found = {(cell.tenth, cell.length): cell for cell in cells}
    lengths = sorted({cell.length for cell in cells})
    rows = [
        [_tenth(tenth), *[_cell(found.get((tenth, length))) for length in lengths]]
        for tenth in sorted({cell.tenth for cell in cells})
    ]
    head = ["depth", *[f"{length:,}" for length in lengths]]
    return table(f"{words(task)}, by depth", head, rows, note=f"Threshold {cells[0].threshold:.3f}.", class_="map")


def _cell(cell: CertificateCell | None) -> Markup:
    if cell is None:
        return element("td", "-", small(" not reached"), class_="heat")
    verdict = small(element("strong", cell.verdict))
    failed = f", {cell.failed:,} failed" if cell.failed else ""
    below = (verdict, small(f"{cell.low:.2f} to {cell.high:.2f}"), small(f"n = {cell.samples:,}{failed}"))
    if not cell.samples + cell.failed:
        return element("td", lines("-", verdict, small("not asked")), class_="heat")
    if cell.score is None:
        return element("td", lines("-", *below), class_="heat")
    return heat_cell(cell.score, *below)


def _undecided(cells: Sequence[CertificateCell]) -> Markup | None:
    """Every cell that ended neither way, with the reason; cells of one task, length and reason in one line."""
    if not cells:
        return None
    groups: dict[tuple[str, int, str], list[str]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.length, cell.reason or "undecided"), []).append(_tenth(cell.tenth))
    listed = (
        element("li", f"{words(task)} at {length:,} tokens, depth {', '.join(tenths)}: {reason}")
        for (task, length, reason), tenths in groups.items()
    )
    sentence = f"Undecided cells: {len(cells)}. What is undecided is not certified."
    return joined([element("p", sentence, class_="warning"), element("ul", joined(listed))])


def _nll(checks: Sequence[NllCheck]) -> Markup | None:
    rows = [
        [
            f"{check.length:,} against {check.baseline_length:,}",
            check.verdict,
            "-" if check.value is None else f"{check.value:+.4f}",
            "-" if check.upper is None else f"{check.upper:+.4f}",
            f"{check.margin:g}",
            f"{check.samples:,} / {check.clusters:,} {check.unit}",
            f"{check.failed:,}",
            check.reason or "",
        ]
        for check in checks
    ]
    head = ["context, tokens", "verdict", "change", "upper bound", "margin", "n / independent", "failed", "reason"]
    note = "NLL of the same tokens, longer context minus the trained window's, nats per token; one-sided 95 % bound."
    return table("Likelihood", head, rows, note=note) if rows else None


def _tenth(tenth: int) -> str:
    return "whole" if tenth < 0 else f"{10 * tenth}-{10 * tenth + 10} %"


def _tokens(lengths: Iterable[int]) -> str:
    return ", ".join(f"{length:,}" for length in lengths)
