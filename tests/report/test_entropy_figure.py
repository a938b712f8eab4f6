"""The figure of attention entropy and its table: every line, every interval, legible, with its origin."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from rich.console import Console

from ropewalk.errors import MeasurementError, OutputError
from ropewalk.evals.flat_entropy import stretches
from ropewalk.report import entropy, style
from ropewalk.result import EntropyResult, Environment, Estimate, LayerEntropy, ModelRecord

TRAINED, LENGTH = 256, 2048
PLACES = stretches(TRAINED, LENGTH, queries=4)
COUNT, REFERENCE = len(PLACES), 15
BEYOND = COUNT - REFERENCE - 1
METHODS = ("untouched", "abf, base 25000 (was 500)", "entropy-abf, base 25000 (was 500), exempt layers 2")


def layer(number: int, *, slope: float | None = 0.9) -> LayerEntropy:
    scale = tuple(1 + 0.02 * k for k in range(BEYOND))
    inside = (None,) * (REFERENCE + 1)
    mean = tuple(2 + 0.1 * k + number for k in range(COUNT))
    return LayerEntropy(
        layer=number,
        entropy=mean,
        low=tuple(m - 0.3 for m in mean),
        high=tuple(m + 0.3 for m in mean),
        largest=tuple(math.log(p.last) for p in PLACES),
        flat_scale=inside + scale,
        flat_scale_low=inside + tuple(s - 0.1 for s in scale),
        flat_scale_high=inside + tuple(s + 0.1 for s in scale),
        slope=None
        if slope is None
        else Estimate(
            measure="flat_entropy_slope",
            protocol="made for a test",
            unit="per ln n / ln L",
            length=LENGTH,
            value=slope,
            low=slope - 0.2,
            high=slope + 0.2,
            interval="Student's t over 4 documents, linearised",
            samples=4,
        ),
    )


def result(method: str = "untouched", layers: int | tuple = 4, **changes) -> EntropyResult:
    fields = {
        "status": "complete",
        "model": ModelRecord(name="builtin", method=method, trained_length=TRAINED, target_length=LENGTH),
        "data": "0123456789abcdef-01234567",
        "seed": 0,
        "documents": ("a.py", "b.py", "c.py", "d.py"),
        "failed": (),
        "length": LENGTH,
        "heads": 4,
        "first": tuple(p.first for p in PLACES),
        "last": tuple(p.last for p in PLACES),
        "protocol": "mean over documents, heads and 4 query positions; one forward",
        "interval": "Student's t over 4 documents",
        "layers": layers if isinstance(layers, tuple) else tuple(layer(number) for number in range(layers)),
        "environment": Environment(
            ropewalk="0.1.0", python="3.11.7", torch="2", transformers="5", numpy="2", device="cpu", threads=2
        ),
        "wall_seconds": 3.0,
    }
    return EntropyResult(**{**fields, **changes})


def printed(table) -> str:
    console = Console(width=100, markup=False, record=True, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.export_text()


def test_a_panel_shows_every_model_with_its_interval_and_what_is_possible_at_most():
    figure = entropy.entropy_figure([result(method) for method in METHODS])
    above, below = figure.axes[:4], figure.axes[4:]
    for number, axes in enumerate(above):
        curves = [line for line in axes.lines if len(line.get_xdata()) == COUNT]
        np.testing.assert_allclose(curves[0].get_ydata(), [math.log(p.last) for p in PLACES])
        for line, method in zip(curves[1:], METHODS, strict=True):
            np.testing.assert_allclose(line.get_ydata(), result().layers[number].entropy)
            assert line.get_color() == style.colour(method)
        assert len(axes.collections) == 3, "one band a model"
        assert axes.get_title(loc="left") == f"layer {number}"
    for axes in below:
        curves = [line for line in axes.lines if len(line.get_xdata()) == COUNT]
        assert np.interp(LENGTH, curves[0].get_xdata(), curves[0].get_ydata()) == pytest.approx(1.36, abs=0.02)
        assert curves[1].get_ydata()[REFERENCE] == 1
        np.testing.assert_allclose(curves[1].get_ydata()[REFERENCE + 1 :], [1 + 0.02 * k for k in range(BEYOND)])
        assert np.isnan(curves[1].get_ydata()[:REFERENCE]).all()
        assert len(axes.collections) == 3, "one band a model"


def test_lines_of_like_colours_differ_in_their_dashes():
    figure = entropy.entropy_figure([result(method) for method in METHODS])
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == COUNT][1:]
    assert len({line.get_linestyle() for line in curves}) == 3


@pytest.mark.parametrize("layers", [2, 4, 32])
def test_texts_neither_overlap_nor_leave_the_figure(layers):
    figure = entropy.entropy_figure([result(method, layers) for method in METHODS])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [*figure.texts, *[t for legend in figure.legends for t in legend.get_texts()]]
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()] if axes.get_visible() else []
        texts += [axes.yaxis.label, axes.xaxis.label, axes.title, axes._left_title, *axes.texts, *ticks]
    shown = [t for t in texts if t.get_text() and t.get_visible()]
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in shown]
    whole = figure.bbox
    assert [name for name, box in boxes if box.x1 > whole.x1 or box.x0 < 0 or box.y0 < 0 or box.y1 > whole.y1] == []
    assert [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)] == []


@pytest.mark.parametrize(("layers", "shown"), [(1, (0,)), (2, (0, 1)), (4, (0, 1, 2, 3)), (32, (0, 1, 16, 31))])
def test_of_a_deep_model_the_first_two_the_middle_and_the_last_layer_are_shown(layers, shown):
    assert entropy.shown_layers(layers) == shown


def test_the_file_carries_the_fingerprints_of_its_inputs(tmp_path):
    results = [result(), result(METHODS[1])]
    path = tmp_path / "new" / "figure.png"
    entropy.write_entropy_figure(results, path)
    with Image.open(path) as image:
        text = dict(image.text)
    assert text["ropewalk:results"].split() == [entropy.result_fingerprint(r) for r in results]
    assert text["ropewalk:data"] == results[0].data
    assert text["Description"] == entropy.caption(results)
    assert [p.name for p in path.parent.iterdir()] == ["figure.png"]


def test_a_fingerprint_knows_the_numbers_and_not_the_clock():
    assert entropy.result_fingerprint(result()) == entropy.result_fingerprint(result(wall_seconds=9.0))
    assert entropy.result_fingerprint(result()) != entropy.result_fingerprint(result(seed=1))


def test_the_caption_says_n_and_what_the_bands_are():
    text = entropy.caption([result(failed=("x.py",))])
    assert "Bands: 95% intervals (Student's t over 4 documents, 1 failed)" in text.replace("\n", " ")
    assert "Data 0123456789abcdef-01234567, seed 0" in text


def test_the_table_has_every_layer_with_its_slope():
    text = printed(entropy.entropy_table([result(METHODS[1], 32)]))
    for heading in ("256", "512", "1,024", "2,048"):
        assert heading in text
    assert [line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│") and "0.90" in line] == [
        str(number) for number in range(32)
    ]
    assert "[0.70, 1.10]" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_a_slope_that_was_not_found_is_a_dash():
    text = printed(entropy.entropy_table([result(layers=1).model_copy(update={"layers": (layer(0, slope=None),)})]))
    assert "- │" in text


def test_the_longest_contexts_are_kept_when_not_all_doublings_fit_the_table():
    places = stretches(TRAINED, 2**15, queries=2)
    longer = (layer(0).model_copy(update={"entropy": (1.0,) * len(places), "low": (1.0,) * 99, "high": (1.0,) * 99}),)
    ends = {"first": tuple(p.first for p in places), "last": tuple(p.last for p in places)}
    text = printed(entropy.entropy_table([result(length=2**15, layers=longer, **ends)]))
    for heading, there in (("256", True), ("1,024", False), ("8,192", True), ("16,384", True), ("32,768", True)):
        assert (heading in text) == there


def test_what_cannot_be_shown_is_refused(tmp_path):
    with pytest.raises(MeasurementError, match="at least one result; there is none"):
        entropy.entropy_figure([])
    for field, other in (("seed", result(seed=1)), ("data", result(data="x")), ("layers", result(layers=2))):
        with pytest.raises(MeasurementError, match=f"on the same texts; their '{field}' differs: "):
            entropy.entropy_table([result(), other])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="must be written to a file"):
        entropy.write_entropy_figure([result()], tmp_path / "file" / "figure.png")
