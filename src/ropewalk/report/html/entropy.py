"""The section of attention entropy: how spread out each layer's attention is, against the query's position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.entropy import positions, shown_layers
from ropewalk.report.html.chart import Point, Series, legend, line_chart
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.report.html.subjects import EntropySubject
    from ropewalk.result import EntropyResult


def entropies(subjects: Sequence[EntropySubject]) -> Markup | None:
    """A chart for each of a few layers, and for every layer the slope that would keep its entropy flat."""
    if not subjects:
        return None
    first = subjects[0].result
    documents = f"{len(first.documents)} documents of {first.length:,} tokens, {first.interval}"
    caption = f"Protocol: {first.protocol}. {documents}. Data {first.data}, seed {first.seed}."
    charts = [_layer_chart(subjects, layer) for layer in shown_layers(len(first.layers))]
    return joined(
        [
            legend([(subject.index, subject.label) for subject in subjects]),
            element("p", caption),
            element("div", *charts, class_="figures"),
            _slopes(subjects),
        ]
    )


def _layer_chart(subjects: Sequence[EntropySubject], layer: int) -> Markup:
    series = []
    for subject in subjects:
        measured = subject.result.layers[layer]
        ends = zip(positions(subject.result), measured.entropy, measured.low, measured.high, strict=True)
        points = tuple(Point(length, value, low, high) for length, value, low, high in ends)
        series.append(Series(subject.index, subject.letter, points))
    chart = line_chart(
        series,
        label=f"Attention entropy of layer {layer} against query position",
        unit="nats",
        abscissa="query position, tokens",
        labelled=_octaves(subjects[0].result),
        marks=sorted({subject.model.trained_length for subject in subjects}),
    )
    return element("figure", element("h3", f"Layer {layer}"), chart)


def _octaves(result: EntropyResult) -> list[int]:
    """The trained length times powers of two, as far as the drawn positions go."""
    first, *_, last = positions(result)
    trained = result.model.trained_length
    return [round(trained * 2.0**k) for k in range(-20, 21) if first <= trained * 2.0**k <= last]


def _slopes(subjects: Sequence[EntropySubject]) -> Markup:
    rows: list[list[Content]] = []
    for layer in range(len(subjects[0].result.layers)):
        slopes = [subject.result.layers[layer].slope for subject in subjects]
        cells = [
            "none within 1/8 to 8"
            if slope is None
            else lines(f"{slope.value:+.3f}", small(f"{slope.low:+.3f} to {slope.high:+.3f}"))
            for slope in slopes
        ]
        rows.append([str(layer), *cells])
    note = (
        "Slope of the logit multiplier that would keep the entropy of the trained length, against ln n / ln L. "
        "Entropy-ABF's own scale has slope 1; 0 means that the entropy is flat already. Below each value: its interval."
    )
    head = ["layer", *[subject.letter for subject in subjects]]
    return table("Scale that would keep entropy flat", head, rows, note=note)
