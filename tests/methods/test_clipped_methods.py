"""CoPE, HardClip, p-RoPE, Giraffe and DroPE: which pairs slow down or stop, against oracles and released code."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors, ropes
from oracles import clipped_rules, frequency_rules
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ropewalk.methods.abf import Abf
from ropewalk.methods.cope import Cope
from ropewalk.methods.drope import Drope
from ropewalk.methods.giraffe import Giraffe
from ropewalk.methods.hard_clip import HardClip
from ropewalk.methods.p_rope import PRope
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

LLAMA_3 = Rope(head_dim=128, base=500_000.0, trained_length=8192)


def plain(rope):
    return frequency_rules.plain(rope.head_dim, rope.base)


@given(rope=ropes(), share=st.floats(0, 1))
def test_cope_agrees_with_the_oracle(rope, share):
    clipped = int(share * rope.pairs)
    expected = clipped_rules.cope(plain(rope), clipped)
    np.testing.assert_allclose(
        Cope(clipped_pairs=clipped).frequencies(rope), expected, rtol=1e-9, atol=1e-16 * rope.frequencies[-1]
    )


def test_cope_clips_twenty_of_the_sixty_four_pairs_of_its_released_code():
    stretch = Cope().stretch(LLAMA_3)
    assert (stretch[:45] == 1).all()
    assert 1 < stretch[45] < 1.01
    assert 1 / stretch[50] == pytest.approx(0.5 * (1 + np.cos(6 * np.pi / 19)))
    assert np.isinf(stretch[63])
    assert np.array_equal(Cope(clipped_pairs=20).frequencies(LLAMA_3), Cope().frequencies(LLAMA_3))


def test_cope_lies_over_a_larger_base_as_in_the_paper_and_over_a_finished_yarn():
    taper = Cope().frequencies(LLAMA_3) / LLAMA_3.frequencies
    assert_agrees(Cope(over="abf").frequencies(LLAMA_3), Abf().frequencies(LLAMA_3) * taper)
    assert_agrees(Cope(8, over="yarn").frequencies(LLAMA_3), Yarn(8).frequencies(LLAMA_3) * taper)
    where = np.array([0, 9000])
    assert np.array_equal(
        Cope(8, over="yarn").attention_scale(LLAMA_3, where, 3), Yarn(8).attention_scale(LLAMA_3, where, 3)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda before: clipped_rules.cope(before, 21),
        lambda before: clipped_rules.hard_clip(before, 20),
        lambda before: [*before[:44], *(f * (1 - t / 19) for t, f in enumerate(before[44:]))],  # a straight taper
        lambda before: [*before[:44], *(f * np.cos(np.pi * t / 40) for t, f in enumerate(before[44:]))],  # no square
    ],
)
def test_the_cope_oracle_refuses_other_tapers(wrong):
    expected = clipped_rules.cope(plain(LLAMA_3), 20)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(wrong(plain(LLAMA_3)), expected, rtol=1e-3, atol=1e-12)


@given(rope=ropes(), share=st.floats(0, 1))
def test_hard_clip_agrees_with_the_oracle(rope, share):
    clipped = int(share * rope.pairs)
    assert_agrees(HardClip(clipped_pairs=clipped).frequencies(rope), clipped_rules.hard_clip(plain(rope), clipped))


@given(rope=ropes(), kept_fraction=st.floats(0.01, 1))
def test_p_rope_agrees_with_the_oracle(rope, kept_fraction):
    assume(abs(kept_fraction * rope.pairs - round(kept_fraction * rope.pairs)) > 1e-9)
    assert_agrees(
        PRope(kept_fraction=kept_fraction).frequencies(rope), clipped_rules.p_rope(plain(rope), kept_fraction)
    )


@settings(max_examples=40)
@given(rope=ropes(), kept_fraction=st.floats(0.01, 1), factor=factors)
def test_p_rope_over_linear_is_the_proportional_type_of_transformers(rope, kept_fraction, factor):
    config = LlamaConfig(
        hidden_size=rope.head_dim,
        num_attention_heads=1,
        head_dim=rope.head_dim,
        rope_parameters={
            "rope_type": "proportional",
            "rope_theta": rope.base,
            "factor": factor,
            "partial_rotary_factor": kept_fraction,
        },
    )
    theirs, attention_factor = ROPE_INIT_FUNCTIONS["proportional"](config, "cpu")
    ours = PRope(factor, over="linear", kept_fraction=kept_fraction)
    np.testing.assert_allclose(ours.frequencies(rope), theirs.double().numpy(), rtol=4e-5)
    assert ours.attention_scale(rope, np.array([5]), 0)[0] == attention_factor == 1


def test_p_rope_is_hard_clip_counted_from_the_other_end():
    half = HardClip(clipped_pairs=32).frequencies(LLAMA_3)
    assert np.array_equal(PRope(kept_fraction=0.5).frequencies(LLAMA_3), half)


@given(rope=ropes(), turns=st.floats(0.1, 10))
def test_giraffes_truncated_basis_agrees_with_the_oracle(rope, turns):
    length = turns * rope.trained_length
    near = rope.wavelengths[:, None] / (length * np.array([1.0, 8.0]))
    assume(np.abs(near - 1).min() > 1e-9)
    expected = clipped_rules.giraffe_truncated(plain(rope), length)
    assert_agrees(Giraffe(cutoff_length=length).frequencies(rope), expected)


@given(rope=ropes(), power=st.floats(0, 4))
def test_giraffes_power_basis_agrees_with_the_oracle(rope, power):
    expected = clipped_rules.giraffe_power(plain(rope), power)
    assert_agrees(Giraffe(basis="power", power=power).frequencies(rope), expected, 1e-10)


def test_giraffe_truncates_the_pairs_of_llama_as_counted_by_hand():
    """Wavelengths of pairs 46 to 63 exceed 4,096 tokens, those of 60 to 63 exceed 32,768."""
    rope = Rope(head_dim=128, base=10_000.0, trained_length=4096)
    frequencies = Giraffe().frequencies(rope)
    assert np.array_equal(frequencies[:46], rope.frequencies[:46])
    assert set(2 * np.pi / frequencies[46:60]) == {65_536.0}
    assert (frequencies[60:] == 0).all()


def test_giraffe_thresholds_follow_the_frequencies_that_it_lies_over():
    rope = Rope(head_dim=128, base=10_000.0, trained_length=4096)
    expected = clipped_rules.giraffe_truncated(frequency_rules.linear(128, 1e4, 4), 4096)
    assert_agrees(Giraffe(4, over="linear").frequencies(rope), expected)


@pytest.mark.parametrize("wrong", [{"cutoff_length": 2048}, {"basis": "power"}, {"over": "abf"}])
def test_the_giraffe_oracle_refuses_other_settings(wrong):
    rope = Rope(head_dim=128, base=10_000.0, trained_length=4096)
    with pytest.raises(AssertionError):
        assert_agrees(Giraffe(**wrong).frequencies(rope), clipped_rules.giraffe_truncated(plain(rope), 4096), 1e-3)


@given(rope=ropes(least_pairs=1), scale=st.floats(0.1, 4))
def test_drope_stops_every_pair_and_scales_every_query_alike(rope, scale):
    assert Drope().frequencies(rope).tolist() == [0.0] * rope.pairs
    assert Drope(logit_scale=scale).attention_scale(rope, np.array([0, 10**6]), 7).tolist() == [scale] * 2
