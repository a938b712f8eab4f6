"""The figure of a paper in miniature: lines with bands, against context length or against the depth of a fact."""

from __future__ import annotations

import hashlib
import math
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ropewalk.report import style
from ropewalk.report.figures import label_ends
from ropewalk.report.png import write_png
from ropewalk.result import AGAINST_CUT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import CellReading, Panel, Reproduction

DASHES = ("-", "--", ":", "-.")
LABEL_WIDTH, LABEL_GAP = 18, 0.06
PANEL_INCHES = (5.6, 4.2)
CAPTION_LETTERS = 15  # in an inch


def reproduction_figure(result: Reproduction) -> Figure:
    """One panel beside the other; two in a row."""
    columns = min(2, len(result.panels))
    rows = math.ceil(len(result.panels) / columns)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.4)
    figure = Figure(figsize=size, facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.75, "hspace": 0.5})
    figure.subplots_adjust(left=0.62 / size[0], right=1 - 1.7 / size[0], top=1 - 0.5 / size[1], bottom=0.95 / size[1])
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
    content = result.model_dump_json(exclude={"environment", "wall_seconds"})
    metadata = {
        "Title": f"ropewalk: {result.title}",
        "Description": caption(result),
        "Software": f"ropewalk {result.environment.ropewalk}",
        "ropewalk:results": hashlib.sha256(content.encode()).hexdigest()[:16],
    }
    write_png(reproduction_figure(result), path, metadata)


def _draw(axes: Any, result: Reproduction, panel: Panel) -> None:
    axes.set_title(panel.title, loc="left", fontsize=10.5, color=style.INK, pad=14)
    about = {cell.name: cell for cell in result.cells}
    is_loss = panel.measure.endswith("_nll")
    used: dict[str, int] = {}
    labels = []
    for name in panel.cells:
        points = _points(result, panel, name)
        if not points:
            continue
        colour = _colour(name, about[name].method)
        dashes = DASHES[used.setdefault(colour, 0) % len(DASHES)]
        used[colour] += 1
        places, values, lows, highs = _curves(points, panel, is_loss=is_loss)
        axes.fill_between(places, lows, highs, color=colour, alpha=style.BAND_OPACITY, linewidth=0)
        axes.plot(places, values, dashes, color=colour, marker="o", markersize=3.5, linewidth=1.7, clip_on=False)
        labels.append((values[-1], "\n".join(textwrap.wrap(about[name].about, LABEL_WIDTH)), colour))
    _axes(axes, result, panel, is_loss=is_loss)
    label_ends(axes, labels, line=LABEL_GAP, size=8)


def _colour(name: str, method: str) -> str:
    """A sampler's own colour where the cell is called after one, because its frequencies are those of its rivals."""
    words = [word for word in name.split("-") if word in ("cream", "pose", "randpos")]
    return style.colour(words[0] if words else method)


def _points(result: Reproduction, panel: Panel, cell: str) -> list[CellReading]:
    chosen = [r for r in result.readings if (r.cell, r.of, r.estimate.measure) == (cell, panel.of, panel.measure)]
    if panel.at is None:
        plain = [reading for reading in chosen if reading.estimate.depth is None]
        return sorted(plain, key=lambda reading: reading.estimate.length)
    deep = [r for r in chosen if r.estimate.depth is not None and r.estimate.length == panel.at]
    return sorted(deep, key=lambda reading: reading.estimate.depth or 0.0)


def _curves(
    points: Sequence[CellReading], panel: Panel, *, is_loss: bool
) -> tuple[list[float], list[float], list[float], list[float]]:
    def shown(number: float) -> float:
        if panel.measure.endswith(AGAINST_CUT):
            return number
        return math.exp(number) if is_loss else min(1.0, max(0.0, number))

    estimates = [point.estimate for point in points]
    places = [float(e.length) if panel.at is None else float(e.depth or 0.0) for e in estimates]
    return (
        places,
        [shown(e.value) for e in estimates],
        [shown(e.low) for e in estimates],
        [shown(e.high) for e in estimates],
    )


def _axes(axes: Any, result: Reproduction, panel: Panel, *, is_loss: bool) -> None:
    if panel.at is None:
        lengths = sorted({r.estimate.length for r in result.readings if r.of == panel.of and r.estimate.depth is None})
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(lengths))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("context, tokens", fontsize=style.FONT["size"], color=style.INK)
        axes.axvline(result.trained_length, color=style.FAINT, linewidth=1.2, linestyle=":", zorder=1)
    else:
        axes.set_xlabel(f"depth of the fact, {panel.at:,} tokens", fontsize=style.FONT["size"], color=style.INK)
    if is_loss:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("perplexity (lower is better)", fontsize=style.FONT["size"], color=style.INK)
    elif panel.measure.endswith(AGAINST_CUT):
        axes.axhline(0.0, color=style.FAINT, linewidth=1.0, zorder=1)
        axes.set_ylabel("nats per token (lower is better)", fontsize=style.FONT["size"], color=style.INK)
    else:
        axes.set_ylim(-0.04, 1.06)
        axes.set_ylabel("share found (higher is better)", fontsize=style.FONT["size"], color=style.INK)
    axes.tick_params(labelsize=8.5, colors=style.INK, length=0)
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(style.FAINT)
