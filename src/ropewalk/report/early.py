"""The early warning for people: the loss on answers after a few steps, and what it foretells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from ropewalk.report.probe import bracketed

if TYPE_CHECKING:
    from ropewalk.result import Extendability


def early_table(early: Extendability) -> Table:
    """Steps and losses, the foretold one last."""
    table = Table(
        title=f"Loss on answers at {early.target_length:,} tokens after a few steps of {early.method}, "
        f"{early.positions} positions",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("steps", justify="right")
    table.add_column("nats/answer token", justify="right")
    table.add_row(f"untouched, inside {early.trained_length:,}", bracketed(early.inside))
    table.add_row("untouched", bracketed(early.untouched))
    for point in early.points:
        table.add_row(f"{point.steps:,}", bracketed(point.needles))
    table.add_row(f"{early.at:,}, foretold", bracketed(early.foretold))
    return table


def prospect_words(early: Extendability) -> str:
    """The verdict with its number and what it rests on."""
    value, low, high = early.share_left
    return (
        f"By a power law {value:.0%} [{low:.0%}, {high:.0%}] of the way back to the loss inside the old window is left "
        f"after {early.at:,} steps: {early.prospect}. The interval is over contexts; one seed was trained, on "
        f"{early.tokens:,} tokens, and that the law holds is an assumption."
    )
