"""LongRoPE: given factors divide, and logits carry 1 + ln s / ln L."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors
from oracles import frequency_rules, logit_scales

from ropewalk.errors import OptionError
from ropewalk.methods.longrope import LongRope
from ropewalk.methods.ntk import Ntk
from ropewalk.rope import Rope

SMALL = Rope(head_dim=8, base=10_000.0, trained_length=4096)


@given(stretch=st.lists(st.floats(0.5, 128), min_size=4, max_size=4))
def test_factors_divide_the_frequencies(stretch):
    expected = [f / s for f, s in zip(frequency_rules.plain(8, 1e4), stretch, strict=True)]
    assert_agrees(LongRope(factors=tuple(stretch)).frequencies(SMALL), expected)


@given(factor=factors, trained_length=st.integers(2, 10**6))
def test_the_scale_agrees_with_the_oracle(factor, trained_length):
    scale = LongRope(factor).attention_scale(Rope(8, 1e4, trained_length), np.array([0, 10**6]), layer=3)
    assert_agrees(scale, [logit_scales.longrope(factor, trained_length)] * 2)


@pytest.mark.parametrize(
    ("factor", "attention_factor"), [(8, 1.1180340), (16, 1.1547005), (32, 1.1902381), (64, 1.5**0.5)]
)
def test_golden_scales_are_squares(factor, attention_factor):
    scale = LongRope(factor).attention_scale(SMALL, np.array([0]), 0)[0]
    assert np.sqrt(scale) == pytest.approx(attention_factor, abs=5e-8)


def test_a_given_attention_factor_replaces_the_rule():
    assert LongRope(8, attention_factor=1.2).attention_scale(SMALL, np.array([0]), 0)[0] == pytest.approx(1.44)


def test_an_example_starts_where_the_papers_search_starts():
    assert LongRope.example(SMALL, 32_768).stretch(SMALL) == pytest.approx(Ntk(8).stretch(SMALL))


def test_the_oracle_refuses_a_forgotten_square():
    with pytest.raises(AssertionError):
        assert_agrees(np.sqrt(LongRope(8).attention_scale(SMALL, np.array([0]), 0)), [logit_scales.longrope(8, 4096)])


@pytest.mark.parametrize("stretch", [(), (1.0, 2.0, 3.0)])
def test_it_asks_for_one_factor_for_each_pair(stretch):
    with pytest.raises(OptionError, match=f"one of factors for each of the 4 pairs.*got {len(stretch)}.*use yarn"):
        LongRope.for_target(SMALL, 32_768, {"factors": stretch})
