"""The map of lengths and depths writes each share where it belongs."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_reproduction_page import reading, study

from ropewalk.report.reproduction import reproduction_page
from ropewalk.report.reproduction_figure import reproduction_figure
from ropewalk.result import Panel

GRID = Panel(title="Pass keys", of="needle", measure="passkey", cells=("linear",), is_grid=True)
SHARES = {(256, 0.0): 1.0, (256, 1.0): 0.75, (2048, 0.0): 0.0, (2048, 1.0): 0.5}


def drawn():
    readings = [reading("linear", "passkey", n, share, depth=d, of="needle") for (n, d), share in SHARES.items()]
    other = [reading("none", "passkey", 256, 0.9, depth=0.0, of="needle"), reading("linear", "passkey", 256, 0.8)]
    result = study(panels=(GRID,), readings=(*readings, *other))
    figure = reproduction_figure(result)
    FigureCanvasAgg(figure).draw()
    return result, figure.axes[0]


def test_each_share_stands_in_the_field_of_its_length_and_depth():
    _, axes = drawn()
    written = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert written == {((0.5, 0.5), "1"), ((0.5, 1.5), "0.75"), ((1.5, 0.5), "0"), ((1.5, 1.5), "0.5")}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["256", "2,048"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1"]
    assert axes.get_ylim() == (2, 0), "the beginning stands above"


def test_what_is_found_more_often_is_darker_and_stays_readable():
    _, axes = drawn()
    fields = zip(SHARES.values(), axes.collections, strict=True)
    shades = {share: field.get_facecolor()[0][:3].sum() for share, field in fields}
    assert [share for share, _ in sorted(shades.items(), key=lambda entry: -entry[1])] == [0.0, 0.5, 0.75, 1.0]
    assert {text.get_text(): text.get_color() == "white" for text in axes.texts} == {
        "1": True,
        "0.75": True,
        "0.5": False,
        "0": False,
    }


def test_a_map_makes_no_table_by_depth():
    result, _ = drawn()
    assert "**Pass keys**" not in reproduction_page(result)
