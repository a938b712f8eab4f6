"""YaRN: NTK-by-parts' frequencies, and the square of 0.1 ln s + 1 on logits."""

import numpy as np
import pytest
from hypothesis import given
from methods.geometries import assert_agrees, factors
from oracles import logit_scales

from ropewalk.methods.ntk_by_parts import NtkByParts
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
SOMEWHERE = np.array([[0, 100], [4096, 32_767]])


@pytest.mark.parametrize("ramp", ["index", "turns", "revised"])
@pytest.mark.parametrize("truncate", [True, False])
def test_yarn_has_the_frequencies_of_ntk_by_parts(ramp, truncate):
    ours = Yarn(8, beta_fast=20, beta_slow=2, ramp=ramp, truncate=truncate).frequencies(LLAMA)
    assert np.array_equal(ours, NtkByParts(8, 20, 2, ramp, truncate).frequencies(LLAMA))


def test_golden_frequencies_at_sixteen_times():
    frequencies = Yarn(16).frequencies(LLAMA)
    assert frequencies[33] == pytest.approx(0.004600435, rel=1e-6)
    assert frequencies[63] == pytest.approx(7.217387e-6, rel=1e-6)


@given(factor=factors)
def test_the_scale_agrees_with_the_oracle_everywhere(factor):
    scale = Yarn(factor).attention_scale(LLAMA, SOMEWHERE, layer=5)
    assert_agrees(scale, np.full((2, 2), logit_scales.yarn(factor)))


@pytest.mark.parametrize(
    ("factor", "attention_factor"),
    [(1, 1.0), (2, 1.0693147), (4, 1.1386294), (8, 1.2079442), (16, 1.2772589), (32, 1.3465736), (64, 1.4158883)],
)
def test_golden_scales_are_squares(factor, attention_factor):
    scale = Yarn(factor).attention_scale(LLAMA, np.array([0]), 0)[0]
    assert np.sqrt(scale) == pytest.approx(attention_factor, abs=5e-8)


def test_golden_logit_factors():
    assert Yarn(8).attention_scale(LLAMA, np.array([0]), 0)[0] == pytest.approx(1.4591291, abs=5e-8)
    assert Yarn(16).attention_scale(LLAMA, np.array([0]), 0)[0] == pytest.approx(1.6313902, abs=5e-8)


def test_a_given_attention_factor_replaces_the_papers():
    assert Yarn(8, attention_factor=1.1).attention_scale(LLAMA, np.array([0]), 0)[0] == pytest.approx(1.21)


def test_the_oracle_refuses_a_forgotten_square():
    with pytest.raises(AssertionError):
        assert_agrees(np.sqrt(Yarn(8).attention_scale(LLAMA, np.array([0]), 0)), [logit_scales.yarn(8)], 1e-3)
