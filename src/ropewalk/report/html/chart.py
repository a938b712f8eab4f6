"""A line chart as inline SVG: one letter, marker and dash pattern a series, so that it reads without colours too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.report.figures import SIDE_BY_SIDE, spread
from ropewalk.report.html.markup import Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Units of the drawing. On a page it is between 330 and 520 pixels wide, where its letters stay legible.
WIDTH, HEIGHT = 480.0, 310.0
LEFT, TOP, BOTTOM = 52.0, 42.0, 262.0
# The right edge of the plot: with a second value axis there must be room for its labels.
RIGHT, RIGHT_OF_TWO = 452.0, 412.0
LETTER_GAP = 17.0
# Widths of one character and of the least room between two labels of the length axis.
CHARACTER, ROOM = 7.6, 8.0


@dataclass(frozen=True)
class Point:
    """A value with its interval at one context length."""

    length: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        index: Chooses colour class, marker and dashes.
        letter: Written at its end.
        points: By increasing length.
    """

    index: int
    letter: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Axes:
    """Where values stand in the drawing.

    Attributes:
        lengths: Ends of the length axis, in tokens.
        values: Ends of the value axis.
        right: The right edge of the plot.
    """

    lengths: tuple[float, float]
    values: tuple[float, float]
    right: float = RIGHT

    def x(self, length: float) -> float:
        """Abscissa of a length, on a scale of octaves; a single length stands in the middle."""
        low, high = (math.log2(end) for end in self.lengths)
        share = (math.log2(length) - low) / (high - low) if high > low else 0.5
        return LEFT + 14 + share * (self.right - LEFT - 28)

    def y(self, value: float) -> float:
        """Ordinate of a value; beyond the axis it stands at the axis's end."""
        low, high = self.values
        return BOTTOM - (min(max(value, low), high) - low) / (high - low) * (BOTTOM - TOP)


def line_chart(
    series: Sequence[Series],
    *,
    label: str,
    unit: str,
    abscissa: str = "context length, tokens",
    labelled: Sequence[int] | None = None,
    marks: Sequence[int] = (),
    values: tuple[float, float] | None = None,
    second: tuple[str, Callable[[float], str]] | None = None,
) -> Markup:
    """Values with their intervals against context length.

    Args:
        series: At least one with a point. Bands show the intervals; bars do where lines lie on each other, which they
            do on a fixed axis of shares.
        label: What the chart shows, for those who do not see it.
        unit: Name and unit of the value axis.
        abscissa: Name and unit of the length axis.
        labelled: Lengths that are written below the axis; by default those of the points.
        marks: Trained lengths, drawn as dotted lines.
        values: Ends of the value axis; by default as the intervals ask.
        second: Unit of a second value axis at the right, and how it writes the value at a tick.
    """
    points = [point for one in series for point in one.points]
    lengths = sorted({point.length for point in points})
    ends = [end for point in points for end in (point.low, point.high, point.value)]
    ticks = nice_ticks(*(values or (min(ends), max(ends))))
    axes = Axes((lengths[0], lengths[-1]), (ticks[0], ticks[-1]), RIGHT_OF_TWO if second else RIGHT)
    parts = [
        *_value_axis(axes, ticks, unit, second),
        *_length_axis(axes, [round(length) for length in lengths] if labelled is None else labelled, abscissa),
        *_marks(axes, [mark for mark in marks if lengths[0] <= mark <= lengths[-1]]),
    ]
    for place, one in enumerate(series):
        aside = 2 ** (SIDE_BY_SIDE * ((place + 0.5) / len(series) - 0.5)) if values else 1.0
        parts += _bars(axes, one, aside) if values or len(one.points) == 1 else _band(axes, one)
        parts += _line(axes, one, aside)
    parts += _letters(axes, series)
    return element("svg", *parts, class_="chart", viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", aria_label=label)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers, evenly spaced, that enclose both ends: 1, 2 or 5 times a power of ten apart."""
    span = high - low if high > low else max(abs(high), 1.0)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most - 1)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * i:.12g}") for i in range(first, max(last, first + 1) + 1)]


def short_length(tokens: int) -> str:
    """A length for an axis: 256, 2,048, 32k, 1M."""
    for size, letter in ((2**20, "M"), (2**10, "k")):
        if tokens >= 10 * 2**10 and tokens % size == 0:
            return f"{tokens // size}{letter}"
    return f"{tokens:,}"


def marker(index: int, x: float, y: float) -> Markup:
    """Circle, square, triangle or diamond."""
    shapes = (
        f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
        f"M{x - 3.6:.1f} {y - 3.6:.1f}h7.2v7.2h-7.2Z",
        f"M{x:.1f} {y - 4.8:.1f}l4.6 8.2h-9.2Z",
        f"M{x:.1f} {y - 5.2:.1f}l5.2 5.2l-5.2 5.2l-5.2 -5.2Z",
    )
    return element("path", d=shapes[index % len(shapes)], class_=f"point series-{index}")


def key(index: int) -> Markup:
    """A short piece of a series' line with its marker, for a legend."""
    line = element("path", d="M1 7H33", class_=f"line series-{index}")
    return element("svg", line, marker(index, 17, 7), class_="key", viewBox="0 0 34 14", aria_hidden="true")


def _value_axis(
    axes: Axes, ticks: Sequence[float], unit: str, second: tuple[str, Callable[[float], str]] | None
) -> Iterator[Markup]:
    for tick in ticks:
        y = axes.y(tick)
        yield element("path", d=f"M{LEFT:g} {y:.1f}H{axes.right:g}", class_="grid")
        yield _text(LEFT - 6, y + 4.5, f"{tick:g}", "end")
        if second:
            yield _text(axes.right + 27, y + 4.5, second[1](tick))
    yield _text(2, 12, unit, class_="unit")
    if second:
        yield _text(WIDTH - 2, 12, second[0], "end", "unit")


def _length_axis(axes: Axes, lengths: Sequence[int], name: str) -> Iterator[Markup]:
    yield element("path", d=f"M{LEFT:g} {BOTTOM:g}H{axes.right:g}", class_="axis")
    edge = math.inf  # labels are chosen from the longest length down, which is the one that matters
    for length in reversed(lengths):
        text, x = short_length(length), axes.x(length)
        yield element("path", d=f"M{x:.1f} {BOTTOM:g}v4", class_="axis")
        half = CHARACTER * len(text) / 2
        if x + half <= edge:
            yield _text(x, BOTTOM + 19, text, "middle")
            edge = x - half - ROOM
    yield _text((LEFT + axes.right) / 2, BOTTOM + 40, name, "middle", "unit")


def _marks(axes: Axes, marks: Sequence[int]) -> Iterator[Markup]:
    for mark in marks:
        x = axes.x(mark)
        yield element("path", d=f"M{x:.1f} {TOP:g}V{BOTTOM:g}", class_="mark")
        at_end = x > (LEFT + axes.right) / 2
        yield _text(x, TOP - 8, f"trained length {mark:,}", "end" if at_end else "start", "unit")


def _band(axes: Axes, one: Series) -> Iterator[Markup]:
    up = [f"{axes.x(p.length):.1f} {axes.y(p.high):.1f}" for p in one.points]
    down = [f"{axes.x(p.length):.1f} {axes.y(p.low):.1f}" for p in reversed(one.points)]
    yield element("path", d="M" + "L".join([*up, *down]) + "Z", class_=f"band series-{one.index}")


def _bars(axes: Axes, one: Series, aside: float) -> Iterator[Markup]:
    for point in one.points:
        x = axes.x(point.length * aside)
        path = f"M{x:.1f} {axes.y(point.low):.1f}V{axes.y(point.high):.1f}"
        yield element("path", d=path, class_=f"bar series-{one.index}")


def _line(axes: Axes, one: Series, aside: float) -> Iterator[Markup]:
    places = [(axes.x(point.length * aside), axes.y(point.value)) for point in one.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield element("path", d=path, class_=f"line series-{one.index}")
    yield from (marker(one.index, x, y) for x, y in places)


def _letters(axes: Axes, series: Sequence[Series]) -> Iterator[Markup]:
    """Each series' letter beside its last point, moved apart where they would overlap."""
    height = BOTTOM - TOP
    ends = [(BOTTOM - axes.y(one.points[-1].value)) / height for one in series]
    for one, share in zip(series, spread(ends, LETTER_GAP / height), strict=True):
        yield _text(axes.right + 6, BOTTOM - share * height + 5, one.letter, class_="letter")


def _text(x: float, y: float, text: str, anchor: str = "start", class_: str | None = None) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_)


def legend(entries: Sequence[tuple[int, str]]) -> Markup:
    """Which line is whose.

    Args:
        entries: Index and label of each series.
    """
    items = (element("li", key(index), element("span", label)) for index, label in entries)
    return element("ul", joined(items), class_="legend")
