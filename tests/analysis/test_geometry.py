"""The critical dimension and the base bound against their papers and a plain sum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropewalk.analysis.geometry import FIT, base_bound, critical_dimension, discrimination, reach
from ropewalk.rope import Rope


def plain_sum(base: float, head_dim: int, distance: int) -> float:
    return math.fsum(math.cos(distance * base ** (-2 * pair / head_dim)) for pair in range(head_dim // 2))


def test_the_critical_dimension_of_llama_2_is_the_papers_92():
    """arXiv:2310.05209, section 3.3: 92 of 128 for Llama 2 with its window of 4,096."""
    assert critical_dimension(Rope(head_dim=128, base=10_000.0, trained_length=4096)) == 92


def test_all_dimensions_before_the_critical_one_complete_a_turn_and_none_after_it():
    for rope in (Rope(128, 10_000.0, 4096), Rope(64, 500.0, 256), Rope(128, 500_000.0, 8192)):
        turned = int((rope.turns >= 1).sum())
        assert critical_dimension(rope) == 2 * turned


def test_a_window_of_few_tokens_or_many_keeps_the_critical_dimension_inside_the_head():
    assert critical_dimension(Rope(64, 10_000.0, 4)) == 0
    assert critical_dimension(Rope(64, 10.0, 4096)) == 64


def test_the_discrimination_is_the_plain_sum():
    rope = Rope(64, 500.0, 256)
    distances = np.array([0, 1, 17, 256, 2047])
    expected = [plain_sum(500.0, 64, int(distance)) for distance in distances]
    assert discrimination(rope.frequencies, distances) == pytest.approx(expected)
    assert discrimination(rope.frequencies, np.zeros(1))[0] == 32


def test_the_reach_ends_right_before_the_first_negative_sum():
    rope = Rope(64, 500.0, 256)
    found = reach(rope.frequencies, 100_000)
    assert 0 < found < 100_000
    assert min(plain_sum(500.0, 64, distance) for distance in range(1, found + 1)) >= 0
    assert plain_sum(500.0, 64, found + 1) < 0
    assert reach(rope.frequencies, found) == found, "it never looks farther than it is asked to"


@pytest.mark.parametrize("length", [1024, 4096, 32_768])
def test_the_base_bound_is_where_every_distance_up_to_the_window_keeps_its_preference(length):
    bound = base_bound(128, length)
    frequencies = bound ** (-np.arange(64) / 64)
    assert reach(frequencies, length) == length
    below = (bound * 0.97) ** (-np.arange(64) / 64)
    assert reach(below, length) < length, "a base a little below does not reach"
    fitted = FIT[0] * length ** FIT[1]
    assert 0.4 < bound / fitted < 2.5, "the paper's fit is that close to its own points"


def test_a_window_beyond_what_is_scanned_takes_the_papers_fit():
    assert base_bound(128, 10_000_000) == pytest.approx(FIT[0] * 1e7 ** FIT[1])
