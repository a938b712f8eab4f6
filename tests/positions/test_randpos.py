"""RandPos: sorted numbers without replacement, uniform over the target."""

import numpy as np
from oracles.position_draws import surprise

from ropewalk.positions.randpos import RandPos
from ropewalk.sampler import sample_generator


def positions(count, window=8, target_length=64):
    return np.array(
        [
            RandPos().positions(sample_generator(4, number), window=window, target_length=target_length)
            for number in range(count)
        ]
    )


def test_numbers_are_unique_sorted_and_inside_the_target():
    drawn = positions(300, window=256, target_length=2048)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < 2048


def test_every_position_is_equally_probable():
    counts = np.bincount(positions(4000).ravel(), minlength=64).tolist()
    # Without replacement counts vary less than a multinomial's, so the bound is the safer for it.
    assert surprise(counts, [1 / 64] * 64) < 4


def test_the_first_position_follows_the_law_of_the_least_of_a_set():
    """P(first = m) = C(63 - m, 7) / C(64, 8)."""
    law, rest = [], 1.0
    for m in range(57):
        here = rest * 8 / (64 - m)  # the chance that m is in the set when no smaller number is
        law.append(here)
        rest -= here
    counts = np.bincount(positions(4000)[:, 0], minlength=57).tolist()
    assert surprise(counts, law) < 4
    assert surprise(counts, [1 / 57] * 57) > 4


def test_the_mean_gap_is_the_factor():
    gaps = np.diff(positions(400, window=256, target_length=2048), axis=1)
    assert abs(gaps.mean() - 2049 / 257) < 0.05


def test_with_replacement_the_law_of_the_least_is_broken():
    rng = np.random.default_rng(0)
    first = np.sort(rng.integers(0, 64, size=(20_000, 8)), axis=1)[:, 0]
    law, rest = [], 1.0
    for m in range(57):
        law.append(rest * 8 / (64 - m))
        rest -= law[-1]
    assert surprise(np.bincount(first, minlength=57)[:57].tolist(), law) > 4
