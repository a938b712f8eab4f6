"""ReRoPE, Leaky ReRoPE and Self-Extend: the distances that queries are told."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import relative_positions

from ropewalk.analysis import relative_maps
from ropewalk.analysis.relative_maps import LeakyReRope, ReRope, SelfExtend
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
LONGEST = 40
windows = st.integers(1, 30)


def matrix(rule, *sizes):
    return [[rule(query, key, *sizes) for key in range(query + 1)] for query in range(LONGEST)]


def assert_told(chosen, expected):
    told = chosen.relative(np.arange(LONGEST), np.arange(LONGEST))
    for query, row in enumerate(expected):
        np.testing.assert_allclose(told[query, : query + 1], row, rtol=0, atol=1e-12)


@given(window=windows)
def test_rerope_is_the_smaller_of_distance_and_window(window):
    assert_told(ReRope(window), matrix(relative_positions.rerope, window))


@given(window=windows, leak=st.floats(1, 64))
def test_leaky_rerope_agrees_with_the_oracle(window, leak):
    assert_told(LeakyReRope(window, leak=leak), matrix(relative_positions.leaky_rerope, window, leak))


@given(window=windows, group=st.integers(1, 20))
def test_self_extend_agrees_with_the_oracle(window, group):
    assert_told(SelfExtend(window, group=group), matrix(relative_positions.self_extend, window, group))


@pytest.mark.parametrize(
    "wrong",
    [ReRope(9), LeakyReRope(8, leak=4.1), SelfExtend(8, group=3), SelfExtend(7, group=4), SelfExtend(8, group=1)],
    ids=lambda chosen: chosen.describe(),
)
def test_the_oracles_refuse_other_settings(wrong):
    rules = {
        "rerope": (relative_positions.rerope, 8),
        "leaky-rerope": (relative_positions.leaky_rerope, 8, 4.0),
        "self-extend": (relative_positions.self_extend, 8, 4),
    }
    with pytest.raises(AssertionError):
        assert_told(wrong, matrix(*rules[wrong.name]))


@pytest.mark.parametrize("chosen", [ReRope(16), LeakyReRope(16), SelfExtend(16)], ids=lambda chosen: chosen.name)
def test_a_text_within_the_window_keeps_its_distances(chosen):
    short = np.arange(16)
    assert np.array_equal(chosen.relative(short, short), np.subtract.outer(short, short))


@pytest.mark.parametrize(("group", "reach"), [(8, 25_600), (6, 19_456), (5, 16_384)])
def test_self_extend_reaches_as_far_as_its_paper_says(group, reach):
    chosen = SelfExtend(1024, group=group)
    assert chosen.reach(LLAMA) == reach
    farthest = chosen.relative(np.array([reach - 1]), np.arange(reach))
    assert farthest.max() <= LLAMA.trained_length


def test_the_last_grouped_query_of_the_paper_stands_at_the_end_of_the_trained_window():
    assert SelfExtend(1024, group=8).far_queries(np.array([25_599])).tolist() == [4095]


def test_the_seam_of_self_extend_is_smooth_where_groups_divide_window_and_key():
    chosen = SelfExtend(1024, group=8)
    keys = np.arange(0, 8000, 8)
    seam = [float(chosen.relative(np.array([key + 1024]), np.array([key]))[0, 0]) for key in keys]
    assert set(seam) == {1024.0}


@given(window=windows, leak=st.floats(1, 64))
def test_leaky_rerope_reaches_the_end_of_the_trained_window(window, leak):
    rope = Rope(head_dim=8, base=100.0, trained_length=64)
    reach = LeakyReRope(window, leak=leak).reach(rope)
    assert window + (reach - window) / leak == pytest.approx(64)
    assert ReRope(window).reach(rope) == np.inf


def test_the_scale_follows_the_logarithm_of_the_query_beyond_the_trained_window():
    where = np.array([0, 4095, 4096, 32_767])
    expected = [relative_positions.log_scale(position, 4096) for position in where]
    np.testing.assert_allclose(ReRope(512).attention_scale(LLAMA, where), expected, rtol=1e-14)
    assert SelfExtend(1024).attention_scale(LLAMA, where).tolist() == [1.0] * 4


def test_default_windows_are_those_of_the_releases_for_llama():
    found = {name: relative_maps.get(name).for_rope(LLAMA).describe() for name in relative_maps.names()}
    assert found == {
        "leaky-rerope": "leaky-rerope, window 512, leak 16.0, scaled",
        "rerope": "rerope, window 512, scaled",
        "self-extend": "self-extend, window 1024, group 8",
    }


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rerope", {"window": 0}, "window must be a whole number of at least 1, because keys nearer than it keep"),
        ("rerope", {"window": 4096}, "window must be below the trained window of 4,096 tokens, because distances"),
        ("rerope", {"scaled": 1}, "scaled must be true or false, because logits are scaled or they are not; got 1."),
        ("leaky-rerope", {"leak": 0.5}, "leak must be a finite number of at least 1, because far distances are"),
        ("self-extend", {"group": 2.5}, "group must be a whole number of at least 1, because it counts the tokens"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_the_reason(name, options, words):
    with pytest.raises(OptionError, match=re.escape(words)):
        relative_maps.get(name).for_rope(LLAMA, options)


def test_names_that_do_not_exist_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="no inference map is called 'rerop'; did you mean 'rerope'"):
        relative_maps.get("rerop")
    with pytest.raises(UnknownNameError, match="option of inference map 'rerope' is called 'windw'"):
        ReRope.for_rope(LLAMA, {"windw": 3})
