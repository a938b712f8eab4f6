"""The figure of a probe: what untrained methods do to likelihood and to recall, and where pairs may be cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ropewalk.report import style
from ropewalk.report.axes import caption, finish
from ropewalk.report.figures import label_ends
from ropewalk.report.image import fingerprint_of, write_png

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.result import Probe

FIGURE = "probe.png"
LABEL = 0.045


def probe_figure(probe: Probe) -> Figure:
    """NLL of the same tokens against context length, loss on answers by method, and loss by the pair of the cut."""
    with_text = any(row.text for row in probe.methods)
    rows = len(probe.methods) + 1
    figure = Figure(figsize=(14.6 if with_text else 10.0, 2.2 + 0.26 * max(rows, 12)), facecolor="white")
    panels = figure.subplots(1, 2 + with_text, gridspec_kw={"wspace": 0.55})
    figure.subplots_adjust(left=0.05 if with_text else 0.12, right=0.985, top=0.9, bottom=0.2)
    if with_text:
        _curves(panels[0], probe)
    _needles(panels[-2], probe)
    _cuts(panels[-1], probe)
    caption(figure, probe_caption(probe))
    return figure


def probe_caption(probe: Probe) -> str:
    """What points rest on."""
    return (
        f"{probe.model}, {probe.trained_length:,} to {probe.target_length:,} tokens, nothing trained. Loss on answers: "
        f"{probe.contexts} contexts of key-value records of the target length. Bars and bands: 95 % intervals.\nAt the "
        "right pairs from the one named on turn slower by the factor and the others as before; the band holds the cuts "
        "that are not shown to be worse than the best."
    )


def write_probe_figure(probe: Probe, path: Path) -> None:
    """Writes the figure as PNG, with the fingerprint of its record.

    Raises:
        OutputError: The file cannot be written.
    """
    content = probe.model_dump_json(exclude={"environment", "wall_seconds"})
    write_png(
        probe_figure(probe),
        path,
        title=f"probe of {probe.model} at {probe.target_length:,} tokens",
        words=probe_caption(probe),
        version=probe.environment.ropewalk,
        results=fingerprint_of(content),
    )


def _curves(axes: Any, probe: Probe) -> None:
    axes.set_xscale("log", base=2)
    labels = []
    for name, points in (("untouched", probe.untouched_text), *((row.method, row.text) for row in probe.methods)):
        if not points:
            continue
        lengths, values = [point.length for point in points], [point.value for point in points]
        axes.plot(lengths, values, "-o", color=style.colour(name), markersize=3.5, linewidth=1.4)
        labels.append((values[-1], name, style.colour(name)))
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.minorticks_off()
    axes.axvline(probe.trained_length, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)
    finish(axes, "NLL of the same tokens, untrained", x="context, tokens", y="nats per token")
    label_ends(axes, labels, line=LABEL, size=7.5)


def _needles(axes: Any, probe: Probe) -> None:
    rows = [*((row.method, row.needles) for row in probe.methods), ("untouched", probe.untouched)]
    for place, (name, found) in enumerate(rows):
        axes.plot([found.low, found.high], [place, place], color=style.colour(name), linewidth=1.8)
        axes.plot(found.value, place, "o", color=style.colour(name), markersize=5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    finish(axes, "Loss on answers, untrained", x="nats per answer token")


def _cuts(axes: Any, probe: Probe) -> None:
    places = [point.place for point in probe.cuts]
    axes.fill_between(
        places,
        [point.needles.low for point in probe.cuts],
        [point.needles.high for point in probe.cuts],
        color=style.INK,
        alpha=style.BAND_OPACITY,
        linewidth=0,
    )
    axes.plot(places, [point.needles.value for point in probe.cuts], "-o", color=style.INK, markersize=4)
    axes.axvspan(probe.critical_low, probe.critical_high, color=style.COLOURS["cream"], alpha=0.12, linewidth=0)
    axes.axvline(probe.critical_pair, color=style.COLOURS["cream"], linewidth=1.4)
    axes.axvline(probe.theoretical_pair, color=style.FAINT, linewidth=1.2, linestyle=":")
    for place, words, side in ((probe.critical_pair, "measured", "right"), (probe.theoretical_pair, "theory", "left")):
        height = axes.get_xaxis_transform()
        axes.text(place, 0.97, f" {words} {place} ", transform=height, fontsize=8, va="top", ha=side)
    finish(axes, "Loss on answers by the first slowed pair", x="pair", y="nats per answer token")
