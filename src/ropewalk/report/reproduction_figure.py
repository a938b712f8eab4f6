"""The figure of a paper in miniature: lines with bands, against context length or against the depth of a fact."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ropewalk.report import style
from ropewalk.report.figures import label_ends
from ropewalk.report.image import fingerprint_of, write_png
from ropewalk.report.reproduction_grid import draw_grid
from ropewalk.result import quantity_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ropewalk.result import CellReading, Estimate, Panel, Reproduction

DASHES = ("-", "--", ":", "-.")
LABEL_WIDTH, LABEL_GAP = 18, 0.06
PANEL_INCHES = (5.6, 4.2)
CAPTION_LETTERS = 15  # in an inch


class Point(NamedTuple):
    """A reading and where it stands on the axis."""

    place: float
    reading: CellReading


def reproduction_figure(result: Reproduction) -> Figure:
    """One panel beside the other; two in a row."""
    columns = min(2, len(result.panels))
    rows = math.ceil(len(result.panels) / columns)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.75, "hspace": 0.5})
    figure.subplots_adjust(left=0.8 / size[0], right=1 - 1.7 / size[0], top=1 - 0.5 / size[1], bottom=0.95 / size[1])
    places = [axes for row in grid for axes in row]
    for axes, panel in zip(places, result.panels, strict=False):
        _draw(axes, result, panel)
    for axes in places[len(result.panels) :]:
        axes.set_visible(False)
    words = textwrap.fill(caption(result), round(CAPTION_LETTERS * (size[0] - 0.7)))
    figure.text(0.62 / size[0], 0.06 / size[1], words, fontsize=8, color=style.INK, va="bottom")
    return figure


def caption(result: Reproduction) -> str:
    """What the lines rest on."""
    seeds = len({cell.seed for cell in result.cells if cell.seed is not None})
    return (
        f"Bands: 95 % intervals over documents and seeds (up to {seeds}). Model {result.model}, trained length "
        f"{result.trained_length:,}."
    )


def write_reproduction_figure(result: Reproduction, path: Path) -> None:
    """Writes the figure as PNG, with the fingerprint of its record.

    Raises:
        OutputError: The file cannot be written.
    """
    write_png(
        reproduction_figure(result),
        path,
        title=result.title,
        words=caption(result),
        version=result.environment.ropewalk,
        results=drawn_fingerprint(result),
    )


def drawn_fingerprint(result: Reproduction) -> str:
    """First 16 hex digits of SHA-256 over everything that a figure shows."""
    shown = {"panels", "readings", "cells", "model", "trained_length"}
    content = result.model_dump_json(include=shown, exclude_defaults=True)  # fields that join later change no figure
    return fingerprint_of(content)


def _draw(axes: Any, result: Reproduction, panel: Panel) -> None:
    axes.set_title(panel.title, loc="left", fontsize=10.5, color=style.INK, pad=14)
    if panel.is_grid:
        draw_grid(axes, result, panel)
        return
    about = {cell.name: cell for cell in result.cells}
    used: dict[str, int] = {}
    labels = []
    for name, points in _lines(result, panel):
        if not points:
            continue
        first = about[points[-1].reading.cell]
        colour = _colour(first.name, first.method)
        dashes = DASHES[used.setdefault(colour, 0) % len(DASHES)]
        used[colour] += 1
        places = [point.place for point in points]
        values, lows, highs = _curves([point.reading.estimate for point in points], panel.measure)
        axes.fill_between(places, lows, highs, color=colour, alpha=style.BAND_OPACITY, linewidth=0)
        axes.plot(places, values, dashes, color=colour, marker="o", markersize=3.5, linewidth=1.7, clip_on=False)
        labels.append((values[-1], "\n".join(textwrap.wrap(name, LABEL_WIDTH)), colour))
    _axes(axes, result, panel)
    label_ends(axes, labels, line=LABEL_GAP, size=8)


def _colour(name: str, method: str) -> str:
    """A sampler's own colour where the cell is called after one, because its frequencies are those of its rivals."""
    words = [word for word in name.split("-") if word in ("cream", "pose", "randpos")]
    return style.colour(words[0] if words else method)


def _lines(result: Reproduction, panel: Panel) -> Iterator[tuple[str, list[Point]]]:
    """Labels of lines with their points, from left to right."""
    about = {cell.name: cell.about for cell in result.cells}
    if panel.along is not None:
        for line in panel.along.lines:
            own = line.at or ((panel.of, panel.at or result.trained_length),) * len(line.cells)
            found = [
                (place, result.find(cell, of, measure, length))
                for (place, cell, measure), (of, length) in zip(line.points(panel.measure), own, strict=True)
            ]
            yield line.name, [Point(place, reading) for place, reading in found if reading is not None]
        return
    for cell in panel.cells:
        points = [Point(_place(r, panel), r) for r in result.readings if _belongs(r, panel, cell)]
        yield about.get(cell, cell), sorted(points, key=lambda point: point.place)


def _belongs(reading: CellReading, panel: Panel, cell: str) -> bool:
    estimate = reading.estimate
    if (reading.cell, reading.of, estimate.measure) != (cell, panel.of, panel.measure):
        return False
    return estimate.depth is None if panel.at is None else estimate.depth is not None and estimate.length == panel.at


def _place(reading: CellReading, panel: Panel) -> float:
    return float(reading.estimate.length) if panel.at is None else float(reading.estimate.depth or 0.0)


def _curves(estimates: Sequence[Estimate], measure: str) -> tuple[list[float], list[float], list[float]]:
    """Values and ends of intervals as they are drawn: a loss as perplexity, a share inside its bounds."""
    quantity = quantity_of(measure)

    def shown(number: float) -> float:
        if quantity.is_bounded:
            return min(1.0, max(0.0, number))
        return math.exp(number) if quantity.kind == "loss" else number

    return [shown(e.value) for e in estimates], [shown(e.low) for e in estimates], [shown(e.high) for e in estimates]


def _axes(axes: Any, result: Reproduction, panel: Panel) -> None:
    _axis_of_places(axes, result, panel)
    quantity = quantity_of(panel.measure)
    axes.set_ylabel(quantity.axis, fontsize=style.FONT["size"], color=style.INK)
    if quantity.kind == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif quantity.kind == "difference":
        axes.axhline(0.0, color=style.FAINT, linewidth=1.0, zorder=1)
    elif quantity.is_bounded:
        axes.set_ylim(-0.04, 1.06)
    elif quantity.kind == "tokens":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8.5, colors=style.INK, length=0)
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(style.FAINT)


def _axis_of_places(axes: Any, result: Reproduction, panel: Panel) -> None:
    if panel.is_by_depth:
        axes.set_xlabel(f"depth of the fact, {panel.at:,} tokens", fontsize=style.FONT["size"], color=style.INK)
        return
    if panel.along is None:
        lengths = {r.estimate.length for r in result.readings if r.of == panel.of and r.estimate.depth is None}
        places, title = sorted(map(float, lengths)), "context, tokens"
        axes.set_xscale("log", base=2)
        axes.axvline(result.trained_length, color=style.FAINT, linewidth=1.2, linestyle=":", zorder=1)
    else:
        places, title = sorted({place for line in panel.along.lines for place, _ in line.cells}), panel.along.title
        if panel.along.logarithmic:
            smallest = min((place for place in places if place > 0), default=1.0)
            axes.set_xscale("symlog", base=2, linthresh=smallest, linscale=1.0)
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_xlabel(title, fontsize=style.FONT["size"], color=style.INK)
