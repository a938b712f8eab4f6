"""Staircase and scalable softmax: what logits are multiplied by, by position."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees
from oracles import logit_scales
from transformers.models.ministral3.modeling_ministral3 import get_llama_4_attn_scale

from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.methods.ntk_by_parts import NtkByParts
from ropewalk.methods.ssmax import Ssmax
from ropewalk.methods.staircase import Staircase
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
POSITIONS = np.array([0, 4094, 4095, 4096, 8191, 8192, 100_000])


@given(
    position=st.integers(0, 10**5),
    beta=st.floats(0.01, 1),
    step_length=st.integers(100, 20_000),
    offset=st.sampled_from([0, 1]),
)
def test_the_staircase_agrees_with_the_oracle(position, beta, step_length, offset):
    method = Staircase(beta=beta, step_length=step_length, offset=offset)
    scale = method.attention_scale(LLAMA, np.array([position]), 5)
    assert_agrees(scale, [logit_scales.staircase(position, beta, step_length, offset)])


def test_the_staircase_is_what_ministral_3_multiplies_queries_by():
    theirs = get_llama_4_attn_scale(torch.from_numpy(POSITIONS)[None], 0.1, 4096)[0, 0, :, 0]
    assert_agrees(Staircase().attention_scale(LLAMA, POSITIONS, 0), theirs.double().numpy(), 1e-6)


@pytest.mark.parametrize(
    ("position", "offset", "scale"),
    [(4095, 0, 1.0), (4096, 0, 1.0693147), (4095, 1, 1.0693147), (8192, 0, 1.1098612), (32_768, 0, 1.2197225)],
)
def test_golden_steps(position, offset, scale):
    ours = Staircase(offset=offset).attention_scale(LLAMA, np.array([position]), 0)[0]
    assert ours == pytest.approx(scale, abs=5e-8)


def test_the_trained_window_is_left_alone_bit_for_bit():
    assert Staircase().attention_scale(LLAMA, np.arange(4096), 0).tolist() == [1.0] * 4096


def test_with_beta_of_one_by_ln_l_the_steps_touch_entropy_abf_at_whole_windows():
    steps = Staircase(beta=1 / math.log(4096)).attention_scale(LLAMA, 4096 * np.arange(1, 9) - 1, 2)
    curve = EntropyAbf().attention_scale(LLAMA, 4096 * np.arange(1, 9) - 1, 2)
    assert_agrees(steps, curve)


def test_a_scale_lies_over_the_frequencies_and_the_scale_of_another_method():
    for cls in (Staircase, Ssmax):
        over = cls(8, over="yarn")
        assert np.array_equal(over.frequencies(LLAMA), NtkByParts(8).frequencies(LLAMA))
        product = cls().attention_scale(LLAMA, POSITIONS, 3) * Yarn(8).attention_scale(LLAMA, POSITIONS, 3)
        assert_agrees(over.attention_scale(LLAMA, POSITIONS, 3)[1:], product[1:])
        assert over.stretch_bound(LLAMA) == 8


@given(position=st.integers(1, 10**7), strength=st.floats(0.01, 2))
def test_scalable_softmax_agrees_with_the_oracle(position, strength):
    scale = Ssmax(strength=strength).attention_scale(LLAMA, np.array([position]), 5)
    assert_agrees(scale, [logit_scales.scalable_softmax(position + 1, strength)])


def test_at_its_default_scalable_softmax_is_entropy_abf_without_the_floor_of_one():
    ours, theirs = (method.attention_scale(LLAMA, POSITIONS, 2) for method in (Ssmax(), EntropyAbf()))
    assert_agrees(np.maximum(ours, 1.0), theirs)
    assert ours[0] == 0
    assert Ssmax().attention_scale(LLAMA, np.array([63]), 0)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda position: 1 + 0.1 * math.log(1 + position / 4096),  # no steps
        lambda position: 1 + 0.1 * math.log(max(1, position // 4096)),  # one window late
        lambda position: 1 + 0.1 * math.log2(1 + position // 4096),
        lambda position: (1 + 0.1 * math.log(1 + position // 4096)) ** 2,  # on query and key
    ],
)
def test_the_staircase_oracle_refuses_other_stairs(wrong):
    positions = (0, 5000, 8192, 40_000)
    expected = [logit_scales.staircase(position, 0.1, 4096, 0) for position in positions]
    with pytest.raises(AssertionError):
        assert_agrees([wrong(position) for position in positions], expected, 1e-4)


@pytest.mark.parametrize("wrong", [lambda keys: math.log(keys - 1), lambda keys: math.log(keys + 1), math.log2])
def test_the_softmax_oracle_refuses_other_counts_and_logarithms(wrong):
    with pytest.raises(AssertionError):
        assert_agrees([wrong(keys) for keys in (2, 9, 50)], [logit_scales.scalable_softmax(k, 1) for k in (2, 9, 50)])
