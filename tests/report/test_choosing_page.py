"""The page and the figures of what a choice rests on, from committed records of the built-in model."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from page_results import AFTER, BEFORE

from ropewalk.report.html import html_page
from ropewalk.report.image import svg_address
from ropewalk.report.pairs import pairs_figure
from ropewalk.report.pareto import pareto_figure, places
from ropewalk.report.probe_figure import probe_figure
from ropewalk.result import EvaluationResult, ExtensionPlan, Probe
from ropewalk.run.keep_plan import keep_plan
from ropewalk.run.report import read_record, write_report

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def plan():
    return ExtensionPlan.model_validate_json((RESULTS / "plan" / "result.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def probe():
    return Probe.model_validate_json((RESULTS / "plan" / "probe.json").read_text("utf-8"))


def words_of(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_a_plan_leaves_records_figures_and_one_page_and_may_be_made_again(plan, probe, tmp_path):
    for _ in range(2):
        keep_plan(plan, probe, tmp_path / "plan")
    found = {path.name for path in (tmp_path / "plan").iterdir()}
    assert found == {"result.json", "probe.json", "pairs.png", "probe.png", "report.html"}
    assert read_record(tmp_path / "plan" / "result.json") == plan
    assert read_record(tmp_path / "plan" / "probe.json") == probe
    keep_plan(plan, None, tmp_path / "alone")
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {"result.json", "pairs.png", "report.html"}


def test_the_page_holds_the_numbers_and_figures_that_load_nothing(plan, probe, tmp_path):
    write_report([RESULTS / "plan" / "result.json", RESULTS / "plan" / "probe.json"], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page == html_page([plan, probe])
    for words in ("Plan", "Untrained methods", plan.recommended, f"The critical pair is {probe.critical_pair}"):
        assert words in page
    addresses = re.findall(r'src="([^"]*)"', page)
    assert len(addresses) == 2
    for address in addresses:
        head, _, content = address.partition(",")
        assert head == "data:image/svg+xml;base64"
        picture = ET.fromstring(base64.b64decode(content))
        assert picture.tag.endswith("svg")


def test_the_same_figure_is_the_same_bytes(plan):
    assert svg_address(pairs_figure(plan)) == svg_address(pairs_figure(plan))


def test_every_method_of_the_plan_is_named_in_both_panels_once(plan):
    left, right = pairs_figure(plan).axes
    wanted = {one.method for one in plan.methods} - {"drope"}  # no pair of which turns
    for axes in (left, right):
        named = [name for text in axes.texts for name in text.get_text().split(", ") if name in wanted]
        assert sorted(named) == sorted(wanted)
    assert any("trained window 256" in text.get_text() for text in right.texts)


def test_the_lines_are_the_methods_own_stretch(plan):
    (left, _) = pairs_figure(plan).axes
    linear = next(line for line in left.get_lines() if set(line.get_ydata()) == {plan.geometry.factor})
    assert len(linear.get_xdata()) == plan.geometry.head_dim // 2


def test_the_probe_shows_likelihood_by_length_recall_and_the_critical_pair(probe):
    curves, needles, cuts = probe_figure(probe).axes
    assert {row.method for row in probe.methods} <= {text.get_text() for text in curves.texts}
    assert needles.get_yticklabels()[0].get_text() == probe.methods[0].method
    assert any(f"measured {probe.critical_pair}" in text.get_text() for text in cuts.texts)
    without = probe.model_copy(
        update={
            "methods": tuple(row.model_copy(update={"text": ()}) for row in probe.methods),
            "untouched_text": (),
        }
    )
    assert len(probe_figure(without).axes) == 2


@pytest.fixture(scope="module")
def certified():
    return EvaluationResult.model_validate_json((RESULTS / "certificate" / "demo.json").read_text("utf-8"))


def with_certificate(record, certified, length):
    certificate = certified.certificate.model_copy(update={"retrieval_length": length, "nll_length": length})
    return record.model_copy(update={"certificate": certificate})


def test_a_model_that_another_beats_in_both_is_drawn_open(certified):
    near, far = with_certificate(BEFORE, certified, 256), with_certificate(AFTER, certified, 1024)
    found = places([("A", near), ("B", far), ("C", with_certificate(AFTER, certified, 512)), ("D", AFTER)])
    assert [one.certified for one in found] == [256, 1024, 512]  # D has no certificate
    better = {one.name[0] for one in found if one.best}
    shorter = BEFORE.find("perplexity", 256).value < AFTER.find("perplexity", 256).value
    assert better == ({"A", "B"} if shorter else {"B"})
    assert {"A: untouched", "B: yarn", "C: yarn"} <= words_of(pareto_figure(found))


def test_short_against_long_needs_two_certificates(certified):
    near, far = with_certificate(BEFORE, certified, 0), with_certificate(AFTER, certified, 1024)
    page = html_page([near, far])
    assert "Short against long" in page
    assert "<td>none</td>" in page
    assert "Short against long" not in html_page([BEFORE, far])
