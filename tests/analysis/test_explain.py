"""The dictionary behind `ropewalk explain NAME --json`."""

import json
import math

import pytest

from ropewalk import methods, positions
from ropewalk.analysis.explain import explain
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
SMALL = Rope(head_dim=64, base=500.0, trained_length=256)
NAMES = sorted({*methods.names(), *positions.names()})


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_the_same_keys_and_survives_json(name):
    facts = explain(name, SMALL, 2048, draws=5)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    for key in ("frequencies", "wavelengths", "stretch"):
        assert len(facts[key]) == 32
    assert facts["name"] == name
    assert facts["kind"] == ("method" if name in methods.names() else "sampler")
    assert facts["rope"] == {"head_dim": 64, "base": 500.0, "trained_length": 256}
    assert facts["target_length"] == 2048
    assert facts["paper"]["bibtex"].startswith("@misc{")
    assert set(facts["sections"]) >= {"Summary", "Equation", "Needs"}
    for row in facts["attention_scale"]:
        assert set(row) == {"position", "first_layer", "last_layer"}


@pytest.mark.parametrize("name", NAMES)
def test_windows_are_shown_where_there_is_a_sampler(name):
    facts = explain(name, SMALL, 2048, draws=20)
    expected = name in positions.names()
    assert ("examples" in facts, "coverage" in facts) == (expected, expected)
    if expected:
        window = 2048 if name == "contiguous" else 256
        assert [len(example) for example in facts["examples"]] == [window] * 8
        assert facts["sampler"]["window"] == window
        assert facts["coverage"]["draws"] == 20
        assert 0 < facts["coverage"]["mean"] <= facts["coverage"]["ever"] <= 1
        assert facts["coverage"]["bands"][-1]["to"] == 2047


def test_fewer_draws_than_eight_give_fewer_examples():
    assert len(explain("pose", SMALL, 2048, draws=3)["examples"]) == 3


def test_very_long_windows_are_shown_less_often():
    assert len(explain("contiguous", SMALL, 300_000, draws=8)["examples"]) == 3


def test_examples_follow_the_seed():
    first, same, other = (explain("cream", SMALL, 2048, draws=8, seed=seed)["examples"] for seed in (0, 0, 1))
    assert first == same != other


def test_numbers_of_yarn():
    facts = explain("yarn", LLAMA, 32_768)
    assert facts["stretch"][33] == pytest.approx(1 / 0.5625)
    assert facts["wavelengths"][63] == pytest.approx(8 * 54_410.143, rel=1e-7)
    assert facts["frequencies"][0] == 1.0
    assert facts["options"]["factor"] == 8
    assert facts["derived_options"] == ["factor"]
    assert facts["describe"] == "yarn, factor 8"
    assert [row["last_layer"] for row in facts["attention_scale"]] == pytest.approx([1.4591291] * 6, abs=5e-8)


def test_the_scale_of_entropy_abf_at_chosen_positions_and_layers():
    facts = explain("entropy-abf", LLAMA, 32_768, at=[4095, 8191, 32_767])
    assert [row["position"] for row in facts["attention_scale"]] == [4095, 8191, 32_767]
    assert [row["first_layer"] for row in facts["attention_scale"]] == [1.0, 1.0, 1.0]
    assert [row["last_layer"] for row in facts["attention_scale"]] == pytest.approx([1.0, 13 / 12, 5 / 4])
    assert explain("entropy-abf", LLAMA, 32_768, at=[8191], layers=2)["attention_scale"][0]["last_layer"] == 1.0


def test_default_positions_stand_on_both_sides_of_the_window_and_at_the_end():
    rows = explain("entropy-abf", LLAMA, 32_768)["attention_scale"]
    assert [row["position"] for row in rows] == [0, 4095, 4096, 8191, 16_383, 32_767]


def test_a_method_that_depends_on_the_length_is_shown_at_the_target():
    facts = explain("dynamic", LLAMA, 32_768)
    assert facts["stretch"][63] == pytest.approx(8)
    assert facts["depends_on_length"]
    assert facts["name"] == "dynamic-ntk"


def test_pairs_tell_what_training_did_not_show():
    assert explain("none", LLAMA, 32_768)["pairs"]["beyond_trained_angles"] == list(range(46, 64))
    assert explain("linear", LLAMA, 32_768)["pairs"]["beyond_trained_angles"] == []
    assert explain("linear", LLAMA, 32_768)["pairs"]["incomplete_in_trained_window"] == list(range(46, 64))


def test_options_of_a_preset_reach_its_method_and_its_sampler():
    facts = explain("cream", SMALL, 2048, options={"factor": 16, "sigma": 2.0}, draws=4)
    assert facts["stretch"] == pytest.approx([16] * 32)
    assert facts["sampler"]["options"]["sigma"] == 2.0
    assert facts["derived_options"] == []
    assert explain("randpos", SMALL, 2048, draws=4)["stretch"] == [1.0] * 32


def test_longrope_without_factors_is_an_example_that_says_so():
    facts = explain("longrope", SMALL, 2048)
    assert facts["derived_options"] == ["factor", "factors"]
    assert len(facts["options"]["factors"]) == 32


def test_a_pair_that_stands_still_is_told_without_infinity(monkeypatch):
    monkeypatch.setattr(methods.get("none"), "frequencies", lambda self, rope: rope.frequencies * 0)
    facts = explain("none", SMALL, 2048)
    assert facts["wavelengths"] == facts["stretch"] == [None] * 32
    assert not math.isnan(facts["frequencies"][0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target_length": 255}, "target_length must be at least trained_length, because a window is extended and not"),
        ({"layers": 0}, "layers must be at least 1, because there is nothing to show otherwise; got 0"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"at": [-1]}, "positions count from 0, because the first token's is 0; got -1"),
    ],
)
def test_impossible_questions_are_refused(arguments, words):
    with pytest.raises(OptionError, match=words):
        explain("cream", SMALL, **{"target_length": 2048, **arguments})


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no method or sampler is called 'craem'; did you mean 'cream'"):
        explain("craem", SMALL, 2048)
    with pytest.raises(UnknownNameError, match="no option of 'cream' is called 'sigmo'; did you mean 'sigma'"):
        explain("cream", SMALL, 2048, options={"sigmo": 1})
    with pytest.raises(UnknownNameError, match="no option of 'yarn' is called 'sigma'"):
        explain("yarn", SMALL, 2048, options={"sigma": 1})
