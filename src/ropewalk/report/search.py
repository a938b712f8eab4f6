"""Searches for people: what they found on needles that they never saw, and how they got there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from rich.table import Table

from ropewalk.report import style
from ropewalk.report.axes import caption, finish, plain_log_axis
from ropewalk.report.image import fingerprint_of, write_png
from ropewalk.report.probe import bracketed

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.result import SearchComparison

FLOOR = 1e-4  # nats; less is as good as none
COLOURS = {"taper": "#0072B2", "evolution": "#D55E00"}


def search_table(found: SearchComparison) -> Table:
    """What was found, and methods that need no search, the best first."""
    table = Table(
        title=f"{found.model}, untrained at {found.target_length:,} tokens: loss on answers, {found.contexts} fresh "
        "contexts of key-value records",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("frequencies")
    for name in ("nats/answer token", "behind the best"):
        table.add_column(name, justify="right")
    for point in found.fresh:
        table.add_row(point.name, bracketed(point.needles), bracketed(point.behind) if point.behind.value else "-")
    return table


def search_words(found: SearchComparison) -> str:
    """What the searches rest on."""
    parts = [
        f"{one.search}: {min(one.losses):.3f} on its own needles after {len(one.losses):,} evaluations"
        + (f" ({', '.join(f'{name} {value:.3g}' for name, value in one.found.items())})" if one.found else "")
        for one in found.trajectories
    ]
    return "; ".join(parts) + ". Fresh contexts come from another seed than the searches' own."


def search_figure(found: SearchComparison) -> Figure:
    """The smallest loss so far against evaluations, for each search."""
    figure = Figure(figsize=(7.2, 4.4), facecolor="white")
    axes = figure.subplots()
    figure.subplots_adjust(left=0.11, right=0.97, top=0.9, bottom=0.2)
    for one in found.trajectories:
        colour = COLOURS.get(one.search, style.colour(one.search))
        numbers = range(1, len(one.losses) + 1)
        axes.plot(numbers, one.losses, ".", color=colour, alpha=0.25, markersize=4)
        axes.plot(numbers, one.best, color=colour, linewidth=1.8, label=one.search)
    # What a search gains is small beside where it starts; a linear axis would show the start alone.
    axes.set_yscale("log")
    best = [min(one.losses) for one in found.trajectories]
    axes.set_ylim(max(min(best), FLOOR) / 1.5, 1.5 * max(*(one.losses[0] for one in found.trajectories), *best, FLOOR))
    plain_log_axis(axes)
    finish(axes, "Smallest loss on needles so far", x="evaluations", y="nats per answer token")
    axes.legend(frameon=False)
    caption(figure, figure_caption(found))
    return figure


def figure_caption(found: SearchComparison) -> str:
    """What lines and points are."""
    return (
        f"{found.model}, {found.trained_length:,} to {found.target_length:,} tokens, untrained. Points: candidates; "
        "lines: the best so far."
    )


def write_search_figure(found: SearchComparison, path: Path) -> None:
    """Writes the figure as PNG, with the fingerprint of its record.

    Raises:
        OutputError: The file cannot be written.
    """
    content = found.model_dump_json(include={"trajectories", "model"})
    write_png(
        search_figure(found),
        path,
        title=f"searches for {found.model} at {found.target_length:,} tokens",
        words=figure_caption(found),
        version=found.environment.ropewalk,
        results=fingerprint_of(content),
    )
