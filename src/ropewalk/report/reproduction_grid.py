"""A panel that maps lengths and depths: how much of what stands there is found, as the needle grids of papers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.colors import LinearSegmentedColormap

from ropewalk.report import style

if TYPE_CHECKING:
    from ropewalk.result import CellReading, Panel, Reproduction

# One hue from white on: lightness alone tells shares apart, in print and for any colour vision.
SHADES = LinearSegmentedColormap.from_list("found", ["#FFFFFF", style.COLOURS["yarn"]])
WHITE_FROM = 0.6  # shares on shades so dark that their number is written in white


def draw_grid(axes: Any, result: Reproduction, panel: Panel) -> None:
    """Draws a field for each length and depth of the panel's cell, with its share written in it."""
    fields = _fields(result, panel)
    lengths = sorted({length for length, _ in fields})
    depths = sorted({depth for _, depth in fields})
    for (length, depth), reading in fields.items():
        column, row, share = lengths.index(length), depths.index(depth), reading.estimate.value
        axes.fill_between([column, column + 1], row, row + 1, color=SHADES(share), linewidth=0)
        ink = "white" if share >= WHITE_FROM else style.INK
        axes.text(column + 0.5, row + 0.5, f"{share:.2g}", ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_xlim(0, max(1, len(lengths)))
    axes.set_ylim(max(1, len(depths)), 0)  # the beginning of a context stands above its end
    axes.set_xticks([i + 0.5 for i in range(len(lengths))], [f"{length:,}" for length in lengths])
    axes.set_yticks([i + 0.5 for i in range(len(depths))], [f"{depth:.2g}" for depth in depths])
    axes.set_xlabel("context, tokens", fontsize=style.FONT["size"], color=style.INK)
    axes.set_ylabel("depth of the key", fontsize=style.FONT["size"], color=style.INK)
    axes.tick_params(labelsize=8.5, colors=style.INK, length=0)
    for side in axes.spines.values():
        side.set_color(style.FAINT)


def _fields(result: Reproduction, panel: Panel) -> dict[tuple[int, float], CellReading]:
    """The readings by length and depth."""
    return {
        (r.estimate.length, r.estimate.depth): r
        for r in result.readings
        if (r.cell, r.of, r.estimate.measure) == (panel.cells[0], panel.of, panel.measure)
        and r.estimate.depth is not None
    }
