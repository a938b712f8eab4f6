"""Which pairs complete a turn, and which meet angles that training never showed."""

import numpy as np
import pytest

from ropewalk import methods
from ropewalk.analysis.pairs import incomplete_pairs, pairs_beyond_training, wavelengths
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)


def test_incomplete_pairs_are_those_counted_by_hand():
    assert incomplete_pairs(LLAMA.frequencies, 4096).tolist() == list(range(46, 64))
    assert len(incomplete_pairs(LLAMA.frequencies, 16_384)) == 9


def test_a_pair_that_stands_still_has_no_wavelength():
    assert wavelengths(np.array([np.pi, 0.0])).tolist() == [2.0, np.inf]
    assert incomplete_pairs(np.array([np.pi, 0.0]), 10**9).tolist() == [1]


@pytest.mark.parametrize("name", ["linear", "cream", "yarn", "ntk-by-parts", "llama3"])
def test_a_full_stretch_of_slow_pairs_shows_no_new_angle(name):
    frequencies = methods.get(name).for_target(LLAMA, 32_768).frequencies(LLAMA)
    assert pairs_beyond_training(LLAMA, frequencies, 32_768).tolist() == []


def test_no_method_shows_new_angles_in_every_incomplete_pair():
    assert pairs_beyond_training(LLAMA, LLAMA.frequencies, 32_768).tolist() == list(range(46, 64))
    assert pairs_beyond_training(LLAMA, LLAMA.frequencies, 4096).tolist() == []


def test_ntk_shows_new_angles_in_all_but_the_slowest_pair():
    """Why its window ends before the factor says."""
    frequencies = methods.get("ntk").for_target(LLAMA, 32_768).frequencies(LLAMA)
    assert pairs_beyond_training(LLAMA, frequencies, 32_768).tolist() == list(range(46, 63))


def test_a_factor_that_is_too_small_is_seen():
    frequencies = methods.get("linear").for_target(LLAMA, 16_384).frequencies(LLAMA)
    assert pairs_beyond_training(LLAMA, frequencies, 32_768).tolist() == list(range(46, 64))
