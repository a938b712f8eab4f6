"""The page of a study says what its record says, and nothing that nobody measured."""

from __future__ import annotations

import cmath
import math
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ropewalk.report.markdown import markdown_table
from ropewalk.report.reproduction import distance_of, reached, reproduction_page
from ropewalk.report.reproduction_figure import reproduction_figure
from ropewalk.report.theory import theory_section
from ropewalk.result import (
    Along,
    CellReading,
    CellRecord,
    Effect,
    Environment,
    Estimate,
    Line,
    Panel,
    RateRecord,
    Reproduction,
    Verdict,
    quantity_of,
)

LENGTHS = (256, 2048)


def reading(cell: str, measure: str, length: int, value: float, *, depth: float | None = None, of: str = "modules"):
    unit = "nats/token" if "_nll" in measure else "share of answers"
    estimate = Estimate(
        measure=measure,
        protocol="made for a test",
        unit=unit,
        length=length,
        depth=depth,
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        interval="made",
        samples=48,
        clusters=16,
    )
    return CellReading(cell=cell, of=of, seeds=3, estimate=estimate)


def reach(cell: str, value: float, low: float, high: float) -> CellReading:
    found = reading(cell, "k_max", 2048, value, of="distances")
    return found.model_copy(update={"estimate": found.estimate.model_copy(update={"low": low, "high": high})})


def losses(cell: str, *perplexities: float) -> list[CellReading]:
    return [reading(cell, "paired_nll", n, math.log(value)) for n, value in zip(LENGTHS, perplexities, strict=True)]


def cell(name: str, seed: int | None, loss: float) -> CellRecord:
    return CellRecord(
        name=name,
        seed=seed,
        about=f"about {name}",
        method="linear, factor 8" if seed is not None else "untouched",
        run={"train": {"learning_rate": 1e-3, "precision": "float32"}} if seed is not None else None,
        losses=(3.5, loss) if seed is not None else (),
        tokens=8192 if seed is not None else 0,
        wall_seconds=100.0,
    )


def verdict(name: str, state: str, *, headline: bool = False, because: str = "", measured: bool = True) -> Verdict:
    effect = Effect(
        value=0.0512,
        low=0.0301,
        high=0.0723,
        interval="made",
        seeds=(0, 1, 2),
        documents=("a", "b"),
        table=((0.1, 0.0),),
    )
    return Verdict(
        claim=name,
        source="table 1",
        words=f"Claim {name}.",
        figure="6.95 against 7.69",
        contrast="one minus the other",
        unit="nats/token",
        smallest_effect=0.02,
        headline=headline,
        state=state,
        because=because,
        effect=effect if measured else None,
    )


def study(**changes) -> Reproduction:
    keys = [reading("linear", "passkey", 2048, 1.0 - depth, depth=depth, of="distances") for depth in (0.0, 0.5, 0.75)]
    fields = {
        "study": "pi",
        "title": "Position Interpolation",
        "paper": "2306.15595",
        "quick": False,
        "model": "builtin",
        "trained_length": 256,
        "data": {"modules": "0123-4567", "distances": "none"},
        "cells": (cell("untouched", None, 0.0), cell("linear", 0, 2.9), cell("linear", 1, 2.7)),
        "readings": (
            *losses("untouched", 9, 41),
            *losses("linear", 15, 14),
            reading("linear", "paired_nll_against_cut", 2048, 0.4418),
            *keys,
            reach("linear", 2048, 1024, 2048),
        ),
        "rates": (RateRecord(name="linear", of="NLL", rates=(1e-3, 3e-3), values=(2.9, 2.8), chosen=3e-3),),
        "verdicts": (
            verdict("first", "holds", headline=True),
            verdict("second", "not measured", because="no cell x", measured=False),
        ),
        "panels": (
            Panel(title="Text", of="modules", measure="paired_nll", cells=("untouched", "linear")),
            Panel(title="Keys", of="distances", measure="passkey", cells=("linear",), at=2048),
        ),
        "notes": ("A note.",),
        "environment": Environment(
            ropewalk="0.1.0", python="3.11.7", torch="2", transformers="5", numpy="2", device="cpu", threads=2
        ),
        "wall_seconds": 7200.0,
    }
    return Reproduction(**{**fields, **changes})


def rows_of(page: str, start: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(f"| {start} |")]


def test_a_verdict_stands_beside_the_papers_figure_and_our_interval():
    page = reproduction_page(study())
    (row,) = rows_of(page, "Claim first. (table 1)")
    assert row == (
        "| Claim first. (table 1) | 6.95 against 7.69 | +0.051 [+0.030, +0.072] nats/token: one minus the other "
        "(2 documents, 3 seeds) | +0.02 | **holds** |"
    )
    assert page.index("Claim first.") < page.index("Further:") < page.index("Claim second.")
    assert "| - | +0.02 | **not measured**: no cell x |" in page


def test_claims_of_one_seed_alone_are_not_called_further():
    page = reproduction_page(study(verdicts=(verdict("second", "holds"),)))
    assert "Claim second." in page
    assert "Further:" not in page


def test_losses_are_shown_as_perplexities_and_the_cut_context_beside_them():
    page = reproduction_page(study())
    assert f"| about linear | 3 | 15.00 [{15 / math.exp(0.1):.2f}, {15 * math.exp(0.1):.2f}] | 14.00" in page
    (cut,) = rows_of(page, "untouched, context cut to 256")
    assert cut.count("9.00 [8.14, 9.95]") == 2
    assert "| about linear | 3 | +0.442 [+0.342, +0.542] |" in page


def test_how_a_model_was_made_is_told_once_for_all_its_seeds():
    (row,) = rows_of(reproduction_page(study()), "about linear | linear, factor 8")
    assert row == "| about linear | linear, factor 8 | 2 | 8,192 | 0.001 | float32 | 0, 1 | 2.800 | 100 |"


def test_a_rate_at_the_edge_of_the_search_is_called_so():
    assert "| linear | 0.001: 2.900; 0.003: 2.800 | 0.003 (at the edge) |" in reproduction_page(study())


def test_the_page_links_figure_and_rule_and_names_the_command():
    page = reproduction_page(study(quick=True), beside="../x/", protocol="protocol.md")
    assert "![Text; Keys](../x/figure.png)" in page
    assert "[protocol](protocol.md)" in page
    assert "`ropewalk reproduce pi --quick` in 2.0 h of 2 threads" in page
    assert study().environment.model_copy(update={"threads": 1}).threads_named == "1 thread"
    assert "## Theory" not in page
    assert "## Theory" in reproduction_page(study())


def test_every_number_of_a_page_changes_with_its_record():
    page, other = (reproduction_page(study(readings=())), reproduction_page(study()))
    assert "15.00" not in page
    assert "15.00" in other


@pytest.mark.parametrize(
    ("shares", "longest"),
    [
        ([1.0, 1.0, 1.0, 1.0], 2048),
        ([0.1, 0.2, 0.2, 0.2], 1536),
        ([1.0, 0.1, 1.0, 1.0], 1024),
        ([1.0, 1.0, 1.0, 0.0], 0),
    ],
)
def test_k_max_ends_before_the_first_distance_that_fails(shares, longest):
    depths = (0.0, 0.25, 0.5, 0.75)
    found = [reading("linear", "passkey", 2048, s, depth=d).estimate for s, d in zip(shares, depths, strict=True)]
    assert reached((distance_of(estimate), estimate.value) for estimate in found) == longest


def test_k_max_of_a_cell_whose_keys_were_not_asked_for_is_unknown():
    below = reproduction_page(study()).split("**k_max**")[1].split("##")[0]
    assert "| about linear | 2,048 [1,024, 2,048] |" in below
    assert "k_max" not in reproduction_page(study()).split("## Measured")[1].split("**k_max**")[0]
    assert "about untouched" not in below


def partial_sums(head_dim: int, base: float, distance: int) -> float:
    """B(s) with plain numbers: the sum of the sizes of the partial sums."""
    total, summed = 0.0, 0j
    for pair in range(head_dim // 2):
        summed += cmath.exp(1j * distance * base ** (-2 * pair / head_dim))
        total += abs(summed)
    return total


def test_the_theory_of_the_page_is_what_a_plain_sum_gives():
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", theory_section(), re.MULTILINE)

    def value(words: str) -> float:
        return float(next(number for name, number in rows if words in name).removeprefix("s = ").replace(",", ""))

    squares = sum(1e4 ** (-4 * pair / 128) for pair in range(64))
    assert value("which the proof needs") == pytest.approx(squares / 8, abs=1e-5)
    assert value("as printed") == pytest.approx(128 / 294.7308919, abs=1e-5)
    assert value("counter-example") > value("as printed")
    smallest = partial_sums(128, 1e4, int(value("where that is"))) / 128
    assert value("smallest B(s) / d for s = 1") == pytest.approx(smallest, abs=1e-4)
    assert value("over the right") == pytest.approx(2 * 128 * smallest / (squares / 8), abs=0.05)


def test_the_figure_has_a_line_and_a_band_for_each_cell():
    figure = reproduction_figure(study())
    FigureCanvasAgg(figure).draw()
    text, keys = figure.axes
    assert len(text.collections) == 2
    assert len(keys.collections) == 1
    assert [label.get_text() for label in text.texts] == ["about untouched", "about linear"]
    assert keys.get_ylim() == (-0.04, 1.06)


def test_a_panel_along_a_property_of_cells_has_a_point_for_each_cell_that_was_measured():
    steps = Along(title="training steps", lines=(Line(name="PI", cells=((0, "untouched"), (2, "linear"), (9, "no"))),))
    panel = Panel(title="By steps", of="modules", measure="paired_nll", at=2048, along=steps)
    figure = reproduction_figure(study(panels=(panel,)))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0, 2]
    assert line.get_ydata().tolist() == pytest.approx([41, 14])
    assert axes.get_xlabel() == "training steps"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2", "9"]
    assert "By steps" not in reproduction_page(study(panels=(panel,))).split("## Verdicts")[1], "no table by depth"


def test_a_line_may_take_each_of_its_points_from_a_measurement_of_its_own():
    cells = ((2.0, "untouched"), (8.0, "linear"))
    line = Line(name="PI", cells=cells, at=(("modules", 256), ("modules", 2048)))
    axis = Along(title="target", lines=(line,))
    panel = Panel(title="By factor", of="modules", measure="paired_nll", along=axis)
    (axes,) = reproduction_figure(study(panels=(panel,))).axes
    assert axes.lines[0].get_xdata().tolist() == [2, 8]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([9, 14])


def test_a_reach_is_drawn_in_tokens():
    axis = Along(title="training steps", lines=(Line(name="PI", cells=((50.0, "linear"),)),))
    panel = Panel(title="k_max", of="distances", measure="k_max", at=2048, along=axis)
    figure = reproduction_figure(study(panels=(panel,)))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [2048]
    assert axes.get_ylabel() == "tokens (higher is better)"
    assert "2,000" in [label.get_text() for label in axes.get_yticklabels()]


def test_a_panel_whose_measure_changes_along_its_axis_is_a_figure_and_one_table_of_its_own():
    slopes = {1.0: "layer_2_slope_1_against_no_slope", 2.0: "layer_2_slope_2_against_no_slope"}
    line = Line(name="layer 2", cells=tuple((x, "linear") for x in slopes), measures=tuple(slopes.values()))
    panel = Panel(
        title="By slope",
        of="slopes",
        measure=slopes[1.0],
        at=2048,
        along=Along(title="slope", lines=(line,), logarithmic=False),
    )
    measured = [reading("linear", m, 2048, -0.03 * x, of="slopes") for x, m in slopes.items()]
    made = study(panels=(panel,), readings=(*study().readings, *measured))
    figure = reproduction_figure(made)
    FigureCanvasAgg(figure).draw()
    drawn = [list(each.get_xydata().flatten()) for each in figure.axes[0].lines if each.get_marker() == "o"]
    assert drawn == [pytest.approx([1, -0.03, 2, -0.06])]
    page = reproduction_page(made)
    assert "**By slope**, nats/token, 2,048 tokens." in page
    assert re.search(r"\| layer 2 *\| *-0\.030 \[.*\] *\| *-0\.060 \[", page)
    assert page.count("-0.030 [") == 1, "and no table by length"


@pytest.mark.parametrize(
    ("measure", "kind", "unit"),
    [
        ("paired_nll", "loss", "nats/token"),
        ("paired_nll_against_cut", "difference", "nats/token"),
        ("rouge1", "score", "ROUGE F-measure"),
        ("answers_loss", "number", "nats/token"),
        ("entropy_layer_2", "number", "nats"),
        ("layer_2_slope_1_against_no_slope", "difference", "nats/token"),
        ("key_value", "share", "share of answers"),
        ("cloze", "share", "share of answers"),
        ("k_max", "tokens", "tokens"),
    ],
)
def test_the_name_of_a_measure_says_what_kind_of_number_it_is(measure, kind, unit):
    quantity = quantity_of(measure)
    assert (quantity.kind, quantity.unit, quantity.is_bounded) == (kind, unit, kind in ("share", "score"))


def test_entropies_are_shown_as_they_are():
    entropies = tuple(reading("linear", "entropy_layer_2", length, 5.25, of="entropy") for length in LENGTHS)
    assert "| 5.25 [5.15, 5.35] | 5.25 [5.15, 5.35] |" in reproduction_page(study(readings=entropies))


def test_a_table_keeps_bars_inside_its_cells():
    assert markdown_table(("a", ">b"), [("x | y", "1")]) == "| a | b |\n| --- | ---: |\n| x \\| y | 1 |\n"


def test_a_study_without_a_paper_says_so_and_links_none():
    page = reproduction_page(study(paper=None))
    assert "No paper: measured on the model `builtin`" in page
    assert "arxiv.org" not in page.split("## Theory")[0]
    assert "What is asked first:" in page
    assert "| claim | nearest published figure | ours |" in page
    assert "paper's figure" not in page
