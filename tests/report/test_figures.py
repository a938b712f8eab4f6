"""Figures: files with fingerprints, colours that stay, labels that can be read."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from report_results import result

from ropewalk import methods, positions
from ropewalk.errors import MeasurementError, OutputError
from ropewalk.report import figures, style

EXTENDED = ((9.25, 8.21, 8.25, 8.3), (0.97, 0.97, 0.97, 0.95))
LONG = "entropy-abf, new base 25,000, exempt layers 2"


def overlapping(figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes meet, and texts that leave the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [t for axes in figure.axes for t in (*axes.texts, axes.title, axes.yaxis.label) if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in texts]
    whole = figure.bbox
    outside = [(name, "edge") for name, box in boxes if box.x1 > whole.x1 or box.x0 < 0 or box.y0 < 0]
    return outside + [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)]


def test_the_file_carries_the_fingerprints_of_its_inputs(tmp_path):
    results = [result("untouched"), result("yarn, factor 8", *EXTENDED)]
    path = tmp_path / "new" / "figure.png"
    figures.write_figure(figures.window_figure(results), path)
    with Image.open(path) as image:
        text, size = dict(image.text), image.size
    assert text["ropewalk:data"] == results[0].data
    assert text["ropewalk:results"].split() == [figures.result_fingerprint(r) for r in results]
    assert text["Description"] == figures.caption(results)
    assert size[0] > 1200
    assert [p.name for p in path.parent.iterdir()] == ["figure.png"]


def test_a_fingerprint_knows_the_numbers_and_not_the_clock():
    first = figures.result_fingerprint(result("untouched"))
    assert first == figures.result_fingerprint(result("untouched", wall_seconds=3.0))
    assert first != figures.result_fingerprint(result("untouched", (9.31, 24.6, 33.8, 41.4)))


def test_both_panels_show_every_length_with_its_interval():
    results = [result("untouched"), result("yarn, factor 8", *EXTENDED)]
    left, right = figures.window_figure(results).axes
    curves = [line for line in left.lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(curves[1].get_ydata(), EXTENDED[0])
    np.testing.assert_allclose(curves[0].get_xdata(), [256, 512, 1024, 2048])
    assert len(left.collections) == 2, "one band a model"
    assert len(right.collections) == 4, "one set of bars a series"
    assert left.get_xscale() == "log"
    assert "trained length 256" in [text.get_text() for text in left.texts]


@pytest.mark.parametrize("others", [[], ["yarn, factor 8"], ["yarn, factor 8", LONG], [LONG, "linear, factor 8"]])
def test_labels_neither_overlap_nor_leave_the_figure(others):
    results = [result("untouched"), *[result(method, *EXTENDED) for method in others]]
    assert overlapping(figures.window_figure(results)) == []


def test_the_label_check_catches_labels_at_their_points(monkeypatch):
    """Bite: without moving them apart, equal values write over each other."""
    monkeypatch.setattr(figures, "spread", lambda heights, gap, edge: heights)
    results = [result("yarn, factor 8", *EXTENDED), result("linear, factor 8", *EXTENDED)]
    assert overlapping(figures.window_figure(results)) != []


def test_a_label_stands_beside_the_end_of_its_line():
    results = [result("untouched"), result("yarn, factor 8", *EXTENDED)]
    figure = figures.window_figure(results)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes[:1]:
        for method, perplexities in (("untouched", 41.4), ("yarn, factor 8", 8.3)):
            label = next(text for text in axes.texts if text.get_text() == method)
            point = axes.transAxes.inverted().transform(axes.transData.transform((2048, perplexities)))
            assert label.get_position()[1] == pytest.approx(point[1], abs=0.01)


def test_labels_move_as_little_as_they_must():
    assert figures.spread([0.5, 0.1], 0.1) == [0.5, 0.1]
    assert figures.spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert figures.spread([0.0, 0.0, 0.9], 0.1) == pytest.approx([0.0, 0.1, 0.9])
    assert figures.spread([1.0, 1.0, 0.2], 0.1) == pytest.approx([0.9, 1.0, 0.2])
    rng = np.random.default_rng(0)
    for _ in range(50):
        heights = rng.random(6)
        placed = np.sort(figures.spread(list(heights), 0.1))
        assert (np.diff(placed) > 0.1 - 1e-9).all()
        assert placed[0] >= 0
        assert placed[-1] <= 1


def test_a_method_keeps_its_colour_whatever_else_is_shown():
    known = {name: style.colour(name) for name in (*methods.names(), *positions.names(), "untouched")}
    assert style.colour("yarn, factor 8") == style.colour("yarn") == "#0072B2"
    assert style.colour("linear") == style.colour("pi")
    assert style.colour("somebody-elses") == style.colour("somebody-elses, factor 4") in style.OTHERS
    assert known == {name: style.colour(name) for name in reversed(known)}


def test_figures_leave_matplotlibs_settings_alone():
    before = dict(mpl.rcParams)
    figures.window_figure([result("untouched")])
    assert dict(mpl.rcParams) == before


def test_one_kind_of_measurement_is_enough():
    whole = result("untouched")
    recall = whole.model_copy(update={"estimates": tuple(e for e in whole.estimates if "passkey" in e.measure)})
    figure = figures.window_figure([recall])
    assert [len(axes.collections) for axes in figure.axes] == [0, 1]
    assert "Left" not in figures.caption([recall])


def test_captions_say_n_and_what_the_bands_are():
    text = figures.caption([result("untouched"), result("yarn, factor 8")])
    assert "n = 168 windows (bootstrap over 21 documents)" in text
    assert "pass key, n = 30 answers (Wilson)" in text
    assert "95% intervals" in text


def test_what_cannot_be_shown_is_refused(tmp_path):
    with pytest.raises(MeasurementError, match=r"at least one result with perplexity or recall; there is none"):
        figures.window_figure([])
    with pytest.raises(MeasurementError, match=r"the same samples; their 'data' differs: 0123456789abcdef-01234567, x"):
        figures.window_figure([result("untouched"), result("yarn", data="x")])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"must be written to a file.*Give another path"):
        figures.write_figure(figures.window_figure([result("untouched")]), tmp_path / "file" / "figure.png")
