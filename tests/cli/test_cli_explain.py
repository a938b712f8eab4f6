"""`ropewalk explain`: everything registered is there, the numbers are the method's own, and it fits the terminal."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk import methods, positions
from ropewalk.analysis import relative_maps
from ropewalk.cli.explain_tables import MOST_ROWS, THINNED_ROWS, chosen_pairs, hanging, reflowed, run_text
from ropewalk.cli.output import show_json
from ropewalk.rope import Rope

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted({*methods.names(), *positions.names()})


def test_the_table_names_everything_that_is_registered(run: Callable[..., Any]) -> None:
    outcome = run("explain")
    assert outcome.exit_code == 0
    lines = [line.split(maxsplit=1) for line in outcome.out.splitlines() if line and not line.startswith(" ")]
    first_words = [words[0] for words in lines]
    for entry in [*map(methods.get, methods.names()), *map(positions.get, positions.names())]:
        assert entry.name in first_words
        for alias in entry.aliases:
            assert f"({alias})" in first_words


def test_the_list_for_machines_names_everything_with_its_options(run: Callable[..., Any]) -> None:
    listing = json.loads(run("explain", "--json").out)
    assert [record["name"] for record in listing["methods"]] == list(methods.names())
    assert [record["name"] for record in listing["samplers"]] == list(positions.names())
    for record in [*listing["methods"], *listing["samplers"]]:
        assert record["idea"]
        assert record["needs"]
        assert record["paper"]["title"]
    changes = {record["name"]: record["changes"] for record in listing["methods"]}
    assert changes["none"] == []
    assert changes["linear"] == ["frequencies"]
    assert changes["dynamic-ntk"] == ["frequencies"]
    assert changes["entropy-abf"] == ["frequencies", "scale"]
    assert changes["cream"] == ["frequencies", "positions"]


def few_draws(name: str) -> tuple[str, ...]:
    """A sampler's windows are drawn quickly."""
    draws = name in positions.names() or methods.get(name).sampler is not None
    return ("--draws", "3") if draws else ()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_explained_within_the_terminal(run: Callable[..., Any], name: str) -> None:
    outcome = run("explain", name, *few_draws(name))
    assert outcome.exit_code == 0
    assert max(map(len, outcome.out.splitlines())) <= 100
    for label in ("Paper", "Equation", "Symbols", "Hooks", "Disagrees", "Needs", "Checked"):
        assert f"\n{label} " in outcome.out


def test_the_overview_fits_the_terminal(run: Callable[..., Any]) -> None:
    assert max(map(len, run("explain").out.splitlines())) <= 100


@pytest.mark.parametrize("name", [*methods.names(), "pi"])
def test_the_numbers_for_machines_are_the_methods_own(run: Callable[..., Any], name: str) -> None:
    geometry = ["--head-dim", "64", "--base", "500", "--trained-length", "256", "--target-length", "2k"]
    found = json.loads(run("explain", name, *geometry, "--at", "0,255,2047", *few_draws(name), "--json").out)
    rope = Rope(head_dim=64, base=500.0, trained_length=256)
    method = methods.get(name).example(rope, 2048).at(2048)
    assert found["frequencies"] == method.frequencies(rope).tolist()
    turning = [pair for pair, frequency in enumerate(found["frequencies"]) if frequency > 0]
    for key, numerator in (("wavelengths", np.full(rope.pairs, 2 * math.pi)), ("stretch", rope.frequencies)):
        assert [pair for pair, value in enumerate(found[key]) if value is not None] == turning
        expected = numerator[turning] / method.frequencies(rope)[turning]
        assert [found[key][pair] for pair in turning] == pytest.approx(expected.tolist())
    rows = found["attention_scale"]
    assert [row["position"] for row in rows] == [0, 255, 2047]
    where = np.array([0, 255, 2047])
    assert [row["first_layer"] for row in rows] == method.attention_scale(rope, where, 0).tolist()
    assert [row["last_layer"] for row in rows] == method.attention_scale(rope, where, 31).tolist()
    assert ("examples" in found) == ("coverage" in found) == (methods.get(name).sampler is not None)


@pytest.mark.parametrize("name", positions.names())
def test_a_samplers_windows_are_drawn_from_the_seed(run: Callable[..., Any], name: str) -> None:
    arguments = ["explain", name, "--trained-length", "256", "--target-length", "1k", "--draws", "20", "--json"]
    found = json.loads(run(*arguments).out)
    assert 1 <= len(found["examples"]) <= 8
    for example in found["examples"]:
        assert example == sorted(set(example))
        assert example[0] >= 0
        assert example[-1] < 1024
    assert found["coverage"]["draws"] == 20
    assert run(*arguments).out == run(*arguments, "--seed", "0").out
    if name != "contiguous":
        assert found["examples"] != json.loads(run(*arguments, "--seed", "1").out)["examples"]


def test_inference_maps_are_listed_apart_and_explained_by_name(run: Callable[..., Any]) -> None:
    below = run("explain").out.split("Inference maps (inference only: for comparison, never exported)")[1]
    listed = json.loads(run("explain", "--json").out)["inference_maps"]
    assert [record["name"] for record in listed] == list(relative_maps.names())
    for record in listed:
        assert record["name"] in below
        assert record["exported"] is False
        shown = run("explain", record["name"]).out
        assert max(map(len, shown.splitlines())) <= 100
        assert f"{record['name']} (inference map, inference only)" in shown


def test_the_distances_that_a_map_tells_are_its_own(run: Callable[..., Any]) -> None:
    arguments = ["explain", "self-extend", "--set", "group=4", "--set", "window=512", "--target-length", "8k"]
    found = json.loads(run(*arguments, "--json").out)
    chosen = relative_maps.SelfExtend(512, group=4)
    assert found["options"] == chosen.options
    assert found["reach"] == chosen.reach(Rope(128, 10_000.0, 4096)) == 14_848
    for row in found["told"]:
        assert row["told"] == chosen.relative(np.array([8191]), np.array([8191 - row["distance"]]))[0, 0]
    assert {511, 512, 4096, 8191} <= {row["distance"] for row in found["told"]}
    assert json.loads(run("explain", "rerope", "--json").out)["reach"] is None
    assert run("explain", "self-extend", "--cite").out == chosen.paper.bibtex + "\n"


def test_the_numbers_of_a_model_are_taken_from_its_config_and_single_ones_replaced(run: Callable[..., Any]) -> None:
    of_model = json.loads(run("explain", "entropy-abf", "--model", "builtin", "--json").out)
    by_hand = ("--head-dim", "64", "--base", "500", "--trained-length", "256", "--layers", "4")
    assert of_model == json.loads(run("explain", "entropy-abf", *by_hand, "--json").out)
    raised = json.loads(run("explain", "linear", "--model", "builtin", "--base", "1e4", "--json").out)
    by_hand = ("--head-dim", "64", "--base", "1e4", "--trained-length", "256", "--target-length", "2048")
    assert raised == json.loads(run("explain", "linear", *by_hand, "--json").out)
    assert run("explain", "linear", "--model", "no-such-folder").exit_code == 2


def test_layers_decides_which_layer_is_the_last(run: Callable[..., Any]) -> None:
    arguments = ["explain", "entropy-abf", "--at", "8191", "--json"]
    (deep,) = json.loads(run(*arguments, "--layers", "3").out)["attention_scale"]
    (flat,) = json.loads(run(*arguments, "--layers", "2").out)["attention_scale"]
    assert deep["first_layer"] == flat["first_layer"] == flat["last_layer"] == 1.0
    assert deep["last_layer"] == pytest.approx(13 / 12)  # ln 8192 / ln 4096


def test_a_scale_that_varies_is_a_table_and_a_constant_one_a_sentence(run: Callable[..., Any]) -> None:
    assert "Attention scale (logits are multiplied by)" in run("explain", "entropy-abf").out
    assert "Logits are multiplied by 1.4591 at query positions 0, 4,095" in run("explain", "yarn").out


def test_options_of_a_method_are_set_by_name(run: Callable[..., Any]) -> None:
    found = json.loads(run("explain", "yarn", "--set", "beta-fast=16", "--set", "truncate=false", "--json").out)
    assert found["options"]["beta_fast"] == 16
    assert found["options"]["truncate"] is False


def test_a_preset_is_explained_together_with_its_sampler(run: Callable[..., Any]) -> None:
    out = run("explain", "cream", "--draws", "3").out
    assert "cream (method)" in out
    assert "cream (training positions)" in out
    assert "3 windows drawn, seed 0" in out


def test_citations_alone_are_printed_as_bibtex(run: Callable[..., Any]) -> None:
    assert run("explain", "yarn", "--cite").out == methods.get("yarn").paper.bibtex + "\n"


def test_all_citations_are_printed_once(run: Callable[..., Any]) -> None:
    out = run("explain", "--cite").out
    keys = [line for line in out.splitlines() if line.startswith("@misc{")]
    assert len(keys) == len(set(keys))
    for entry in [*map(methods.get, methods.names()), *map(positions.get, positions.names())]:
        assert entry.paper.bibtex in out


@given(st.integers(min_value=1, max_value=300), st.data())
def test_the_shown_pairs_hold_both_ends_and_the_bends_of_the_stretch(pairs: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(min_value=0, max_value=pairs - 1))
    last = data.draw(st.integers(min_value=first, max_value=pairs - 1))
    stretch = np.interp(np.arange(pairs), [first - 0.5, last + 0.5], [1.0, 8.0])
    turns = np.geomspace(650, 0.07, pairs)
    shown = chosen_pairs(stretch, turns)
    assert shown == sorted(set(shown))
    assert len(shown) == pairs if pairs <= MOST_ROWS else len(shown) <= THINNED_ROWS
    assert {0, pairs - 1} <= set(shown)
    changing = np.flatnonzero(np.diff(stretch) > 0)
    if changing.size:
        assert {int(changing[0]), int(changing[-1]) + 1} <= set(shown)
    assert int(np.sum(turns >= 1)) - 1 in shown


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0, 1, 2, 3], "0-3"),
        ([0, 1, 7, 9, 10], "0-1, 7, 9-10"),
        (range(0, 40, 2), "0, 2, 4, ... 34, 36, 38 (20 runs)"),
    ],
)
def test_positions_are_shown_as_runs(values: list[int], text: str) -> None:
    assert run_text(list(values)) == text


def test_prose_loses_the_line_breaks_of_its_file_but_keeps_its_paragraphs() -> None:
    assert reflowed("one\ntwo\n\nthree\n  four") == "one two\n\nthree four"


def test_columns_keep_their_lines_and_go_on_below_their_last_column() -> None:
    short = "a  b\n   c"
    assert hanging(short, 40) == short
    assert hanging("s     factor   target over trained, at least one of them", 34).splitlines() == [
        "s     factor   target over",
        "               trained, at least",
        "               one of them",
    ]
    assert hanging("x = one two three four five\n      six", 20).splitlines() == [
        "x = one two three",
        "    four five six",
    ]


def test_lists_of_numbers_stand_on_one_line_and_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": [1, 2.5, None], "b": [[1, 2], []], "c": ["[\n1,\n2]", "x"], "d": [{"e": [True, -1e-9]}]}
    show_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert '"a": [1, 2.5, null]' in out
    assert '"e": [true, -1e-09]' in out


def test_a_number_that_json_cannot_hold_is_not_written() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        show_json({"value": math.nan})


@pytest.mark.parametrize(("name", "marked"), [("none", True), ("linear", False), ("yarn", False)])
def test_pairs_that_meet_angles_new_to_the_model_are_marked(run: Callable[..., Any], name: str, marked: bool) -> None:
    assert ("new angles" in run("explain", name).out) == marked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(
            (["yarn", "--cite", *more], f"--cite prints BibTeX alone, so {more[0]} has nothing to act on; drop --cite")
            for more in (["--json"], ["--model", "builtin"], ["--set", "beta_fast=8"], ["--seed", "0"])
        ),
        *(
            (
                more,
                f"the table of all shows no numbers, so {more[0]} has nothing to act on; give a NAME, or leave it out.",
            )
            for more in (["--layers", "3"], ["--target-length", "8k"], ["--at", "5"], ["--base", "500"])
        ),
        (
            ["rerope", "--at", "5", "--draws", "3"],
            "an inference map is the same in all layers and draws no windows, so --at and --draws have nothing to act",
        ),
        (
            ["yarn", "--seed", "1"],
            "'yarn' brings no sampler, which would draw windows, so --seed has nothing to act on",
        ),
        (["yarm", "--seed", "1"], "did you mean 'yarn'?"),
    ],
)
def test_an_option_that_the_answer_does_not_read_is_refused(
    run: Callable[..., Any], arguments: list[str], words: str
) -> None:
    outcome = run("explain", *arguments)
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert words in outcome.paragraph
