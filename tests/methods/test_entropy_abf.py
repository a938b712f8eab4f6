"""Entropy-ABF's scale: ln n / ln L beyond the window, exactly 1 before it and in the exempt layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods.geometries import assert_agrees
from oracles import logit_scales

from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.rope import Rope


def rope(trained_length):
    return Rope(head_dim=128, base=10_000.0, trained_length=trained_length)


@given(
    position=st.integers(0, 10**7),
    layer=st.integers(0, 80),
    trained_length=st.integers(2, 10**6),
    exempt_layers=st.integers(0, 4),
)
def test_the_scale_agrees_with_the_oracle(position, layer, trained_length, exempt_layers):
    method = EntropyAbf(exempt_layers=exempt_layers)
    scale = method.attention_scale(rope(trained_length), np.array([position]), layer)
    assert_agrees(scale, [logit_scales.entropy_abf(position, layer, trained_length, exempt_layers)])


@pytest.mark.parametrize(
    ("trained_length", "counted", "scale"),
    [
        (4096, 4097, 1.00002935),
        (4096, 6144, 1.0487469),
        (4096, 8192, 13 / 12),
        (4096, 12_288, 1.1320802),
        (4096, 16_384, 7 / 6),
        (4096, 32_768, 5 / 4),
        (4096, 65_536, 4 / 3),
        (2048, 4096, 12 / 11),
        (2048, 16_384, 14 / 11),
    ],
)
def test_golden_scales(trained_length, counted, scale):
    ours = EntropyAbf().attention_scale(rope(trained_length), np.array([counted - 1]), layer=2)
    assert ours[0] == pytest.approx(scale, abs=1e-7)


def test_the_scale_is_exactly_one_up_to_the_window():
    for trained_length in (7, 256, 4096, 100_003):
        inside = EntropyAbf().attention_scale(rope(trained_length), np.arange(trained_length), layer=31)
        assert inside.tolist() == [1.0] * trained_length
        assert EntropyAbf().attention_scale(rope(trained_length), np.array([trained_length]), 31)[0] > 1


def test_the_first_two_layers_are_exempt_and_the_third_is_not():
    far = np.array([32_767])
    assert [float(EntropyAbf().attention_scale(rope(4096), far, layer)[0]) for layer in (0, 1, 2)] == [1, 1, 1.25]


def test_no_exempt_layers_scale_all_as_the_released_code_does():
    assert EntropyAbf(exempt_layers=0).attention_scale(rope(4096), np.array([32_767]), 0)[0] == 1.25


def test_the_scale_is_never_rounded_to_a_model_dtype():
    """bfloat16 would make 13/12 = 1.0833 into 1.0859."""
    ours = EntropyAbf().attention_scale(rope(4096), np.array([8191], dtype=np.int64), 2)
    assert ours.dtype == np.float64
    assert abs(ours[0] - 1.0859375) > 0.002


@pytest.mark.parametrize(
    "wrong",
    [
        lambda position: max(np.log(position) / np.log(4096), 1),  # positions from 0
        lambda position: max(np.log(position + 1) / np.log(4096), 1) ** 2,  # on query and key
        lambda position: np.log(position + 1) / np.log(4096),  # not cut at 1
        lambda position: max(np.log2(position + 1) / np.log(4096), 1),  # another logarithm below
    ],
)
def test_the_oracle_refuses_wrong_scales(wrong):
    positions = (100, 4096, 8191, 32_767)
    expected = [logit_scales.entropy_abf(position, 2, 4096, 2) for position in positions]
    with pytest.raises(AssertionError):
        assert_agrees([wrong(position) for position in positions], expected, 1e-6)
