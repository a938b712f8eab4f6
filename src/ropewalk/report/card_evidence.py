"""What a model card says was measured: the gate, the certified length, and the tables and figure of evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.certificate import certificate_tables, certified_lengths_table
from ropewalk.report.markdown import markdown_of, markdown_table
from ropewalk.report.tables import CURVES, GAINS, curves_table, gains_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ropewalk.result import Certificate, EvaluationResult, ExtensionResult, GateCheck, GateResult


def evidence(
    result: ExtensionResult, evaluations: Sequence[EvaluationResult] = (), figure: str | None = None
) -> Iterator[str]:
    """The paragraphs of the evidence; a sentence where nothing was measured.

    Args:
        result: What the extension did.
        evaluations: What was measured of it, first, and of others on the same samples.
        figure: Name of their figure beside the card, or None without one.
    """
    checked = "; ".join(result.self_test) or "none"
    yield f"Self-test after the extension: {checked}.\n"
    gate = result.gate
    if gate is not None and gate.checks:
        yield f"Short-context gate: **{gate.verdict}** ({gate.reason}).\n"
        yield _gate_table(gate)
    if evaluations:
        yield from _measured(evaluations, figure)
    elif gate is None or not gate.checks:
        yield (
            "Nothing was measured on text, so nothing here says that the window is *used*: run `ropewalk evaluate` at "
            "the new length before relying on it, and show the result here with `ropewalk report RESULT --card DIR`.\n"
        )


def _measured(evaluations: Sequence[EvaluationResult], figure: str | None) -> Iterator[str]:
    own = evaluations[0]
    if own.certificate is not None:
        yield from _certified(own.certificate)
    if figure is not None:
        yield f"![Perplexity of the same tokens, and facts found, against context length]({figure})\n"
    for measures, table in ((CURVES, curves_table), (GAINS, gains_table)):
        if any(estimate.measure in measures for one in evaluations for estimate in one.estimates):
            yield markdown_of(table(evaluations))
    places = "; ".join(f"{one.model.method}: ropewalk {one.environment.ropewalk}" for one in evaluations)
    yield f"Measured on the texts {own.data} with seed {own.seed} ({places}).\n"


def _certified(certificate: Certificate) -> Iterator[str]:
    yield f"**{str(certificate)[0].upper()}{str(certificate)[1:]}.**\n"
    yield markdown_of(certified_lengths_table(certificate))
    others = "\n".join(markdown_of(table) for table in certificate_tables(certificate)[1:])
    if others:
        yield f"<details><summary>What the certificate rests on</summary>\n\n{others}\n</details>\n"


def _gate_table(gate: GateResult) -> str:
    rows = [row for check in gate.checks for row in _gate_row(check)]
    head = ("compared with", ">change", ">95 % bounds", "unit", ">margin", ">n", "verdict")
    return markdown_table(head, rows)


def _gate_row(check: GateCheck) -> Iterator[tuple[str, ...]]:
    change = check.change
    if change is None:
        yield f"{check.reference}, {check.subject}", "-", "-", "-", f"{check.margin:g}", "-", check.verdict
        return
    yield (
        f"{check.reference}, {check.subject}",
        f"{change.value:+.4f}",
        f"{change.low:+.4f} to {change.high:+.4f}",
        change.unit,
        f"{check.margin:g}",
        f"{change.samples} ({change.failed} failed)",
        check.verdict,
    )
