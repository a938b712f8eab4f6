"""Every rope type of transformers has a method with the same frequencies and the same scale, on random geometries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from methods.geometries import factors, ropes
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from ropewalk.methods.dynamic_ntk import DynamicNtk
from ropewalk.methods.linear import Linear
from ropewalk.methods.llama3 import Llama3
from ropewalk.methods.longrope import LongRope
from ropewalk.methods.none import Unchanged
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

# transformers computes in float32: exponents up to ln(1e8) = 18 carry an error of 18 x 6e-8, ramps of 6e-8 x factor.
TOLERANCE = 4e-5
quick = settings(max_examples=40)


def config(rope, rope_type, *, max_positions=None, **parameters):
    return LlamaConfig(
        hidden_size=rope.head_dim,
        num_attention_heads=1,
        head_dim=rope.head_dim,
        max_position_embeddings=max_positions or 8 * rope.trained_length,
        rope_parameters={"rope_type": rope_type, "rope_theta": rope.base, **parameters},
    )


def theirs(rope, rope_type, *, length=None, max_positions=None, **parameters):
    """Frequencies, and what logits are multiplied by: the square of what cos and sin are."""
    settings_ = config(rope, rope_type, max_positions=max_positions, **parameters)
    frequencies, attention_factor = ROPE_INIT_FUNCTIONS[rope_type](settings_, "cpu", seq_len=length)
    return frequencies.double().numpy(), attention_factor**2


def assert_same(method, rope, expected, tolerance=TOLERANCE):
    frequencies, scale = expected
    np.testing.assert_allclose(method.frequencies(rope), frequencies, rtol=tolerance)
    np.testing.assert_allclose(method.attention_scale(rope, np.array([0, 10**6]), 7), scale, rtol=1e-12)


def test_no_rope_type_is_left_out():
    compared = {"linear", "dynamic", "yarn", "longrope", "llama3", "proportional"}
    assert set(ROPE_INIT_FUNCTIONS) == compared


@quick
@given(rope=ropes())
def test_default(rope):
    module = LlamaRotaryEmbedding(config(rope, "default"))
    assert_same(Unchanged(), rope, (module.inv_freq.double().numpy(), module.attention_scaling**2))


@quick
@given(rope=ropes(), factor=factors)
def test_linear(rope, factor):
    assert_same(Linear(factor), rope, theirs(rope, "linear", factor=factor))


@quick
@given(rope=ropes(), factor=factors)
def test_proportional_over_the_whole_head_is_linear(rope, factor):
    """With a smaller share of the head it is p-RoPE: see test_clipped_methods."""
    assert_same(Linear(factor), rope, theirs(rope, "proportional", factor=factor))


@quick
@given(rope=ropes(), alpha=st.floats(1, 16), growth=st.floats(0.5, 64))
def test_dynamic(rope, alpha, growth):
    length = max(1, int(growth * rope.trained_length))
    expected = theirs(rope, "dynamic", factor=alpha, length=length, max_positions=rope.trained_length)
    assert_same(DynamicNtk(alpha).at(length), rope, expected)


@quick
@given(
    rope=ropes(),
    factor=factors,
    ends=st.tuples(st.integers(2, 64), st.floats(0.25, 1.5)),
    truncate=st.booleans(),
    attention_factor=st.none() | st.floats(0.5, 2),
)
def test_yarn(rope, factor, ends, truncate, attention_factor):
    fast, slow = ends
    given_factor = {} if attention_factor is None else {"attention_factor": attention_factor}
    expected = theirs(
        rope,
        "yarn",
        factor=factor,
        original_max_position_embeddings=rope.trained_length,
        beta_fast=fast,
        beta_slow=slow,
        truncate=truncate,
        **given_factor,
    )
    method = Yarn(factor, beta_fast=fast, beta_slow=slow, truncate=truncate, attention_factor=attention_factor)
    assert_same(method, rope, expected)


def test_yarn_with_the_two_scales_of_deepseek_is_yarn_with_their_ratio():
    rope = Rope(head_dim=64, base=10_000.0, trained_length=4096)
    expected = theirs(
        rope, "yarn", factor=40.0, original_max_position_embeddings=4096, mscale=1.0, mscale_all_dim=0.707
    )
    ratio = (0.1 * np.log(40) + 1) / (0.0707 * np.log(40) + 1)
    assert_same(Yarn(40, attention_factor=ratio), rope, expected)


@quick
@given(rope=ropes(), factor=factors, data=st.data())
def test_longrope(rope, factor, data):
    stretch = data.draw(st.lists(st.floats(0.9, 130), min_size=rope.pairs, max_size=rope.pairs))
    expected = theirs(
        rope,
        "longrope",
        length=rope.trained_length + 1,
        factor=factor,
        original_max_position_embeddings=rope.trained_length,
        short_factor=[1.0] * rope.pairs,
        long_factor=stretch,
    )
    assert_same(LongRope(factor, factors=tuple(stretch)), rope, expected)


@quick
@given(rope=ropes(), factor=factors, low=st.floats(0.5, 4), width=st.floats(0.5, 60))
def test_llama3(rope, factor, low, width):
    expected = theirs(
        rope,
        "llama3",
        factor=factor,
        original_max_position_embeddings=rope.trained_length,
        low_freq_factor=low,
        high_freq_factor=low + width,
    )
    assert_same(Llama3(factor, low_freq_factor=low, high_freq_factor=low + width), rope, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        Yarn(8, ramp="turns"),
        Yarn(8, ramp="revised"),
        Yarn(8, truncate=False),
        Yarn(8, beta_fast=31),
        Yarn(8.01),
        Yarn(8, attention_factor=0.1 * np.log(8) + 1.001),
    ],
    ids=lambda method: str(method.options),
)
def test_the_judge_refuses_a_wrong_yarn(wrong):
    rope = Rope(head_dim=128, base=10_000.0, trained_length=4096)
    expected = theirs(rope, "yarn", factor=8.0, original_max_position_embeddings=4096)
    assert_same(Yarn(8), rope, expected)
    with pytest.raises(AssertionError):
        assert_same(wrong, rope, expected)
