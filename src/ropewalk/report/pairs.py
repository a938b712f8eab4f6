"""The pairs of a model under every method: how much slower each turns, and how long its turn is beside the windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ropewalk.analysis.pair_curves import pair_curves
from ropewalk.report import style
from ropewalk.report.axes import caption, finish, plain_log_axis
from ropewalk.report.figures import label_ends
from ropewalk.report.image import write_png
from ropewalk.rope import Rope
from ropewalk.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.analysis.pair_curves import PairCurve
    from ropewalk.result import ExtensionPlan

FIGURE = "pairs.png"
PAIR = "pair, fastest first"
LABEL = 0.042  # of the axis height, a line of a label
SAME = 1e-9  # methods whose curves differ by less are drawn as one
DASHES = ("-", "--", "-.", ":")


def pairs_figure(plan: ExtensionPlan) -> Figure:
    """Left: the stretch of each pair by each method. Right: its wavelength, beside the trained and the new window."""
    geometry = plan.geometry
    rope = Rope(geometry.head_dim, geometry.base, geometry.trained_length)
    curves = _distinct(pair_curves((one.method for one in plan.methods), rope, geometry.target_length))
    figure = Figure(figsize=(12.4, 5.2), facecolor="white")
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.72})
    figure.subplots_adjust(left=0.055, right=0.83, top=0.9, bottom=0.2)
    _draw(left, [(names, curve.stretch) for names, curve in curves])
    plain_log_axis(left)
    left.axhline(geometry.factor, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)
    finish(left, "How many times slower each pair turns", x=PAIR, y="stretch")
    _draw(right, [(names, curve.wavelengths) for names, curve in curves])
    right.plot(range(rope.pairs), 2 * np.pi / rope.frequencies, color=style.COLOURS["none"], linewidth=2.6, alpha=0.4)
    for length, words in ((geometry.trained_length, "trained"), (geometry.target_length, "new")):
        right.axhline(length, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)
        right.text(0, length, f"{words} window {length:,}", fontsize=8, color="#666666", va="bottom")
    finish(right, "How many tokens a turn takes", x=PAIR, y="wavelength, tokens")
    caption(figure, pairs_caption(plan))
    return figure


def pairs_caption(plan: ExtensionPlan) -> str:
    """What lines are."""
    geometry = plan.geometry
    return (
        f"{plan.model}: {geometry.head_dim // 2} pairs, base {geometry.base:,.9g}, {geometry.trained_length:,} to "
        f"{geometry.target_length:,} tokens. Methods with the same pairs share a line; a pair that stands still has "
        "no point.\nDotted at the left: the factor. Wide grey line at the right: the model as it is; a pair above a "
        "window completes no turn inside it."
    )


def write_pairs_figure(plan: ExtensionPlan, path: Path) -> None:
    """Writes the figure as PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    write_png(
        pairs_figure(plan),
        path,
        title=f"pairs of {plan.model} at {plan.geometry.target_length:,} tokens",
        words=pairs_caption(plan),
        version=__version__,
    )


def _distinct(curves: Sequence[PairCurve]) -> list[tuple[list[str], PairCurve]]:
    """Curves with the names of all methods that share them."""
    found: list[tuple[list[str], PairCurve]] = []
    for curve in curves:
        same = next((names for names, one in found if np.allclose(one.stretch, curve.stretch, rtol=SAME)), None)
        if same is None:
            found.append(([curve.method], curve))
        else:
            same.append(curve.method)
    return found


def _draw(axes: Any, curves: Sequence[tuple[list[str], Any]]) -> None:
    axes.set_yscale("log")
    labels = []
    for index, (names, values) in enumerate(curves):
        finite = np.where(np.isfinite(values), values, np.nan)
        if np.isnan(finite).all():
            continue
        colour, dashes = style.colour(names[0]), DASHES[index % len(DASHES)]
        axes.plot(range(len(values)), finite, dashes, color=colour, linewidth=1.5)
        labels.append((float(finite[np.isfinite(finite)][-1]), ", ".join(names), colour))
    label_ends(axes, labels, line=LABEL, size=7.5)
