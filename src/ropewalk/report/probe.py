"""A probe for people: candidates untrained, the critical pair, the logit slope."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from ropewalk.result import Estimate, Probe, ProbedPoint


def probed_methods(probe: Probe) -> Table:
    """Candidates without training, the best first."""
    table = Table(
        title=f"Untrained at {probe.target_length:,} tokens: loss on answers, {probe.contexts} contexts of key-value "
        "records",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("method")
    for name in ("nats/answer token", "behind the best", "perplexity", f"cut to {probe.trained_length:,}"):
        table.add_column(name, justify="right")
    table.add_row("as it is", bracketed(probe.untouched), "", "", "")
    for row in probe.methods:
        table.add_row(
            row.method,
            bracketed(row.needles),
            bracketed(row.behind) if row.behind.value else "-",
            bracketed(row.text[-1], perplexity=True) if row.text else "-",
            bracketed(row.text[0], perplexity=True) if row.text else "-",
        )
    return table


def probed_points(title: str, column: str, points: tuple[ProbedPoint, ...]) -> Table:
    """Readings along a line."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in (column, "nats/answer token", "behind the best"):
        table.add_column(name, justify="right")
    for point in points:
        best = not point.behind.value
        table.add_row(f"{point.place:g}", bracketed(point.needles), "best" if best else bracketed(point.behind))
    return table


def findings(probe: Probe) -> str:
    """What the probe says, in words."""
    best = probe.methods[0]
    close = [row.method for row in probe.methods[1:] if row.behind.low <= 0]
    beside = f" ({', '.join(close)} not shown to be behind)" if close else ""
    return (
        f"Best untrained: {best.method}{beside}. The critical pair is {probe.critical_pair} "
        f"({probe.critical_low} to {probe.critical_high} are not shown to be worse), in theory "
        f"{probe.theoretical_pair}; the best logit slope is {probe.slope:g} (YaRN's is 0.1)."
    )


def bracketed(estimate: Estimate, *, perplexity: bool = False) -> str:
    """A value with its interval."""
    numbers = (estimate.value, estimate.low, estimate.high)
    if perplexity:
        value, low, high = (f"{math.exp(number):,.4g}" for number in numbers)
    else:
        value, low, high = (f"{number:,.3f}" for number in numbers)
    return f"{value} [{low}, {high}]"
