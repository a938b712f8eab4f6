"""Tables of the certificate for a terminal of 100 columns: both lengths, what they rest on, and every cell."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ropewalk.result import Certificate, CertificateCell, CertificateReference, NllCheck

MARKS = {"passed": "yes", "below": "no", "undecided": "?"}


def certificate_tables(certificate: Certificate) -> list[Table]:
    """What a terminal shows: lengths, thresholds, likelihood, and one table of cells for each task."""
    tables = [certified_lengths_table(certificate)]
    if certificate.references:
        tables.append(references_table(certificate.references))
    if certificate.nll:
        tables.append(nll_table(certificate.nll))
    by_task = groupby(sorted(certificate.cells, key=lambda cell: cell.task), key=lambda cell: cell.task)
    return tables + [cells_table(list(cells)) for _, cells in by_task]


def certified_lengths_table(certificate: Certificate) -> Table:
    """The headline, the two lengths that it is the smaller of, and by name the rules of others."""
    table = _table("Certified context, 95 % confidence")
    table.add_column("", overflow="fold")
    table.add_column("tokens", justify="right")
    table.add_column("rule", overflow="fold")
    table.add_row("certified", _length(certificate.length), "the smaller of the two below", style="bold")
    table.add_row("retrieval", _length(certificate.retrieval_length), "every task and depth at every length up to it")
    rule = "the same tokens not worse than from the trained window by more than the margin"
    table.add_row("NLL", _length(certificate.nll_length), rule, end_section=True)
    if certificate.ruler_length is not None:
        rule = "longest length with a mean score of at least 85.6 %; a point estimate"
        table.add_row("RULER's effective length", _length(certificate.ruler_length), rule)
    if certificate.k_max is not None:
        rule = "distances up to it are found in at least 2 of 10 trials; a point estimate"
        table.add_row("Position Interpolation's k_max", _length(certificate.k_max), rule)
    tested = ", ".join(f"{length:,}" for length in certificate.lengths)
    table.caption = f"Tested in order: {tested} tokens, {certificate.schedule}.{_undecided(certificate)}"
    return table


def references_table(references: Sequence[CertificateReference]) -> Table:
    """What the untouched model scores at its trained length, and the threshold that follows for every cell."""
    table = _table(f"The untouched model at its trained {references[0].length:,} tokens")
    table.add_column("task", overflow="fold")
    for heading in ("score", "chance", "threshold", "n"):
        table.add_column(heading, justify="right", overflow="fold")
    for one in references:
        threshold = one.reason or f"{one.threshold:.3f}"
        failed = f"\n{one.failed} failed" if one.failed else ""
        score = f"{one.score:.3f}\n{one.low:.3f}..{one.high:.3f}"
        table.add_row(one.task, score, f"{one.chance:.3f}", threshold, f"{one.samples}/{one.contexts}{failed}")
    table.caption = (
        "The threshold is 0.85 of the score above chance, fixed before the test. Second line: 95 % interval. n is "
        "answers/contexts."
    )
    return table


def nll_table(checks: Sequence[NllCheck]) -> Table:
    """NLL of the same tokens at each length minus at the trained length."""
    table = _table(f"NLL of the same tokens, minus that from {checks[0].baseline_length:,} tokens, nats/token")
    for heading in ("context, tokens", "difference", "at most", "within the margin"):
        table.add_column(heading, justify="right")
    table.add_column("n", justify="right", overflow="fold")
    for check in checks:
        value, upper = (f"{number:+.4f}" if number is not None else "-" for number in (check.value, check.upper))
        verdict = check.reason if check.verdict == "undecided" else "yes" if check.verdict == "passed" else "not shown"
        failed = f"\n{check.failed} failed" if check.failed else ""
        n = f"{check.samples}/{check.clusters} {check.unit}{failed}"
        table.add_row(f"{check.length:,}", value, upper, verdict, n)
    table.caption = f"'at most': one-sided 95 % bound; the margin is {checks[0].margin:g} nats/token."
    return table


def cells_table(cells: Sequence[CertificateCell]) -> Table:
    """One task by depth and length: verdict, score and the bound that decides.

    Args:
        cells: Cells of one task.
    """
    found = {(cell.tenth, cell.length): cell for cell in cells}
    lengths = sorted({cell.length for cell in cells})
    table = _table(f"{cells[0].task}: is every tenth of the depth at least {cells[0].threshold:.3f}?")
    table.add_column("depth", justify="right")
    for length in lengths:
        table.add_column(f"{length:,}", justify="right", overflow="fold")
    for tenth in sorted({tenth for tenth, _ in found}):
        table.add_row(_depth(tenth), *[_cell(found.get((tenth, length))) for length in lengths])
    table.caption = (
        "Verdict, score, contexts; below them the bound: 'yes' where the lower one reaches the threshold, 'no' where "
        "the upper one is below it, '?' where neither decides. Depth 0 is the start of the context."
    )
    return table


def _cell(cell: CertificateCell | None) -> str:
    if cell is None:
        return "-"
    score = "-" if cell.score is None else f"{cell.score:.2f}"
    bound = {"passed": f"> {cell.low:.2f}", "below": f"< {cell.high:.2f}"}.get(
        cell.verdict, f"{cell.low:.2f}..{cell.high:.2f}"
    )
    failed = f"\n{cell.failed} failed" if cell.failed else ""
    return f"{MARKS[cell.verdict]} {score} {cell.samples + cell.failed}\n{bound}{failed}"


def _undecided(certificate: Certificate) -> str:
    """Which cells ended neither way, and why: one sentence for each task, length and reason."""

    def reasons() -> Iterator[tuple[str, int, str, int]]:
        for cell in certificate.undecided:
            yield cell.task, cell.length, cell.reason or "open", cell.tenth

    sentences = [
        f"{task} at {length:,} tokens, depth {_depths(tenth for *_, tenth in group)}: {reason}."
        for (task, length, reason), group in groupby(sorted(reasons()), key=lambda row: row[:3])
    ]
    return f" UNDECIDED, hence not certified: {' '.join(sentences)}" if sentences else ""


def _depths(tenths: Iterable[int]) -> str:
    return ", ".join(_depth(tenth) for tenth in tenths)


def _depth(tenth: int) -> str:
    return "all" if tenth < 0 else f"{tenth / 10:.1f}-{(tenth + 1) / 10:.1f}"


def _length(length: int | None) -> str:
    if length is None:
        return "not certifiable"
    return f"{length:,}" if length else "none"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", caption_justify="left", header_style="bold", width=None)
