"""The HTML report: whole, self-contained, escaped, and only of results that compare."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report.page_results import AFTER, BEFORE, YARN, certificate, comparison, demo, entropy, extension, gate
from report.report_results import LENGTHS, estimate, result

from ropewalk.errors import MeasurementError, OutputError
from ropewalk.report.html import html_page, write_page
from ropewalk.report.html.chart import RIGHT, Axes, Point, Series, line_chart, nice_ticks, short_length
from ropewalk.report.html.heat import SCALE, TEXT, shade
from ropewalk.report.html.markup import VOID, element, joined
from ropewalk.report.html.page import POLICY, lighter
from ropewalk.report.style import COLOURS

if TYPE_CHECKING:
    from ropewalk.result import EvaluationResult

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
LOADING = {"script", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image", "use"}


class Reader(HTMLParser):
    """Reads a page as a browser would, and complains about what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unmatched = 0
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.unmatched += self.open.pop() != tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += f"{data}\n"

    def found(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(*records: object) -> Reader:
    reader = Reader(html_page(records))
    assert (reader.open, reader.unmatched) == ([], 0), "every element is closed"
    return reader


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# What a page shows.


def test_a_demo_shows_every_section_of_what_it_holds():
    headings = [line for line in read(demo()).text.splitlines() if line]
    for heading in (
        "Certificate",
        "Short-context gate",
        "Against context length",
        "Depth by length",
        "Gain from more context",
        "Change on the same samples",
        "The extension",
        "Provenance",
        "Every number",
    ):
        assert heading in headings


def test_what_is_not_there_has_no_section():
    short = BEFORE.model_copy(update={"estimates": (estimate("perplexity", 256, 9.3, 0.5),)})
    sections = [attributes["id"] for attributes in read(short).found("section")]
    assert sections == ["lengths", "provenance", "numbers"]
    assert [attributes["id"] for attributes in read(extension(gate=None)).found("section")] == ["extension"]


def test_every_estimate_stands_in_the_page_with_its_protocol():
    odd = estimate("passkey_accuracy", 512, 0.123456, 0.01, depth=0.25, protocol="a protocol of its own")
    page = read(result("untouched", extra=(odd,)))
    assert page.text.count("a protocol of its own") == 1
    assert "0.123456" in page.text
    rows = page.text.count("made for a test")
    assert rows >= len(BEFORE.estimates)


def test_the_head_names_the_certified_length_and_the_verdict_of_the_gate():
    head = html_page([demo()]).split("<main>")[0]
    words = " ".join(Reader(head).text.split())
    assert "Certified context of B: builtin, yarn, factor 8: 1,024 tokens ." in words
    assert "Short-context gate of builtin, yarn, factor 8: PASS" in words


def test_a_certificate_shows_cells_thresholds_and_what_is_undecided():
    text = read(demo()).text
    for words in ("RULER's effective length", "k_max of Position Interpolation", "below the floor of 0.8"):
        assert words in text
    assert "multi-passkey at 2,048 tokens, depth 40-50 %: still open at the cap of 200 contexts" in text
    assert text.count("passed\n") == 28 + 2, "28 cells and 2 lengths of the NLL"
    assert "+0.0312" in text


@pytest.mark.parametrize(("length", "words"), [(None, "not certifiable"), (0, "no tested length"), (512, "512 tokens")])
def test_a_certified_length_is_said_in_words(length, words):
    certified = AFTER.model_copy(update={"certificate": certificate(retrieval_length=length)})
    assert f"Certified context: {words}\n" in read(certified).text


def test_a_cell_that_was_not_asked_shows_no_bounds():
    first, *others = certificate().cells
    unasked = first.model_copy(update={"score": None, "low": 0.0, "high": 1.0, "samples": 0, "verdict": "undecided"})
    proof = certificate(cells=(unasked, *others), ruler_length=0)
    text = read(AFTER.model_copy(update={"certificate": proof})).text
    assert "not asked" in text
    assert "0.00 to 1.00" not in text
    assert "RULER's effective length\nno tested length\n" in text


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "SKIPPED"])
def test_a_gate_shows_its_verdict_and_its_reason(verdict):
    shown = gate(verdict)
    text = read(extension(gate=shown)).text
    assert text.count(f"{verdict}\n") >= 2, "in the head and in its section"
    assert shown.reason in text


def test_the_gate_shows_both_references_and_its_control():
    text = read(extension()).text
    for words in ("original", "control", "0.02", "130 steps of 4 windows of 256 tokens", "fedcba9876543210"):
        assert words in text


def test_the_gate_names_the_tasks_that_were_asked():
    assert "boolq of lm-eval 0.4.13" in read(extension(gate=gate(tasks="boolq of lm-eval 0.4.13"))).text


def test_entropy_keeps_the_letter_of_a_model_that_was_evaluated_too():
    text = read(BEFORE, entropy(YARN), entropy("untouched")).text
    for label in ("A: builtin, untouched", "B: builtin, yarn, factor 8"):
        assert label in text
    assert "C: builtin" not in text
    assert "none within 1/8 to 8" in text


def test_provenance_names_model_rope_data_seed_and_versions():
    model = BEFORE.model.model_copy(update={"rope": {"rope_theta": 500.0}, "weights": "3c40895bdeb84b57"})
    text = read(BEFORE.model_copy(update={"model": model})).text
    for words in ("rope_theta = 500.0", "3c40895bdeb84b57", "0123456789abcdef-01234567", "torch 2", "Python 3.11.7"):
        assert words in text


def test_failed_samples_are_counted_and_an_incomplete_result_says_so():
    failed = estimate("perplexity", 4096, 50.0, 1.0, failed=7)
    text = read(result("untouched", extra=(failed,), status="incomplete")).text
    assert "7 failed" in text
    assert "Incomplete: more than 1 % of the samples of A: builtin, untouched failed." in text


def test_chance_stands_beside_a_score():
    guess = estimate("lines_accuracy", 256, 0.9, 0.05, chance=0.25)
    assert "chance 0.25" in read(result("untouched", extra=(guess,))).text


def test_measures_of_the_suites_are_named_as_the_command_line_names_them():
    score = estimate("json_kv_score", 256, 0.75, 0.05, unit="mean score", chance=0.01)
    cut = estimate("truncate_perplexity", 256, 12.0, 1.0, unit="per token")
    lines = read(result("untouched", extra=(score, cut))).text.splitlines()
    assert lines.count("json-kv") == 3, "a chart, the table, and every number"
    assert "NLL, documents cut to the length" in lines
    assert "perplexity, documents cut to the length" in lines


def test_nll_by_position_is_no_gain():
    place = estimate("position_nll", 1024, 2.5, 0.1, baseline_length=512, unit="nats/token")
    page = read(result("untouched", extra=(place,)))
    gains = page.text.split("Gain from more context")[-1].split("Provenance")[0]
    assert "513 to 1,024" in page.text
    assert "position" not in gains
    assert "positions" in [attributes["id"] for attributes in page.found("section")]


def test_a_value_that_is_not_finite_is_written_and_not_drawn():
    endless = estimate("perplexity", 4096, math.inf, 0.0)
    page = read(result("untouched", extra=(endless,)))
    assert "inf" in page.text
    assert not any("inf" in (path["d"] or "") or "nan" in (path["d"] or "") for path in page.found("path"))


def test_the_same_records_give_the_same_bytes():
    assert html_page([demo(), entropy()]) == html_page([demo(), entropy()])


def test_what_is_given_twice_is_shown_once():
    assert html_page([BEFORE, BEFORE]) == html_page([BEFORE])
    whole = demo()
    assert html_page([whole, whole.before, whole.extension]) == html_page([whole])


# A page that is whole in itself, and safe.


def test_a_page_loads_nothing_and_runs_nothing():
    page = read(demo(), entropy())
    assert not {tag for tag, _ in page.elements} & LOADING
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "src"], tag
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in page.found("meta")
    assert "url(" not in html_page([demo()])
    assert "@import" not in html_page([demo()])


def test_a_name_that_is_a_script_is_shown_as_text():
    model = BEFORE.model.model_copy(update={"name": ATTACK, "method": ATTACK, "rope": {ATTACK: ATTACK}})
    hostile: EvaluationResult = BEFORE.model_copy(
        update={"model": model, "data": ATTACK, "certificate": certificate(schedule=ATTACK)}
    )
    done = extension(model=model, notes=(ATTACK,), self_test=(ATTACK,), gate=gate(reason=ATTACK, text=ATTACK))
    page = read(hostile, done, entropy(model=model), comparison(hostile, hostile))
    assert ATTACK in page.text
    assert not {tag for tag, _ in page.elements} & LOADING


def test_the_check_for_scripts_bites():
    """Bite: a writer that does not escape lets the script through."""
    assert "script" in {tag for tag, _ in Reader(f"<p>{ATTACK}</p>").elements}
    assert "script" not in {tag for tag, _ in Reader(element("p", ATTACK)).elements}


@settings(max_examples=50)
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_comes_back_from_content_and_attribute_as_it_was(content, value):
    page = Reader(element("p", content, title=value))
    assert page.found("p") == [{"title": value}]
    # HTML has no carriage returns: a browser reads each as a line feed, Python's parser keeps them.
    assert page.text.removesuffix("\n").replace("\n", "") == content.replace("\n", "")


def test_markup_is_not_escaped_twice():
    assert element("p", joined(["a < b", None, element("b", "c")])) == "<p>a &lt; b<b>c</b></p>"
    assert element("p", hidden=True, title=None, id=False) == "<p hidden></p>"


# For every reader.


def test_tables_have_captions_and_headings_and_charts_have_names():
    page = read(demo(), entropy())
    assert len(page.found("caption")) == len(page.found("table"))
    assert all(heading.get("scope") for heading in page.found("th"))
    charts = [svg for svg in page.found("svg") if svg["class"] == "chart"]
    assert len(charts) == 3 + 4, "three measures, four layers"
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert page.found("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels)), "no level is left out"


def test_links_of_the_page_lead_to_sections():
    page = read(demo())
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {link["href"].removeprefix("#") for link in page.found("a")} <= set(identifiers)


def test_scores_get_lighter_and_their_text_stays_legible():
    shades = [shade(i / 40) for i in range(41)]
    lights = [luminance(colour) for colour in shades]
    assert lights == sorted(lights)
    assert min(contrast(colour, TEXT) for colour in shades) > 4.5
    assert shade(0) == "#" + "".join(f"{channel:02x}" for channel in SCALE[0][1])
    assert (shade(-3), shade(7)) == (shade(0), shade(1))


@pytest.mark.parametrize("method", COLOURS)
def test_lines_stand_out_from_a_dark_page(method):
    assert contrast(lighter(COLOURS[method]), "#14171b") > 4.5


# Charts.


@settings(max_examples=50)
@given(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6),
    st.floats(0, 1e6).filter(lambda x: x == 0 or x > 1e-6),
)
def test_ticks_enclose_what_they_are_for_and_are_few(low, span):
    ticks = nice_ticks(low, low + span)
    slack = 1e-6 * max(abs(ticks[0]), abs(ticks[-1]), 1e-9)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))


def test_doubling_a_length_is_the_same_way_everywhere():
    axes = Axes((256, 2048), (0.0, 1.0))
    steps = [axes.x(2 * length) - axes.x(length) for length in (256, 512, 1024)]
    assert steps == pytest.approx([steps[0]] * 3)
    assert axes.y(0.25) - axes.y(0.5) == pytest.approx(axes.y(0.5) - axes.y(0.75))
    assert Axes((256, 256), (0.0, 1.0)).x(256) < RIGHT


def test_a_band_holds_its_line():
    points = tuple(Point(length, 2.0, 1.5, 2.75) for length in LENGTHS)
    page = Reader(line_chart([Series(0, "A", points)], label="a chart", unit="nats"))
    paths = {path["class"].split()[0]: path["d"] for path in page.found("path")}
    line, band = (_heights(paths[name]) for name in ("line", "band"))
    assert len(line) == 4
    assert len(band) == 8
    assert max(band[:4]) < min(line) <= max(line) < min(band[4:]), "SVG counts from the top: high ends come first"


def test_the_check_of_bands_bites():
    """Bite: ends that are swapped put the line outside."""
    points = tuple(Point(length, 2.0, 2.75, 1.5) for length in LENGTHS)
    page = Reader(line_chart([Series(0, "A", points)], label="a chart", unit="nats"))
    band = next(path["d"] for path in page.found("path") if path["class"].startswith("band"))
    assert max(_heights(band)[:4]) > max(_heights(band)[4:])


def test_many_lengths_are_labelled_without_overlap():
    lengths = [2**i for i in range(8, 21)]
    points = tuple(Point(length, 2.0, 1.5, 2.75) for length in lengths)
    page = Reader(line_chart([Series(0, "A", points)], label="a chart", unit="nats"))
    bottom = [text for text in page.found("text") if text["text-anchor"] == "middle" and "class" not in text]
    places = sorted(float(text["x"]) for text in bottom)
    assert min(b - a for a, b in pairwise(places)) > 25
    assert "1M" in page.text


@pytest.mark.parametrize(
    ("tokens", "written"),
    [(256, "256"), (2048, "2,048"), (32768, "32k"), (131072, "128k"), (2**20, "1M"), (30000, "30,000")],
)
def test_lengths_are_written_short(tokens, written):
    assert short_length(tokens) == written


# Only what compares.


@pytest.mark.parametrize(("field", "value"), [("data", "another"), ("seed", 7)])
def test_results_on_other_samples_are_refused_by_the_field_that_differs(field, value):
    with pytest.raises(
        MeasurementError, match=rf"'{field}' of 'builtin' \(untouched\) is .*, of .* {value}.* one report"
    ):
        html_page([BEFORE, AFTER.model_copy(update={field: value})])
    with pytest.raises(MeasurementError, match=f"'{field}'"):
        html_page([BEFORE, comparison().model_copy(update={field: value})])
    with pytest.raises(MeasurementError, match=f"'{field}'"):
        html_page([entropy(), entropy(YARN, **{field: value})])


def test_one_measure_by_two_protocols_is_refused():
    first, *others = AFTER.estimates
    changed = AFTER.model_copy(update={"estimates": (first.model_copy(update={"protocol": "sliding"}), *others)})
    with pytest.raises(MeasurementError, match=r"'perplexity' at 256 tokens is 'made for a test' .* 'sliding'"):
        html_page([BEFORE, changed])


def test_a_page_needs_results_and_not_too_many():
    with pytest.raises(MeasurementError, match="at least one result and at most 8 models"):
        html_page([])
    assert html_page([result(f"yarn, factor {n}") for n in range(1, 9)])
    with pytest.raises(MeasurementError, match="got 9 results of 9 models"):
        html_page([result(f"yarn, factor {n}") for n in range(1, 10)])


# Writing.


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "report.html"
    write_page(html_page([BEFORE]), path)
    write_page(html_page([AFTER]), path)
    assert path.read_text("utf-8") == html_page([AFTER])
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    other = tmp_path / "result.json"
    other.write_text(BEFORE.model_dump_json(), "utf-8")
    with pytest.raises(OutputError, match=r"may replace only an earlier report; .*result\.json' is something else"):
        write_page(html_page([BEFORE]), other)
    assert other.read_text("utf-8") == BEFORE.model_dump_json()
    with pytest.raises(OutputError, match="may replace only an earlier report"):
        write_page(html_page([BEFORE]), tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x", "utf-8")
    with pytest.raises(OutputError, match=r"a report must be written to a file; .* cannot be written"):
        write_page(html_page([BEFORE]), tmp_path / "file" / "report.html")


def _heights(path: str) -> list[float]:
    return [float(pair.split()[1]) for pair in path.strip("MZ").split("L")]
