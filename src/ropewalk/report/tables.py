"""Tables for a terminal of 100 columns: one result, two results before and after, their paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ropewalk.report.certificate import certificate_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.result import Comparison, DemoResult, Estimate, EvaluationResult

COLUMNS = 100
CURVES = {
    "perplexity": "perplexity, same tokens",
    "truncate_perplexity": "perplexity, documents cut to the length",
    "sliding_perplexity": "perplexity, sliding windows",
    "released_code_truncate_perplexity": "perplexity as released code averages, cut documents",
    "released_code_sliding_perplexity": "perplexity as released code averages, sliding windows",
    "passkey_accuracy": "pass key found",
    "key_value_accuracy": "key-value recall",
}
# Measured on whole documents.
DOCUMENTS = tuple(measure for measure in CURVES if measure.endswith("_perplexity"))
GAINS = {
    "context_gain": "text",
    "repeated_gain": "text repeated from far back",
    "stream_gain": "key-value streams, far keys",
}
SCORE = "_score"
CHANGES = {
    "paired_nll_change": "NLL of text",
    "truncate_nll_change": "NLL of documents cut to the length",
    "sliding_nll_change": "NLL by sliding windows",
    "passkey_change": "pass key found",
    "key_value_change": "key-value recall",
}


def evaluation_tables(result: EvaluationResult) -> list[Table]:
    """What `ropewalk evaluate` prints of one result."""
    tables = [] if result.certificate is None else certificate_tables(result.certificate)
    if any(e.measure in CURVES for e in result.estimates):
        tables.append(curves_table([result]))
    if any(e.measure in GAINS for e in result.estimates):
        tables.append(gains_table([result]))
    if result.find("position_nll"):
        tables.append(positions_table(result))
    if any(e.measure.endswith(SCORE) for e in result.estimates):
        tables.append(battery_table(result))
    if any(_is_other(e) for e in result.estimates):
        tables.append(others_table(result))
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
            method = result.model.method
            last = index == len(measured) - 1
            table.add_row(_with_chance(words, result, measure) if index == 0 else "", method, *cells, end_section=last)
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


def positions_table(result: EvaluationResult) -> Table:
    """NLL of the tokens between two places of a document, given all before them."""
    table = _table(f"NLL by position in the document, nats/token: {result.model.method}")
    for heading in ("tokens", "NLL", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    for estimate in (e for e in result.estimates if e.measure == "position_nll"):
        span = f"{estimate.baseline_length or 0:,} to {estimate.length:,}"
        interval = f"{estimate.low:.3f}..{estimate.high:.3f}"
        table.add_row(span, f"{estimate.value:.3f}", interval, _numbers([estimate]))
    table.caption = "It confounds context with place: later text may be easier. n is samples/clusters."
    return table


def battery_table(result: EvaluationResult) -> Table:
    """Mean score of each retrieval task at each length, with its interval and what blind choice would score."""
    found = [e for e in result.estimates if e.measure.endswith(SCORE)]
    lengths = sorted({e.length for e in found})
    table = _table(f"Retrieval tasks, mean score: {result.model.method}")
    table.add_column("task", overflow="fold")
    for length in lengths:
        table.add_column(f"{length:,}", justify="right", overflow="fold")
    table.add_column("n", justify="right", overflow="fold")
    for measure in dict.fromkeys(e.measure for e in found):
        row = [result.find(measure, length) for length in lengths]
        name = measure.removesuffix(SCORE).replace("_", "-")
        table.add_row(name, *(_score_cell(estimate) for estimate in row), _numbers(row), end_section=True)
    table.caption = (
        "Second line of a cell: 95 % interval; third: score of blind choice. -: the task needs a longer context. "
        "n is samples/clusters."
    )
    return table


def others_table(result: EvaluationResult) -> Table:
    """Measures that have no table of their own, such as tasks of lm-eval and ROUGE: one row each."""
    table = _table(f"Measured: {result.model.method}")
    table.add_column("measure", overflow="fold")
    table.add_column("context, tokens", justify="right")
    for heading in ("value", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("unit", overflow="fold")
    table.add_column("n", justify="right", overflow="fold")
    for estimate in filter(_is_other, result.estimates):
        interval = f"{estimate.low:.3f}..{estimate.high:.3f}"
        failed = f"\n{estimate.failed} failed" if estimate.failed else ""
        value, n = f"{estimate.value:.3f}", _numbers([estimate]) + failed
        table.add_row(estimate.measure, f"{estimate.length:,}", value, interval, estimate.unit, n)
    protocols = dict.fromkeys(e.protocol for e in result.estimates if _is_other(e))
    table.caption = "; ".join(protocols) + ". n is samples/clusters."
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
    form = _perplexity if measure.endswith("perplexity") else "{:.2f}".format
    failed = f"\n{estimate.failed} failed" if estimate.failed else ""
    return f"{form(estimate.value)}\n{form(estimate.low)}..{form(estimate.high)}{failed}"


def _is_other(estimate: Estimate) -> bool:
    shown = estimate.measure in CURVES or estimate.measure in GAINS or estimate.measure == "position_nll"
    return not shown and not estimate.measure.endswith(SCORE)


def _score_cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    chance = "" if estimate.chance is None else f"\nchance {estimate.chance:.2f}"
    return _cell(estimate, SCORE) + chance


def _with_chance(words: str, result: EvaluationResult, measure: str) -> str:
    found = result.find(measure)
    return words if found is None or found.chance is None else f"{words} (chance {found.chance:.2g})"


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
            scored = _scored(results, measure)
            parts.append(f"{words}: n = {samples} in {clusters} clusters at each length, {method} interval{scored}")
    states = [r.model.method for r in results if r.status == "incomplete"]
    warning = [f"INCOMPLETE, more than 1 % of samples failed: {', '.join(states)}"] if states else []
    return ". ".join(["Second line of a cell: 95 % interval", *parts, *warning]) + "."


def _scored(results: Sequence[EvaluationResult], measure: str) -> str:
    """How whole documents were read, at the longest length: the protocol holds the number of scored tokens."""
    if measure not in DOCUMENTS:
        return ""
    protocols = [e.protocol for result in results for e in result.estimates if e.measure == measure]
    return f", {protocols[-1]}"
