"""Resonance RoPE: wavelengths of whole tokens, over whatever method it is laid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors, ropes
from oracles import clipped_rules, frequency_rules

from ropewalk.methods.resonance import Resonance
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
FAR_FROM_HALVES = 1e-6


def resonant(over, factor, rope):
    return Resonance(factor, over=over).frequencies(rope)


@given(rope=ropes(), factor=factors, over=st.sampled_from(["none", "linear", "ntk"]))
def test_resonance_agrees_with_the_oracle(rope, factor, over):
    rule = {
        "none": lambda: frequency_rules.plain(rope.head_dim, rope.base),
        "linear": lambda: frequency_rules.linear(rope.head_dim, rope.base, factor),
        "ntk": lambda: frequency_rules.ntk(rope.head_dim, rope.base, factor),
    }[over]()
    wavelengths = 2 * np.pi / np.asarray(rule)
    clear = np.abs(wavelengths % 1 - 0.5) > FAR_FROM_HALVES * np.maximum(1, wavelengths * 1e-6)
    ours, expected = resonant(over, factor, rope), np.asarray(clipped_rules.resonance(rule))
    assert_agrees(ours[clear], expected[clear])


@given(rope=ropes(), factor=factors, over=st.sampled_from(["none", "linear", "ntk", "yarn", "llama3", "abf"]))
def test_every_wavelength_is_a_whole_number_near_the_old_one(rope, factor, over):
    method = Resonance(factor, over=over)
    after = 2 * np.pi / method.frequencies(rope)
    before = 2 * np.pi / method.underlying.frequencies(rope)
    assert np.allclose(after, np.round(after), rtol=1e-14)
    assert (np.abs(after - before) <= 0.5 * (1 + 1e-9)).all()


def test_the_first_wavelengths_of_llama_are_those_worked_out_by_hand():
    """2 pi 10000^(i / 64): 6.283, 7.256, 8.379, 9.676, ..., 4711.724 for pair 46."""
    after = np.round(2 * np.pi / resonant("none", 8, LLAMA)).astype(int)
    assert after[[0, 1, 2, 3, 45, 46]].tolist() == [6, 7, 8, 10, 4080, 4712]


def test_after_a_turn_a_pair_meets_the_angles_of_the_first_turn():
    frequencies = resonant("yarn", 8, LLAMA)
    wavelengths = np.round(2 * np.pi / frequencies)
    assert np.abs(np.cos(frequencies * (wavelengths + 3)) - np.cos(frequencies * 3)).max() < 1e-9
    plain = Yarn(8).frequencies(LLAMA)
    assert np.abs(np.cos(plain * (np.round(2 * np.pi / plain) + 3)) - np.cos(plain * 3)).max() > 0.1


def test_resonance_keeps_the_scale_of_yarn():
    where = np.array([0, 20_000])
    ours = Resonance(8).attention_scale(LLAMA, where, 0)
    assert np.array_equal(ours, Yarn(8).attention_scale(LLAMA, where, 0))


@pytest.mark.parametrize("rounding", [np.floor, np.ceil, lambda wavelengths: wavelengths])
def test_the_oracle_refuses_other_roundings(rounding):
    before = np.asarray(frequency_rules.plain(128, 1e4))
    with pytest.raises(AssertionError):
        assert_agrees(2 * np.pi / rounding(2 * np.pi / before), clipped_rules.resonance(before.tolist()), 1e-3)
