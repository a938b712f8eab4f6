"""Attention entropy as a figure and its table twin: by position, layer by layer, and what would keep it flat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from rich.table import Table

from ropewalk.errors import MeasurementError
from ropewalk.report import style
from ropewalk.report.image import fingerprint_of, write_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import EntropyResult, LayerEntropy

PANELS = 4
COLUMNS = 100
FAINT_INK = "#666666"
# Dashes by the place of a model in the figure, so that lines of like colours differ.
DASHES = ("-", "--", "-.", ":")
SAME = ("data", "seed", "documents", "length", "last")


def entropy_figure(results: Sequence[EntropyResult]) -> Figure:
    """Entropy (above) and the logit multiplier that would keep it flat (below) against query position.

    At most four layers are shown, the first two, the middle one and the last: the paper's claim is that the first two
    differ from the others. The table shows all.

    Args:
        results: One or more models on the same texts.

    Raises:
        MeasurementError: No results, or results on different texts or of different numbers of layers.
    """
    _check_same_texts(results)
    shown = shown_layers(len(results[0].layers))
    figure = Figure(figsize=(12.2, 6.0), facecolor="white")
    above, below = figure.subplots(2, len(shown), sharex=True, sharey="row", squeeze=False)
    figure.subplots_adjust(left=0.075, right=0.98, top=0.83, bottom=0.2, wspace=0.12, hspace=0.2)
    for layer, top, bottom in zip(shown, above, below, strict=True):
        top.set_title(f"layer {layer}", loc="left", fontsize=11, color=style.INK)
        _draw_entropy(top, results, layer)
        _draw_scales(bottom, results, layer)
        bottom.set_xlabel("query position, tokens", fontsize=style.FONT["size"], color=style.INK)
        for axes in (top, bottom):
            _dress(axes, results)
    own = below[-1].lines[0]
    below[-1].annotate(
        "ln n / ln L", (own.get_xdata()[0], 1.0), (0, 5), textcoords="offset points", fontsize=8, color=FAINT_INK
    )
    above[0].set_ylabel("attention entropy, nats", fontsize=style.FONT["size"], color=style.INK)
    below[0].set_ylabel("multiplier that keeps it flat", fontsize=style.FONT["size"], color=style.INK)
    _key(figure, results)
    figure.text(0.075, 0.02, caption(results), fontsize=8, color=style.INK, va="bottom", linespacing=1.45)
    return figure


def write_entropy_figure(results: Sequence[EntropyResult], path: Path) -> None:
    """Writes the figure as a PNG, with the fingerprints of its inputs in its metadata.

    Raises:
        MeasurementError: See `entropy_figure`.
        OutputError: The file cannot be written.
    """
    figure = entropy_figure(results)
    write_png(
        figure,
        path,
        title="attention entropy of " + " and ".join(r.model.method for r in results),
        words=caption(results),
        version=results[0].environment.ropewalk,
        data=results[0].data,
        results=" ".join(result_fingerprint(result) for result in results),
    )


def caption(results: Sequence[EntropyResult]) -> str:
    """What the lines rest on and what the bands are, for text beside the figure too."""
    first = results[0]
    failed = f", {len(first.failed)} failed" if first.failed else ""
    models = ", ".join(dict.fromkeys(r.model.name for r in results))
    return (
        f"Above: {first.protocol.split(';')[0]}. Bands: {first.level:.0%} intervals\n({first.interval}{failed}). "
        "Dotted, ln n: the entropy of attention spread evenly over the n keys seen. Below: what the logits must be\n"
        "multiplied by, on top of the model's own scale, for the entropy of the trained length L. Dotted:\n"
        f"Entropy-ABF's max(ln n / ln L, 1). Model: {models}. Data {first.data}, seed {first.seed}."
    )


def entropy_table(results: Sequence[EntropyResult]) -> Table:
    """Each layer's entropy at the trained length and at its doublings, and the slope that would keep it flat.

    Raises:
        MeasurementError: See `entropy_figure`.
    """
    _check_same_texts(results)
    table = Table(
        title="Attention entropy, nats, by query position", title_justify="left", title_style="bold", width=COLUMNS
    )
    table.add_column("model", overflow="fold")
    table.add_column("layer", justify="right")
    places = _doublings(results[0])
    for place in places:
        table.add_column(f"{results[0].first[place]:,} to {results[0].last[place]:,}", justify="right", overflow="fold")
    table.add_column("slope to keep it flat", justify="right", overflow="fold")
    for result in results:
        for layer in result.layers:
            cells = [_entropy_cell(layer, place) for place in places]
            last = layer is result.layers[-1]
            name = result.model.method if layer is result.layers[0] else ""
            table.add_row(name, str(layer.layer), *cells, _slope_cell(layer), end_section=last)
    failed = f", {len(results[0].failed)} failed" if results[0].failed else ""
    table.caption = (
        f"Brackets: {results[0].level:.0%} intervals ({results[0].interval}{failed}). Slope: of the logit multiplier "
        "that keeps entropy at its value at the trained length, against ln n / ln L, on top of the model's own scale; "
        "Entropy-ABF's scale has slope 1, none has 0."
    )
    table.caption_justify = "left"
    return table


def shown_layers(layers: int) -> tuple[int, ...]:
    """The first two, the middle one and the last."""
    return tuple(sorted({0, min(1, layers - 1), layers // 2, layers - 1}))


def result_fingerprint(result: EntropyResult) -> str:
    """The first 16 hex digits of SHA-256 over what was measured, without where and how long."""
    content = result.model_dump_json(exclude={"environment", "wall_seconds"})
    return fingerprint_of(content)


def positions(result: EntropyResult) -> list[float]:
    """Where each stretch stands on the axis: the geometric mean of its ends."""
    return [math.sqrt(first * last) for first, last in zip(result.first, result.last, strict=True)]


def _draw_entropy(axes: Any, results: Sequence[EntropyResult], layer: int) -> None:
    places = positions(results[0])
    axes.plot(places, results[0].layers[layer].largest, ":", color=style.FAINT, linewidth=1.4)
    if layer > 0:  # behind the first layer there is room
        start = (places[0], results[0].layers[layer].largest[0])
        axes.annotate("ln n", start, (0, 14), textcoords="offset points", fontsize=8, color=FAINT_INK)
    for result, dashes in zip(results, _dashes(results), strict=True):
        found, colour = result.layers[layer], style.colour(result.model.method)
        axes.fill_between(places, found.low, found.high, color=colour, alpha=style.BAND_OPACITY, linewidth=0)
        axes.plot(places, found.entropy, dashes, color=colour, linewidth=1.8)
    axes.set_ylim(bottom=0)


def _draw_scales(axes: Any, results: Sequence[EntropyResult], layer: int) -> None:
    places, trained = positions(results[0]), results[0].model.trained_length
    axes.plot(places, [max(math.log(p) / math.log(trained), 1) for p in places], ":", color=style.FAINT, linewidth=1.4)
    for result, dashes in zip(results, _dashes(results), strict=True):
        found, colour = result.layers[layer], style.colour(result.model.method)
        low, scales, high = np.array([found.flat_scale_low, found.flat_scale, found.flat_scale_high], dtype=np.float64)
        # The entropy of the trained length is what the others are measured by.
        low[result.reference] = scales[result.reference] = high[result.reference] = 1.0
        axes.fill_between(places, low, high, color=colour, alpha=style.BAND_OPACITY, linewidth=0)
        axes.plot(places, scales, dashes, color=colour, linewidth=1.8)


def _dress(axes: Any, results: Sequence[EntropyResult]) -> None:
    axes.set_xscale("log", base=2)
    trained = results[0].model.trained_length
    lengths = [round(trained * 4.0**k) for k in range(-2, 20) if trained * 4.0**k <= results[0].length]
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8, colors=style.INK, length=0)
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axvline(trained, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(style.FAINT)


def _key(figure: Figure, results: Sequence[EntropyResult]) -> None:
    """Names the lines in one row above the panels."""
    trained = f"{results[0].model.trained_length:,}"
    title = "Attention entropy by layer, and the logit multiplier that keeps it flat"
    figure.text(0.075, 0.955, title, fontsize=12, color=style.INK)
    lines = [
        figure.axes[0].plot([], [], dashes, color=style.colour(r.model.method), linewidth=1.8, label=r.model.method)[0]
        for r, dashes in zip(results, _dashes(results), strict=True)
    ]
    lines += figure.axes[0].plot([], [], ":", color=style.FAINT, linewidth=1.0, label=f"trained length {trained}")
    figure.legend(
        handles=lines,
        loc="upper left",
        bbox_to_anchor=(0.07, 0.945),
        ncols=len(lines),
        frameon=False,
        fontsize=9,
        labelcolor=style.INK,
        borderaxespad=0.2,
    )


def _dashes(results: Sequence[EntropyResult]) -> list[str]:
    return [DASHES[index % len(DASHES)] for index in range(len(results))]


def _octaves(result: EntropyResult) -> list[int]:
    """Indices of the stretches that end at the trained length, at its halves and doublings, and at the end."""
    trained = result.model.trained_length
    wanted = {round(trained * 2.0**k) for k in range(-4, 40)} | {result.length}
    return [index for index, last in enumerate(result.last) if last in wanted]


def _doublings(result: EntropyResult) -> list[int]:
    """The stretches that end at the trained length and at its doublings, at most four."""
    beyond = [index for index in _octaves(result) if index >= result.reference]
    return beyond if len(beyond) <= PANELS else [*beyond[:1], *beyond[-(PANELS - 1) :]]


def _entropy_cell(layer: LayerEntropy, place: int) -> str:
    return f"{layer.entropy[place]:.2f}\n[{layer.low[place]:.2f}, {layer.high[place]:.2f}]"


def _slope_cell(layer: LayerEntropy) -> str:
    if layer.slope is None:
        return "-"
    return f"{layer.slope.value:.2f}\n[{layer.slope.low:.2f}, {layer.slope.high:.2f}]"


def _check_same_texts(results: Sequence[EntropyResult]) -> None:
    if not results:
        raise MeasurementError("an entropy figure needs at least one result; there is none. Measure entropy first.")
    for field in (*SAME, "trained_length", "layers"):
        values = list(dict.fromkeys(str(_field(result, field)) for result in results))
        if len(values) > 1:
            raise MeasurementError(
                f"one figure shows models of one kind on the same texts; their '{field}' differs: "
                f"{', '.join(values)}. Measure the models on the same texts, at the same length, with the same seed."
            )


def _field(result: EntropyResult, name: str) -> Any:
    if name == "layers":
        return len(result.layers)
    return result.model.trained_length if name == "trained_length" else getattr(result, name)
