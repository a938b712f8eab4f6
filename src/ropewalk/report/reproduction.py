"""The page of a paper in miniature, as Markdown: verdicts, tables, how cells were made. Every number from a record."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from ropewalk.report.markdown import markdown_table
from ropewalk.report.reproduction_certificates import certificate_section
from ropewalk.report.theory import theory_section
from ropewalk.result import K_MAX, quantity_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.result import CellReading, CellRecord, Estimate, Panel, Reproduction, Verdict

FIGURE = "figure.png"
UNTOUCHED = "untouched"
K_MAX_SHARE = 0.2  # of the trials; Position Interpolation, section 3.4
WORDS = {
    "paired_nll": "perplexity of the last tokens of windows, by the context that they are given",
    "paired_nll_against_cut": "NLL of the same tokens minus the untouched model's with its context cut to the old "
    "window, nats/token; below 0 the longer context is worth something",
    "key_value": "share of key-value records found, by length of the context",
    "passkey": "share of pass keys found, all distances together",
    "cloze": "share of names that the model chooses rightly among four, inside the old window",
    "rouge1": "ROUGE-1 of the listed function names, by the tokens that the model reads",
    "rouge2": "ROUGE-2 of the listed function names, by the tokens that the model reads",
    "rougeL": "ROUGE-L of the listed function names, by the tokens that the model reads",
    "lines": "share of LongChat's lines found",
    "json_kv": "share of JSON records found, in Lost in the Middle's layout",
    "niah_single_1": "share of RULER's single needles found",
    "battery": "share of right answers, mean over tasks, by length of the context",
    "chat_recall": "share of facts of a conversation found, by its length",
    "answers_loss": "NLL of the answers in the second half of a conversation, nats/token, by its length",
    "entropy_first_layers": "entropy of attention in layers 0 and 1, nats, by query position",
    "entropy_later_layers": "entropy of attention in all other layers, nats, by query position",
}
ANY_MODEL = {"bridge"}  # studies of a model that the user names
THEORY = {"pi"}  # studies whose page recomputes the paper's bounds


def reproduction_page(result: Reproduction, *, beside: str = "", protocol: str | None = None) -> str:
    """The page.

    Args:
        result: The study's record.
        beside: Where the figure lies, seen from the page: empty, or a path that ends in a slash.
        protocol: Link to the page with the rule; None names it without a link.
    """
    parts = [
        f"# {result.title}" + (": the quick set" if result.quick else ""),
        _head(result, protocol),
        f"![{'; '.join(panel.title for panel in result.panels)}]({beside}{FIGURE})",
        "## Verdicts",
        *_verdicts(result),
        "## Measured",
        *(block for _, shown in _tables(result) for block in shown),
        *_depth_tables(result),
        *_measure_tables(result),
        *certificate_section(result),
        "## How the models were made",
        _cells(result.cells),
        *_rates(result),
        *([theory_section()] if result.study in THEORY and not result.quick else []),
        "## What to know",
        *result.notes,
        _provenance(result),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def verdict_table(result: Reproduction) -> Table:
    """The verdicts for a terminal."""
    table = Table(box=None, pad_edge=False, title=None)
    for name in ("verdict", "claim", "ours", "the smallest that counts"):
        table.add_column(name, overflow="fold")
    for verdict in result.verdicts:
        table.add_row(_state(verdict), verdict.words, _ours(verdict), f"{verdict.smallest_effect:+g}")
    return table


def reached(shares: Iterable[tuple[int, float]]) -> int:
    """The longest distance up to which every distance has at least a fifth of its keys found; 0 if none has.

    Args:
        shares: Distances in tokens, and the share of keys found at each.
    """
    longest = 0
    for distance, share in sorted(shares):
        if share < K_MAX_SHARE - 1e-9:
            break
        longest = distance
    return longest


def distance_of(estimate: Estimate) -> int:
    """Tokens from a key to the end: a key at depth d of a window of L tokens stands L (1 - d) before it."""
    return round(estimate.length * (1 - (estimate.depth or 0.0)))


def _head(result: Reproduction, protocol: str | None) -> str:
    rule = f"[protocol]({protocol})" if protocol else "protocol (docs/reproduction/protocol.md)"
    what = "few cells" if result.quick else "all cells"
    if result.cells_left:
        what = f"so far {len(result.cells)} of {len(result.cells) + result.cells_left} cells"
    model = f" --model {result.model}" if result.study in ANY_MODEL else ""
    command = f"ropewalk reproduce {result.study}{model}" + (" --quick" if result.quick else "")
    papers = (result.paper or "").split(", ") if result.paper else ()
    named = ", ".join(f"[arXiv:{paper}](https://arxiv.org/abs/{paper})" for paper in papers) or "No paper: measured"
    return (
        f"{named} on the model `{result.model}`, trained window {result.trained_length:,} tokens: {what}. "
        f"Made by `{command}` in {_duration(result.wall_seconds)} of "
        f"{result.environment.threads_named}; judged by the rule of the {rule}, which was written down before. "
        "Brackets are 95 % intervals. This page is generated from its result file."
    )


def _verdicts(result: Reproduction) -> list[str]:
    blocks: list[str] = []
    first, published = ("What the paper stands on:", "paper's figure")
    if result.paper is None:
        first, published = ("What is asked first:", "nearest published figure")
    for headline, title in ((True, first), (False, "Further:")):
        chosen = [verdict for verdict in result.verdicts if verdict.headline == headline]
        if chosen:
            rows = [
                (f"{v.words} ({v.source})", v.figure, _ours(v), f"{v.smallest_effect:+g}", _state(v, bold=True))
                for v in chosen
            ]
            blocks += [title] if headline or blocks else []  # what comes first is no further
            blocks.append(markdown_table(("claim", published, "ours", ">counts from", "verdict"), rows))
    return blocks


def _ours(verdict: Verdict) -> str:
    effect = verdict.effect
    if effect is None:
        return "-"
    seeds = {0: "", 1: ", 1 seed"}.get(len(effect.seeds), f", {len(effect.seeds)} seeds")
    failed = f", {effect.failed} failed" if effect.failed else ""
    return (
        f"{effect.value:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}] {verdict.unit}: {verdict.contrast} "
        f"({len(effect.documents)} {_documents(verdict.unit)}{seeds}{failed})"
    )


def _documents(unit: str) -> str:
    """What the columns of a table of this unit are."""
    return "contexts" if unit.startswith("share") else "documents"


def _state(verdict: Verdict, *, bold: bool = False) -> str:
    state = f"**{verdict.state}**" if bold else verdict.state
    return f"{state}: {verdict.because}" if verdict.because else state


def _tables(result: Reproduction) -> list[tuple[str, tuple[str, str]]]:
    """A table for each exam and measure: cells by length."""
    plain = [r for r in result.readings if r.estimate.depth is None and r.estimate.measure != K_MAX]
    elsewhere = {(panel.of, m) for panel in _along_measures(result) for _, _, m in _points(panel)}
    kinds = dict.fromkeys((r.of, r.estimate.measure) for r in plain if (r.of, r.estimate.measure) not in elsewhere)
    return [(of, _length_table(result, plain, of, measure)) for of, measure in kinds]


def _length_table(result: Reproduction, readings: Sequence[CellReading], of: str, measure: str) -> tuple[str, str]:
    chosen = [r for r in readings if (r.of, r.estimate.measure) == (of, measure)]
    lengths = sorted({reading.estimate.length for reading in chosen})
    about = {cell.name: cell.about for cell in result.cells}
    rows = []
    for name, group in groupby(chosen, key=lambda reading: reading.cell):
        found = {reading.estimate.length: reading for reading in group}
        seeds = max(reading.seeds for reading in found.values())
        trained = any(cell.name == name and cell.seed is not None for cell in result.cells)
        values = [_value(found[length], measure) if length in found else "-" for length in lengths]
        rows.append((about[name], str(seeds) if trained else "-", *values))
    cut = result.find(UNTOUCHED, of, measure, result.trained_length)
    if cut is not None and quantity_of(measure).kind == "loss":
        values = [_value(cut, measure) if length >= result.trained_length else "-" for length in lengths]
        rows.insert(1, (f"untouched, context cut to {result.trained_length:,}", "-", *values))
    title = f"**{of}**: {WORDS.get(measure, measure)}"
    basis = chosen[0].estimate
    return f"{title} ({basis.clusters} {_documents(basis.unit)}).", markdown_table(
        ("model", ">seeds", *(f">{length:,}" for length in lengths)), rows
    )


def _value(reading: CellReading, measure: str) -> str:
    estimate, kind = reading.estimate, quantity_of(measure).kind
    if kind == "loss":
        value, low, high = (math.exp(number) for number in (estimate.value, estimate.low, estimate.high))
        return f"{value:.2f} [{low:.2f}, {high:.2f}]"
    if kind == "difference":
        return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
    if kind == "tokens":
        return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"
    if kind == "number":
        return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{estimate.value:.2f} [{max(0.0, estimate.low):.2f}, {min(1.0, estimate.high):.2f}]"


def _depth_tables(result: Reproduction) -> list[str]:
    """Recall by depth for the cells of a panel, and k_max of every cell whose keys were asked for by distance."""
    blocks = []
    for panel in result.panels:
        if panel.at is None or panel.along is not None:
            continue
        by_cell = {name: _by_depth(result, name, panel.of, panel.measure, panel.at) for name in panel.cells}
        depths = sorted({r.estimate.depth or 0.0 for readings in by_cell.values() for r in readings})
        about = {cell.name: cell.about for cell in result.cells}
        rows = []
        for depth in depths:
            cells = [{r.estimate.depth: r for r in readings}.get(depth) for readings in by_cell.values()]
            rows.append((f"{depth:.3g}", *("-" if r is None else _value(r, panel.measure) for r in cells)))
        head = (">depth", *(f">{about.get(name, name)}" for name in by_cell))
        blocks += [f"**{panel.title}**, {panel.at:,} tokens.", markdown_table(head, rows)]
        if panel.measure == "passkey":
            blocks += _k_max_table(result, panel.of, panel.at)
    return blocks


def _measure_tables(result: Reproduction) -> list[str]:
    """A table for each panel along whose axis the measure changes: its lines by place."""
    blocks = []
    for panel in _along_measures(result):
        places = sorted({place for place, _, _ in _points(panel)})
        rows = []
        for line in panel.along.lines if panel.along else ():
            found = {
                place: result.find(cell, panel.of, measure, panel.at or result.trained_length)
                for place, cell, measure in line.points(panel.measure)
            }
            values = [(found.get(place), panel.measure) for place in places]
            rows.append((line.name, *("-" if reading is None else _value(reading, of) for reading, of in values)))
        head = (panel.along.title if panel.along else "", *(f">{place:g}" for place in places))
        unit = f", {panel.at:,} tokens" if panel.at else ""
        blocks += [f"**{panel.title}**, {quantity_of(panel.measure).unit}{unit}.", markdown_table(head, rows)]
    return blocks


def _along_measures(result: Reproduction) -> list[Panel]:
    """Panels along whose axis the measure changes."""
    return [panel for panel in result.panels if panel.along and any(line.measures for line in panel.along.lines)]


def _points(panel: Panel) -> list[tuple[float, str, str]]:
    """Place, cell and measure of every point of all lines."""
    return [point for line in (panel.along.lines if panel.along else ()) for point in line.points(panel.measure)]


def _k_max_table(result: Reproduction, of: str, length: int) -> list[str]:
    found = {name: result.find(name, of, K_MAX, length) for name in {cell.name: None for cell in result.cells}}
    about = {cell.name: cell.about for cell in result.cells}
    rows = [(about[name], _value(reading, K_MAX)) for name, reading in found.items() if reading is not None]
    if not rows:
        return []
    words = (
        f"**k_max**: the distance up to which at least {K_MAX_SHARE:.0%} of the pass keys are found at every distance, "
        "over all seeds together; in brackets the same for shares drawn from what the answers leave open. Distances "
        "are counted by depth, so they are right to a prompt's head and question."
    )
    return [words, markdown_table(("model", ">k_max, tokens"), rows)]


def _by_depth(result: Reproduction, cell: str, of: str, measure: str, length: int) -> list[CellReading]:
    return [
        r
        for r in result.readings
        if (r.cell, r.of, r.estimate.measure, r.estimate.length) == (cell, of, measure, length)
        and r.estimate.depth is not None
    ]


def _cells(cells: Sequence[CellRecord]) -> str:
    rows = []
    for _, group in groupby(sorted(cells, key=lambda cell: cell.name), key=lambda cell: cell.name):
        members = list(group)
        first = members[0]
        train = (first.run or {}).get("train", {})
        seeds = ", ".join(str(cell.seed) for cell in members if cell.seed is not None)
        loss = f"{sum(c.losses[-1] for c in members) / len(members):.3f}" if first.losses else "-"
        rate = f"{train['learning_rate']:g}" if first.losses else "-"
        precision = str(train["precision"]) if first.losses else "-"
        seconds = sum(cell.wall_seconds for cell in members) / len(members)
        method = (first.about, first.method, str(first.steps), f"{first.tokens:,}", rate, precision)
        rows.append((*method, seeds or "-", loss, f"{seconds:,.0f}"))
    columns = ("model", "method", ">steps", ">tokens", ">peak rate", "precision", "seeds", ">last loss", ">seconds")
    return markdown_table(columns, rows)


def _rates(result: Reproduction) -> list[str]:
    if not result.rates:
        return ["No learning rate was searched for: every cell takes the rate that is written in the run file."]
    rows = [
        (record.name, "; ".join(f"{r:g}: {v:.3f}" for r, v in zip(record.rates, record.values, strict=True)), at)
        for record in result.rates
        for at in (f"{record.chosen:g}" + (" (at the edge)" if record.chosen in _ends(record.rates) else ""),)
    ]
    return [f"Learning rates by {result.rates[0].of}:", markdown_table(("search", "rate: nats/token", "chosen"), rows)]


def _ends(rates: Sequence[float]) -> tuple[float, float]:
    return min(rates), max(rates)


def _provenance(result: Reproduction) -> str:
    here = result.environment
    data = ", ".join(
        f"{name} {fingerprint}" for name, fingerprint in sorted(result.data.items()) if fingerprint != "none"
    )
    return (
        f"ropewalk {here.ropewalk}, Python {here.python}, torch {here.torch}, transformers {here.transformers}, NumPy "
        f"{here.numpy}, {here.device}. Texts: {data}."
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
