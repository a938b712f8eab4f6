"""The table of the short-context gate, and its verdict in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ropewalk.result import Estimate, GateCheck, GateResult

DECISIONS = {"text": "NLL minus the {}'s", "tasks": "points lost to the {}, tasks"}
DETAILS = {"reference_nll": "NLL of the {}", "extended_nll": "NLL extended", "divergence": "KL({} || extended)"}


def gate_verdict(result: GateResult) -> str:
    """One line a person can quote: `short-context gate: PASS (...)`."""
    return f"short-context gate: {result.verdict} ({result.reason})"


def gate_table(result: GateResult) -> Table | None:
    """Each check with its verdict, and below it what is for information; None when nothing was measured."""
    if not result.checks:
        return None
    table = Table(
        title="Cost inside the trained window",
        title_justify="left",
        caption=_caption(result),
        caption_justify="left",
        header_style="bold",
    )
    table.add_column("measure", overflow="fold")
    for name in ("value", "95 % bounds", "verdict", "n"):
        table.add_column(name, justify="center" if name == "verdict" else "right", no_wrap=True)
    for check in result.checks:
        rows = [_decision(check), *_details(check)]
        for index, row in enumerate(rows):
            table.add_row(*row, end_section=index == len(rows) - 1)
    return table


def _decision(check: GateCheck) -> tuple[str, ...]:
    value, bounds, n = _numbers(check.change, _form(check, signed=True)) if check.change else ("-", "-", "-")
    return DECISIONS[check.subject].format(check.reference), value, bounds, check.verdict, n


def _details(check: GateCheck) -> Iterator[tuple[str, ...]]:
    before = 0
    for estimate in check.details:
        words = DETAILS.get(estimate.measure, estimate.measure).format(check.reference)
        is_part = estimate.measure == "nll_change_in_part"
        if is_part:
            words, before = f"  tokens {before + 1:,} to {estimate.length:,}", estimate.length
        elif check.subject == "tasks":
            words = f"  {words}"
        value, bounds, n = _numbers(estimate, _form(check, signed=is_part))
        yield words, value, bounds, "", n


def _form(check: GateCheck, *, signed: bool) -> str:
    """Points of accuracy are read in hundredths, and are changes all of them."""
    return "{:+.2f}" if check.subject == "tasks" else "{:+.4f}" if signed else "{:.4f}"


def _numbers(estimate: Estimate, form: str) -> tuple[str, str, str]:
    failed = f", {estimate.failed} failed" if estimate.failed else ""
    n = f"{estimate.samples}/{estimate.clusters or estimate.samples}{failed}"
    return form.format(estimate.value), f"{form.format(estimate.low)}..{form.format(estimate.high)}", n


def _caption(result: GateResult) -> str:
    margins = sorted({f"{c.margin} {c.change.unit}" for c in result.checks if c.change})
    parts = [
        f"Above 0 is worse; PASS where the upper bound is at most the margin of {' or '.join(margins)}."
        if margins
        else "",
        "Each bound is one-sided at 95 %. n is samples/clusters.",
        f"Text: {result.text}." if result.text else "",
        f"Tasks: {result.tasks}." if result.tasks else "",
    ]
    if result.control:
        control = result.control
        parts.append(f"Control: {control.steps:,} steps at {control.window:,} tokens, {control.tokens:,} tokens.")
    return " ".join(part for part in parts if part)
