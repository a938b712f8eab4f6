"""Figures of results: what a longer window is worth, at one look. No global state, no pyplot.

A figure is made from `EvaluationResult`s alone and has a table twin in `report.tables`. Its file carries the
fingerprints of its inputs.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ropewalk.errors import MeasurementError
from ropewalk.report import style
from ropewalk.report.axes import plain_log_axis
from ropewalk.report.image import fingerprint_of, write_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import Estimate, EvaluationResult

ACCURACIES = {"passkey_accuracy": ("pass key", "-", "o"), "key_value_accuracy": ("key-value", "--", "s")}
FIGURE_MEASURES = ("perplexity", *ACCURACIES)
# Labels closer than this share of the axis height would overlap.
LABEL_GAP = 0.062
# Characters of a label that fit between the panels.
LABEL_WIDTH = 16
# Width over which the series of the recall panel stand side by side at one length, in octaves of context length.
SIDE_BY_SIDE = 0.24


class ResultFigure(Figure):
    """A Matplotlib figure that knows which results it shows, so that its file can say so."""

    def __init__(self, results: Sequence[EvaluationResult], **options: Any) -> None:
        super().__init__(**options)
        self.results = tuple(results)


def window_figure(results: Sequence[EvaluationResult]) -> ResultFigure:
    """Perplexity of the same tokens, and recall, against context length, for one or more models.

    Args:
        results: Results on the same data, such as the untouched model's and the extended model's.

    Raises:
        MeasurementError: No results, results on different data, or nothing that the figure shows.
    """
    _check_same_data(results)
    figure = ResultFigure(results, figsize=(10.4, 4.9), facecolor="white")
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.55})
    figure.subplots_adjust(left=0.065, right=0.845, top=0.87, bottom=0.26)
    _perplexity_panel(left, results)
    _recall_panel(right, results)
    lengths = sorted({e.length for r in results for e in r.estimates if e.baseline_length is None})
    for axes in (left, right):
        _length_axis(axes, lengths)
        _mark_trained(axes, {r.model.trained_length for r in results})
    figure.text(0.065, 0.03, caption(results), fontsize=8, color=style.INK, va="bottom", linespacing=1.45)
    return figure


def caption(results: Sequence[EvaluationResult]) -> str:
    """What the points rest on and what the bands are, for text beside the figure too."""
    sentences = []
    perplexity = _first(results, "perplexity")
    if perplexity is not None:
        sentences.append(f"Left: {_basis(perplexity, 'windows')}; the tokens are the same at every length.")
    recalls = [(words, e) for measure, (words, _, _) in ACCURACIES.items() if (e := _first(results, measure))]
    if recalls:
        parts = "; ".join(f"{words}, {_basis(e, 'answers')}" for words, e in recalls)
        sentences.append(f"Right, at each length: {parts}.")
    level = next(e.level for r in results for e in r.estimates)
    names = ", ".join(dict.fromkeys(r.model.name for r in results))
    sentences.append(
        f"Bands and bars: {level:.0%} intervals. Model: {names}. Data {results[0].data}, seed {results[0].seed}."
    )
    return "\n".join(sentences)


def write_figure(figure: ResultFigure, path: Path) -> None:
    """Writes a PNG beside its place, with the fingerprints of its inputs in its metadata, then moves it there.

    Args:
        figure: From this module.
        path: The PNG file.

    Raises:
        OutputError: The file cannot be written.
    """
    results = figure.results
    write_png(
        figure,
        path,
        title=" and ".join(r.model.method for r in results),
        words=caption(results),
        version=results[0].environment.ropewalk,
        data=results[0].data,
        results=" ".join(result_fingerprint(result) for result in results),
    )


def result_fingerprint(result: EvaluationResult) -> str:
    """The first 16 hex digits of SHA-256 over what was measured, without where and how long."""
    content = result.model_dump_json(exclude={"environment", "wall_seconds", "samples_file"})
    return fingerprint_of(content)


def _perplexity_panel(axes: Any, results: Sequence[EvaluationResult]) -> None:
    axes.set_title("Perplexity of the same tokens", loc="left", fontsize=11, color=style.INK, pad=16)
    axes.set_yscale("log")
    labels = []
    for result in results:
        points = _points(result, "perplexity")
        if points:
            colour = style.colour(result.model.method)
            _band(axes, points, colour)
            _line(axes, points, colour, "-", "o")
            labels.append((points[-1].value, "\n".join(textwrap.wrap(result.model.method, LABEL_WIDTH)), colour))
    axes.set_ylabel("perplexity per token (lower is better)", fontsize=style.FONT["size"], color=style.INK)
    plain_log_axis(axes)
    label_ends(axes, labels)


def _recall_panel(axes: Any, results: Sequence[EvaluationResult]) -> None:
    axes.set_title("Facts found in the context", loc="left", fontsize=11, color=style.INK, pad=16)
    axes.set_ylim(-0.04, 1.06)
    series = [
        (result.model.method, measure, points)
        for result in results
        for measure in ACCURACIES
        if (points := _points(result, measure))
    ]
    labels = []
    for index, (method, measure, points) in enumerate(series):
        words, dashes, marker = ACCURACIES[measure]
        # Series at 0 or 1 lie on each other; a small step aside keeps all their intervals visible.
        aside = float(2 ** (SIDE_BY_SIDE * ((index + 0.5) / len(series) - 0.5)))
        _bars(axes, points, style.colour(method), aside)
        _line(axes, points, style.colour(method), dashes, marker, aside)
        labels.append((points[-1].value, f"{style.method_name(method)}: {words}", style.colour(method)))
    axes.set_ylabel("share of right answers (higher is better)", fontsize=style.FONT["size"], color=style.INK)
    label_ends(axes, labels)


def _band(axes: Any, points: Sequence[Estimate], colour: str) -> None:
    lengths = [point.length for point in points]
    lows, highs = [point.low for point in points], [point.high for point in points]
    axes.fill_between(lengths, lows, highs, color=colour, alpha=style.BAND_OPACITY, linewidth=0)


def _bars(axes: Any, points: Sequence[Estimate], colour: str, aside: float) -> None:
    lengths = [point.length * aside for point in points]
    lows, highs = [point.low for point in points], [point.high for point in points]
    axes.vlines(lengths, lows, highs, color=colour, alpha=0.45, linewidth=2.2, clip_on=False)


def _line(axes: Any, points: Sequence[Estimate], colour: str, dashes: str, marker: str, aside: float = 1.0) -> None:
    lengths, values = [point.length * aside for point in points], [point.value for point in points]
    axes.plot(lengths, values, dashes, color=colour, marker=marker, markersize=4.5, linewidth=1.8, clip_on=False)


def _length_axis(axes: Any, lengths: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(lengths[0] / 1.12, lengths[-1] * 1.12)
    axes.xaxis.set_major_locator(FixedLocator(list(lengths)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("context, tokens", fontsize=style.FONT["size"], color=style.INK)
    axes.tick_params(labelsize=style.FONT["size"], colors=style.INK, length=0)
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(style.FAINT)


def _mark_trained(axes: Any, trained_lengths: set[int]) -> None:
    for length in sorted(trained_lengths):
        axes.axvline(length, color=style.FAINT, linewidth=1.2, linestyle=":", zorder=1)
        axes.text(
            length,
            1.015,
            f"trained length {length:,}",
            transform=axes.get_xaxis_transform(),
            fontsize=8,
            color="#666666",
            ha="left",
        )


def label_ends(
    axes: Any, labels: Sequence[tuple[float, str, str]], *, line: float = LABEL_GAP, size: float = 9
) -> None:
    """Writes each line's name beside its last point, moved apart where they would overlap.

    Args:
        axes: The panel.
        labels: Height of each last point, in the panel's data, with its name and colour.
        line: Height of a line of text, as a share of the panel's.
        size: Of the letters, in points.
    """
    if not labels:
        return
    # Asking for the limits makes matplotlib settle them, without which the labels stand where the data were not yet.
    axes.set_ylim(axes.get_ylim())
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((1.0, value))[1]) for value, _, _ in labels]
    gap = line * max(text.count("\n") + 1 for _, text, _ in labels)
    for (_, text, colour), height in zip(labels, spread(heights, gap, edge=(gap - line) / 2), strict=True):
        axes.text(1.03, height, text, transform=axes.transAxes, color=colour, fontsize=size, va="center", clip_on=False)


def spread(heights: Sequence[float], gap: float, *, edge: float = 0.0) -> list[float]:
    """The heights moved as little as keeps neighbours `gap` apart and, if there is room, all `edge` within [0, 1].

    Order is kept, ties stay in their order.
    """
    order = np.argsort(heights, kind="stable")
    offsets = np.arange(len(heights)) * gap
    # After taking k gaps off the k-th height, "at least a gap apart" becomes "not decreasing": isotonic regression.
    blocks: list[list[float]] = []
    for target in np.asarray(heights, dtype=np.float64)[order] - offsets:
        blocks.append([float(target)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    level = [float(np.mean(block)) for block in blocks for _ in block]
    placed = np.empty(len(heights))
    # Clipping the levels keeps their order, hence the gaps.
    placed[order] = np.clip(level, edge, max(edge, 1.0 - edge - offsets[-1])) + offsets
    return [float(height) for height in placed]


def _points(result: EvaluationResult, measure: str) -> list[Estimate]:
    found = [e for e in result.estimates if e.measure == measure and e.depth is None]
    return sorted(found, key=lambda estimate: estimate.length)


def _first(results: Sequence[EvaluationResult], measure: str) -> Estimate | None:
    return next((point for result in results for point in _points(result, measure)), None)


def _basis(estimate: Estimate, what: str) -> str:
    failed = f", {estimate.failed} failed" if estimate.failed else ""
    return f"n = {estimate.samples} {what}{failed} ({estimate.interval})"


def _check_same_data(results: Sequence[EvaluationResult]) -> None:
    if not any(e.measure in FIGURE_MEASURES for r in results for e in r.estimates):
        raise MeasurementError(
            "a figure needs at least one result with perplexity or recall; there is none. "
            "Evaluate with one of the tasks 'paired', 'passkey', 'key-value'."
        )
    for field in ("data", "seed"):
        values = list(dict.fromkeys(str(getattr(result, field)) for result in results))
        if len(values) > 1:
            raise MeasurementError(
                f"one figure shows results on the same samples; their '{field}' differs: {', '.join(values)}. "
                "Evaluate the models on the same texts, with the same seed."
            )
