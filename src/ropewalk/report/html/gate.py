"""The section of the short-context gate: what an extension cost inside the old window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.html import measures
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ropewalk.result import Estimate, ExtensionResult, GateCheck, GateResult

SUBJECTS = {"text": "NLL of text", "tasks": "short tasks"}
WORDS = {
    "reference_nll": "NLL of the reference",
    "extended_nll": "NLL of the extended model",
    "divergence": "KL(reference || extended)",
}
PART = "nll_change_in_part"  # of the window; its length is the last token of the part


def gates(extensions: Sequence[ExtensionResult]) -> Markup | None:
    """One part for each extension that has a gate."""
    found = ((extension, extension.gate) for extension in extensions)
    return joined(_gate(extension, gate) for extension, gate in found if gate) or None


def verdict(gate: GateResult) -> Markup:
    """PASS, FAIL or SKIPPED, marked."""
    return element("strong", gate.verdict, class_=f"verdict {gate.verdict.lower()}")


def _gate(extension: ExtensionResult, gate: GateResult) -> Markup:
    parts: list[Content] = [
        element("h3", f"{extension.model.name}, {extension.model.method}"),
        element("p", verdict(gate), " ", gate.reason),
    ]
    if gate.checks:
        head = ["what", "against", "verdict", "change", "margin", "unit", "n / clusters", "reason"]
        note = "Above zero: worse than the reference. Below each change: its one-sided 95 % bounds."
        parts.append(table("Checks of the gate", head, map(_check, gate.checks), note=note, header_columns=2))
        parts.append(_details(gate.checks))
    read = {
        "text": gate.text,
        "data fingerprint": gate.data,
        "tasks": gate.tasks,
        "control": _control(gate),
        "notes": lines(*gate.notes),
    }
    rows = [[name, what] for name, what in read.items() if what]
    if rows:
        parts.append(table("What the gate rests on", ["", ""], rows, class_="facts"))
    return joined(parts)


def _check(check: GateCheck) -> list[Content]:
    change = check.change
    return [
        SUBJECTS[check.subject],
        check.reference,
        check.verdict,
        "not measured" if change is None else _number(change, signed=True),
        f"{check.margin:g}",
        "-" if change is None else change.unit,
        "-" if change is None else _counts(change),
        check.reason,
    ]


def _details(checks: Sequence[GateCheck]) -> Markup | None:
    rows = [row for check in checks for row in _detail_rows(check)]
    head = ["measure", "against", "value", "unit", "n / clusters", "protocol"]
    return table("For information", head, rows, note="Not part of the verdict.", header_columns=2) if rows else None


def _detail_rows(check: GateCheck) -> Iterator[list[Content]]:
    before = 0
    for detail in check.details:
        words, is_part = WORDS.get(detail.measure, measures.words(detail.measure)), detail.measure == PART
        if is_part:
            words, before = f"change in tokens {before + 1:,} to {detail.length:,}", detail.length
        value = _number(detail, signed=is_part or check.subject == "tasks")
        yield [words, check.reference, value, detail.unit, _counts(detail), detail.protocol]


def _number(estimate: Estimate, *, signed: bool) -> Content:
    form = "{:+.4f}".format if signed else "{:.4f}".format
    failed = small(f"{estimate.failed:,} failed") if estimate.failed else None
    return lines(form(estimate.value), small(f"{form(estimate.low)} to {form(estimate.high)}"), failed)


def _counts(estimate: Estimate) -> str:
    return f"{estimate.samples:,} / {estimate.clusters or estimate.samples:,}"


def _control(gate: GateResult) -> str | None:
    control = gate.control
    if control is None:
        return None
    return (
        f"the same model trained at the old window, {control.steps:,} steps of {control.batch:,} windows of "
        f"{control.window:,} tokens ({control.tokens:,} tokens)"
    )
