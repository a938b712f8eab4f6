"""What the panels of small figures share: names of axes, grid, and no frame."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from ropewalk.report import style

# Below this ratio of largest to smallest value three ticks a decade are too few.
NARROW = 15


def finish(axes: Any, title: str, *, x: str, y: str | None = None) -> None:
    """Names a panel and its axes, and takes away what is not needed to read it."""
    axes.set_title(title, loc="left", fontsize=10.5, color=style.INK)
    axes.set_xlabel(x, fontsize=style.FONT["size"], color=style.INK)
    if y is not None:
        axes.set_ylabel(y, fontsize=style.FONT["size"], color=style.INK)
    axes.tick_params(labelsize=8.5, colors=style.INK, length=0)
    axes.grid(visible=True, color=style.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(style.FAINT)


def caption(figure: Any, text: str) -> None:
    """Writes what points and bars rest on below the panels."""
    figure.text(0.02, 0.02, text, fontsize=8, color=style.INK, va="bottom", linespacing=1.4)


def plain_log_axis(axes: Any) -> None:
    """Ticks such as 10, 20, 50, closer where the range is small, written as people write them."""
    low, high = axes.get_ylim()
    steps = (1, 1.5, 2, 3, 4, 5, 7) if high < NARROW * low else (1, 2, 5)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=steps))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
