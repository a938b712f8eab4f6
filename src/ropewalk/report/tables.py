"""Tables for a terminal of 100 columns: one result, two results before and after, their paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.result import Comparison, DemoResult, Estimate, EvaluationResult

COLUMNS = 100
CURVES = {
    "perplexity": "perplexity, same tokens",
    "passkey_accuracy": "pass key found",
    "key_value_accuracy": "key-value recall",
}
GAINS = {
    "context_gain": "text",
    "repeated_gain": "text repeated from far back",
    "stream_gain": "key-value streams, far keys",
}
CHANGES = {
    "paired_nll_change": "NLL of text",
    "passkey_change": "pass key found",
    "key_value_change": "key-value recall",
}


def evaluation_tables(result: EvaluationResult) -> list[Table]:
    """What `ropewalk evaluate` prints of one result."""
    tables = [curves_table([result])]
    if any(e.measure in GAINS for e in result.estimates):
        tables.append(gains_table([result]))
    recalls = [m for m in CURVES if any(e.measure == m and e.depth is not None for e in result.estimates)]
    return tables + [depths_table(result, measure) for measure in recalls]


def demo_tables(result: DemoResult) -> list[Table]:
    """What `ropewalk demo` prints: before and after, and their differences."""
    both = [result.before, result.after]
    return [curves_table(both), gains_table(both), comparison_table(result.comparison)]


def curves_table(results: Sequence[EvaluationResult]) -> Table:
    """Each measure against context length, a row for each model; n and interval in every cell.

    Args:
        results: One result, or several of the same data, in the order of rows.
    """
    lengths = sorted({e.length for result in results for e in result.estimates if e.measure in CURVES})
    table = _table("Against context length, in tokens")
    table.add_column("measure", overflow="fold")
    table.add_column("model", overflow="fold")
    for length in lengths:
        table.add_column(f"{length:,}", justify="right", overflow="fold")
    for measure, words in CURVES.items():
        measured = [result for result in results if result.find(measure)]
        for index, result in enumerate(measured):
            cells = [_cell(result.find(measure, length), measure) for length in lengths]
            last = index == len(measured) - 1
            table.add_row(words if index == 0 else "", result.model.method, *cells, end_section=last)
    table.caption = _samples_caption(results)
    return table


def gains_table(results: Sequence[EvaluationResult]) -> Table:
    """What more context is worth, in nats per token on the same tokens; positive is better."""
    table = _table("Gain from more context, nats/token on the same tokens (above 0: more context helps)")
    for heading in ("on", "context, tokens"):
        table.add_column(heading, overflow="fold")
    for result in results:
        table.add_column(result.model.method, justify="right", overflow="fold")
    table.add_column("n", justify="right")
    for measure, words in GAINS.items():
        steps = sorted(
            {(e.baseline_length or 0, e.length) for r in results for e in r.estimates if e.measure == measure},
            key=lambda step: (step[1], -step[0]),
        )
        for index, (shorter, longer) in enumerate(steps):
            found = [result.find(measure, longer, baseline=shorter) for result in results]
            cells = [_signed(estimate) for estimate in found]
            table.add_row(
                words if index == 0 else "",
                f"{shorter:,} to {longer:,}",
                *cells,
                _numbers(found),
                end_section=index == len(steps) - 1,
            )
    table.caption = "Second line: 95 % interval by bootstrap over documents or streams. n is samples/clusters."
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Paired differences, after minus before, on the same samples."""
    table = _table(f"Change from '{comparison.before.method}' to '{comparison.after.method}', same samples")
    table.add_column("measure", overflow="fold")
    table.add_column("context, tokens", justify="right")
    table.add_column("after - before", justify="right")
    table.add_column("unit")
    table.add_column("better", justify="center")
    table.add_column("n", justify="right")
    for measure, words in CHANGES.items():
        found = [e for e in comparison.estimates if e.measure == measure]
        for index, estimate in enumerate(sorted(found, key=lambda e: e.length)):
            table.add_row(
                words if index == 0 else "",
                f"{estimate.length:,}",
                _signed(estimate),
                estimate.unit,
                _judged(estimate, lower_is_better=measure.endswith("nll_change")),
                _numbers([estimate]),
                end_section=index == len(found) - 1,
            )
    table.caption = "Second line: 95 % interval; 'same' where it holds zero. n is samples/clusters."
    return table


def depths_table(result: EvaluationResult, measure: str) -> Table:
    """Accuracy at each depth (0 is the start of the context) and length, with the interval of each cell.

    Args:
        result: One model's result.
        measure: `passkey_accuracy` or `key_value_accuracy`.
    """
    cells = {(e.depth, e.length): e for e in result.estimates if e.measure == measure and e.depth is not None}
    lengths = sorted({length for _, length in cells})
    table = _table(f"{CURVES[measure]} by depth: {result.model.method}")
    table.add_column("depth", justify="right")
    for length in lengths:
        table.add_column(f"{length:,}", justify="right", overflow="fold")
    table.add_column("n", justify="right")
    for depth in sorted({depth for depth, _ in cells if depth is not None}):
        found = [cells.get((depth, length)) for length in lengths]
        cells_of_row = ["" if e is None else f"{e.value:.2f}  {e.low:.2f}..{e.high:.2f}" for e in found]
        table.add_row(f"{depth:.2f}", *cells_of_row, _numbers(found))
    table.caption = (
        "Share of right answers and its 95 % interval; depth 0 is the start of the context. n is samples/clusters."
    )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", caption_justify="left", header_style="bold", width=None)


def _cell(estimate: Estimate | None, measure: str) -> str:
    if estimate is None:
        return "-"
    form = _perplexity if measure == "perplexity" else "{:.2f}".format
    failed = f"\n{estimate.failed} failed" if estimate.failed else ""
    return f"{form(estimate.value)}\n{form(estimate.low)}..{form(estimate.high)}{failed}"


def _perplexity(value: float) -> str:
    if value >= 1e5:
        return f"{value:.1e}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" if value >= 100 else f"{value:.2f}"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:+.3f}\n{estimate.low:+.3f}..{estimate.high:+.3f}"


def _judged(estimate: Estimate, *, lower_is_better: bool) -> str:
    if estimate.low <= 0 <= estimate.high:
        return "same"
    return "yes" if (estimate.high < 0) == lower_is_better else "no"


def _numbers(estimates: Iterable[Estimate | None]) -> str:
    numbers = {f"{e.samples}/{e.clusters or e.samples}" for e in estimates if e is not None}
    return ", ".join(sorted(numbers))


def _samples_caption(results: Sequence[EvaluationResult]) -> str:
    parts = []
    for measure, words in CURVES.items():
        numbers = {
            (e.samples, e.clusters, e.interval.split(" over ")[0].split(",")[0])
            for result in results
            for e in result.estimates
            if e.measure == measure and e.depth is None
        }
        if numbers:
            samples, clusters, method = max(numbers, key=lambda number: number[0])
            parts.append(f"{words}: n = {samples} in {clusters} clusters at each length, {method} interval")
    states = [r.model.method for r in results if r.status == "incomplete"]
    warning = [f"INCOMPLETE, more than 1 % of samples failed: {', '.join(states)}"] if states else []
    return ". ".join(["Second line of a cell: 95 % interval", *parts, *warning]) + "."
