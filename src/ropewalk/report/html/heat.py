"""Depth by length as a coloured table: every cell holds its number, so the colour only helps.

The scale is for any colour vision and for print: from a deep orange at 0 to a pale blue at 1, its lightness never
falls, and dark text keeps a contrast of more than 4.5 on all of it (WCAG 2.2, success criterion 1.4.3).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.result import Estimate

# Score and the colour that stands for it (red, green, blue).
SCALE = ((0.0, (222, 135, 60)), (0.5, (243, 198, 143)), (0.9, (226, 236, 244)), (1.0, (237, 246, 252)))
TEXT = "#1a1a1a"


def shade(score: float) -> str:
    """The colour of a score, straight between the colours of the scale."""
    inside = min(max(score, 0.0), 1.0)
    for (low, dark), (high, light) in pairwise(SCALE):
        if inside <= high:
            part = (inside - low) / (high - low)
            return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in zip(dark, light, strict=True))
    raise AssertionError(inside)


def heat_cell(score: float, *below: Content) -> Markup:
    """A cell with its number on the colour of its score."""
    return element("td", lines(f"{score:.2f}", *below), class_="heat", style=f"background:{shade(score)}")


def heat_map(estimates: Sequence[Estimate], *, caption: str, note: str) -> Markup:
    """Rows are depths, columns are lengths, cells are scores with their intervals.

    Args:
        estimates: Scores from 0 to 1, each with a depth.
        caption: What and whose they are.
        note: What a cell rests on.
    """
    cells: Mapping[tuple[float, int], Estimate] = {(e.depth or 0.0, e.length): e for e in estimates}
    lengths = sorted({length for _, length in cells})
    rows = []
    for depth in sorted({depth for depth, _ in cells}):
        found = [cells.get((depth, length)) for length in lengths]
        rows.append([f"{100 * depth:.0f} %", *[_estimate_cell(estimate) for estimate in found]])
    head = ["depth", *[f"{length:,}" for length in lengths]]
    return table(caption, head, rows, class_="map", note=note)


def scale_key() -> Markup:
    """The scale with its numbers, to stand once beside the maps."""
    steps = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
    boxes = (element("span", f"{step:g}", class_="heat", style=f"background:{shade(step)}") for step in steps)
    return element("p", "Colour of a score: ", joined(boxes), class_="scale")


def _estimate_cell(estimate: Estimate | None) -> Markup:
    if estimate is None:
        return element("td", "-", class_="heat")
    failed = small(f"{estimate.failed} failed") if estimate.failed else None
    return heat_cell(estimate.value, small(f"{estimate.low:.2f} to {estimate.high:.2f}"), failed)
