"""Linear, NTK, dynamic NTK, ABF and llama3 against oracles in plain `math` and against numbers of the papers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors, ropes
from oracles import frequency_rules

from ropewalk.methods.abf import Abf
from ropewalk.methods.dynamic_ntk import DynamicNtk
from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.methods.linear import Linear
from ropewalk.methods.llama3 import Llama3
from ropewalk.methods.none import Unchanged
from ropewalk.methods.ntk import Ntk
from ropewalk.methods.ntk_by_parts import NtkByParts
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
LLAMA_1 = Rope(head_dim=128, base=10_000.0, trained_length=2048)


@given(rope=ropes())
def test_unchanged_frequencies_are_the_plain_ones(rope):
    assert_agrees(Unchanged().frequencies(rope), frequency_rules.plain(rope.head_dim, rope.base))


@given(rope=ropes(), factor=factors)
def test_linear_agrees_with_the_oracle(rope, factor):
    assert_agrees(Linear(factor).frequencies(rope), frequency_rules.linear(rope.head_dim, rope.base, factor))


def test_linear_turns_a_far_position_into_a_trained_one():
    frequencies = Linear(factor=4).frequencies(LLAMA_1)
    assert_agrees(8191 * frequencies, 2047.75 * LLAMA_1.frequencies)
    assert frequencies[63] == pytest.approx(2.88696e-5, rel=1e-5)


def test_the_oracle_refuses_a_multiplied_frequency():
    with pytest.raises(AssertionError):
        assert_agrees(LLAMA.frequencies * 4, frequency_rules.linear(128, 1e4, 4))


def test_pairs_beyond_the_window_are_as_many_as_counted_by_hand():
    assert LLAMA.wavelengths[63] == pytest.approx(54_410.143, abs=5e-4)
    assert LLAMA.wavelengths[[45, 46]] == pytest.approx([4080.185, 4711.724], abs=5e-4)
    assert (LLAMA.wavelengths > 4096).sum() == 18
    assert (LLAMA.wavelengths > 16_384).sum() == 9
    larger = Rope(head_dim=128, base=500_000.0, trained_length=4096)
    assert ((larger.wavelengths > 4096).sum(), (larger.wavelengths > 16_384).sum()) == (32, 25)
    assert larger.wavelengths[63] == pytest.approx(2_559_195.5, abs=0.5)


def test_the_count_of_wavelengths_refuses_a_base_off_by_one_exponent():
    off = 2 * np.pi * 1e4 ** (np.arange(1, 65) / 64)
    assert (off > 4096).sum() != 18


@given(rope=ropes(), factor=factors)
def test_ntk_agrees_with_the_oracle(rope, factor):
    assert_agrees(Ntk(factor).frequencies(rope), frequency_rules.ntk(rope.head_dim, rope.base, factor))
    assert Ntk(factor).new_base(rope) == pytest.approx(
        rope.base * factor ** (rope.head_dim / (rope.head_dim - 2)), rel=1e-13
    )


@pytest.mark.parametrize(
    ("head_dim", "factor", "base"),
    [
        (128, 2, 20_221.2617),
        (128, 4, 40_889.9424),
        (128, 8, 82_684.6226),
        (128, 16, 167_198.7392),
        (128, 32, 338_096.9460),
        (64, 4, 41_829.3659),
        (64, 8, 85_550.3759),
    ],
)
def test_ntk_bases_are_those_worked_out_by_hand(head_dim, factor, base):
    rope = Rope(head_dim=head_dim, base=10_000.0, trained_length=4096)
    assert Ntk(factor).new_base(rope) == pytest.approx(base, abs=5e-5)


def test_ntk_keeps_the_fastest_pair_and_stretches_the_slowest_by_the_factor_exactly():
    stretch = Ntk(8).stretch(LLAMA)
    assert (stretch[0], stretch[63]) == (1.0, 8.0)
    assert 1 / stretch[32] == pytest.approx(0.3477664, abs=5e-8)


def test_the_ntk_oracle_refuses_the_plain_exponent():
    wrong = Rope(head_dim=128, base=1e4 * 8, trained_length=4096)
    with pytest.raises(AssertionError):
        assert_agrees(wrong.frequencies, frequency_rules.ntk(128, 1e4, 8), tolerance=1e-3)


@given(rope=ropes(), alpha=st.floats(1, 16), length=st.integers(1, 10**7))
def test_dynamic_ntk_agrees_with_the_oracle(rope, alpha, length):
    expected = frequency_rules.dynamic_ntk(rope.head_dim, rope.base, rope.trained_length, alpha, length)
    assert_agrees(DynamicNtk(alpha).at(length).frequencies(rope), expected)


@pytest.mark.parametrize(
    ("length", "alpha", "base"),
    [
        (8192, 1, 20_221.26),
        (8192, 2, 30_527.7367),
        (16_384, 2, 72_195.860),
        (16_384, 4, 135_401.973),
        (4096, 4, 10_000.0),
        (100, 4, 10_000.0),
    ],
)
def test_dynamic_ntk_bases_are_those_worked_out_by_hand(length, alpha, base):
    static = DynamicNtk(alpha).at(length).static(LLAMA)
    assert static.new_base(LLAMA) == pytest.approx(base, rel=1e-6)


def test_dynamic_ntk_slows_the_slowest_pair_as_transformers_does():
    assert DynamicNtk(2).at(8192).frequencies(LLAMA)[63] == pytest.approx(3.849273e-5, rel=1e-6)


def test_dynamic_ntk_is_plain_rope_inside_the_window():
    for method in (DynamicNtk(4), DynamicNtk(4).at(4096)):
        assert np.array_equal(method.frequencies(LLAMA), LLAMA.frequencies)


def test_dynamic_ntk_with_alpha_one_is_ntk_for_the_length():
    assert np.array_equal(DynamicNtk().at(32_768).frequencies(LLAMA), Ntk(8).frequencies(LLAMA))


def test_the_dynamic_oracle_refuses_alpha_as_a_plain_factor():
    with pytest.raises(AssertionError):
        assert_agrees(Ntk(2 * 2).frequencies(LLAMA), frequency_rules.dynamic_ntk(128, 1e4, 4096, 2, 8192), 1e-3)


@given(rope=ropes(least_pairs=1), ratio=st.floats(1.01, 1000))
def test_abf_agrees_with_the_oracle(rope, ratio):
    base = ratio * rope.base
    assert_agrees(Abf(base).frequencies(rope), frequency_rules.plain(rope.head_dim, base))
    assert_agrees(EntropyAbf(base).frequencies(rope), frequency_rules.plain(rope.head_dim, base))


def test_abf_at_its_default_is_the_papers_base_for_llama():
    assert Abf().new_base(LLAMA) == 500_000.0
    stretch = Abf().stretch(LLAMA)
    assert 1 / stretch[32] == pytest.approx(0.1414214, abs=5e-8)
    assert 1 / stretch[32] == pytest.approx(50**-0.5)
    assert 1 / stretch[63] == pytest.approx(0.0212606, abs=5e-8)
    assert stretch[63] == pytest.approx(47.035, abs=5e-4)


def test_the_abf_oracle_refuses_the_prose_of_the_paper():
    """The prose says 50,000."""
    with pytest.raises(AssertionError):
        assert_agrees(Abf(50_000).frequencies(LLAMA), frequency_rules.plain(128, 500_000.0), 1e-3)


def test_granularity_of_abf_is_finer_than_that_of_interpolation():
    """Xiong et al.'s argument: 1 / (ln base + ln 50) against (1 / 4) / ln base."""
    abf = 1 / math.log(Abf().new_base(LLAMA))
    interpolation = 0.25 / math.log(LLAMA.base)
    assert (abf, interpolation) == (pytest.approx(0.0762, abs=5e-5), pytest.approx(0.0271, abs=5e-5))


@given(rope=ropes(least_pairs=1), factor=factors, low=st.floats(0.1, 4), width=st.floats(0.1, 60))
def test_llama3_agrees_with_the_oracle(rope, factor, low, width):
    method = Llama3(factor, low_freq_factor=low, high_freq_factor=low + width)
    expected = frequency_rules.llama3(rope.head_dim, rope.base, rope.trained_length, factor, low, low + width)
    assert_agrees(method.frequencies(rope), expected, tolerance=1e-10)


def test_llama3_is_ntk_by_parts_with_the_printed_ramp():
    parts = NtkByParts(8, beta_fast=4, beta_slow=1, ramp="turns")
    assert np.array_equal(Llama3(8).frequencies(LLAMA), parts.frequencies(LLAMA))


def test_the_llama3_oracle_refuses_a_ramp_upside_down():
    frequencies = LLAMA.frequencies
    expected = frequency_rules.llama3(128, 1e4, 4096, 8, 1, 4)
    upside_down = frequencies * frequencies / 8 / np.asarray(expected)
    with pytest.raises(AssertionError):
        assert_agrees(upside_down, expected, 1e-3)
