"""LongRoPE2-style factors: the factor from the critical pair on, an adjusted base before it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors, ropes
from oracles import clipped_rules, logit_scales

from ropewalk.methods.longrope2 import LongRope2
from ropewalk.rope import Rope

LLAMA_3 = Rope(head_dim=128, base=500_000.0, trained_length=8192)


@given(rope=ropes(), factor=factors, share=st.floats(0, 1))
def test_it_agrees_with_the_oracle_at_any_critical_pair(rope, factor, share):
    critical = 1 + int(share * (rope.pairs - 2))
    expected = clipped_rules.longrope2(rope.head_dim, rope.base, critical, factor)
    assert_agrees(LongRope2(factor, critical_pair=critical).frequencies(rope), expected)


@given(rope=ropes(), factor=factors)
def test_the_theoretical_critical_pair_is_the_first_that_completes_no_turn(rope, factor):
    expected = clipped_rules.critical_pair(rope.head_dim, rope.base, rope.trained_length)
    assert LongRope2(factor).critical(rope) == min(max(expected, 1), rope.pairs - 1)


@pytest.mark.parametrize(
    ("rope", "critical"),
    [
        (LLAMA_3, 35),  # Llama 3 8B, as the paper counts it
        (
            Rope(head_dim=96, base=10_000.0, trained_length=2048),
            31,
        ),  # Phi-3 mini at 2,048 tokens, likewise
        (Rope(head_dim=128, base=10_000.0, trained_length=4096), 46),  # Llama 2: see the wavelengths of pairs 45 and 46
        (Rope(head_dim=8, base=10_000.0, trained_length=4), 1),
        (Rope(head_dim=8, base=2.0, trained_length=4096), 3),
    ],
)
def test_critical_pairs_of_known_models(rope, critical):
    assert LongRope2(16).critical(rope) == critical


def test_golden_stretch_with_the_critical_pair_that_was_measured_for_llama_3():
    stretch = LongRope2(16, critical_pair=30).stretch(LLAMA_3)
    assert stretch[[0, 15, 29, 30, 63]] == pytest.approx([1, 4, 16 ** (29 / 30), 16, 16], rel=1e-12)
    assert (stretch[30:] == 16).all()


@given(factor=factors, trained_length=st.integers(64, 10**6))
def test_the_scale_is_that_of_longrope(factor, trained_length):
    scale = LongRope2(factor).attention_scale(Rope(8, 1e4, trained_length), np.array([0, 10**6]), layer=3)
    assert_agrees(scale, [logit_scales.longrope(factor, trained_length)] * 2)


@pytest.mark.parametrize("wrong", [LongRope2(16, critical_pair=31), LongRope2(15.9, critical_pair=30), LongRope2(16)])
def test_the_oracle_refuses_another_critical_pair_and_another_factor(wrong):
    with pytest.raises(AssertionError):
        assert_agrees(wrong.frequencies(LLAMA_3), clipped_rules.longrope2(128, 5e5, 30, 16), 1e-3)
