"""Covered distances against counting them pair by pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import position_draws

from ropewalk import positions
from ropewalk.analysis import coverage as module
from ropewalk.analysis.coverage import coverage, covered_intervals
from ropewalk.positions.contiguous import Contiguous
from ropewalk.positions.cream import Cream
from ropewalk.positions.pose import Pose
from ropewalk.sampler import sample_generator


def unfolded(intervals):
    return {distance for first, last in intervals for distance in range(first, last + 1)}


@given(numbers=st.sets(st.integers(0, 400), min_size=1, max_size=60))
def test_intervals_hold_the_distances_of_every_pair(numbers):
    ordered = np.array(sorted(numbers), dtype=np.int64)
    assert unfolded(covered_intervals(ordered)) == position_draws.distances(ordered.tolist())


@given(seed=st.integers(0, 2**32))
def test_many_runs_are_counted_by_the_transform_alike(seed):
    rng = np.random.default_rng(seed)
    ordered = np.sort(rng.choice(3000, size=200, replace=False))
    assert (np.diff(ordered) != 1).sum() >= module.MOST_RUNS
    assert unfolded(covered_intervals(ordered)) == position_draws.distances(ordered.tolist())


def test_intervals_ascend_and_do_not_touch():
    for number in range(50):
        drawn = Cream().positions(sample_generator(0, number), window=256, target_length=2048)
        intervals = covered_intervals(drawn)
        assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(intervals))


def test_the_count_refuses_intervals_that_forget_one_end():
    drawn = np.array([0, 1, 10, 11, 12])
    wrong = [(1, 2), (9, 11)]
    assert unfolded(wrong) != position_draws.distances(drawn.tolist())
    assert unfolded(covered_intervals(drawn)) == position_draws.distances(drawn.tolist())


@pytest.mark.parametrize("name", positions.names())
def test_probabilities_are_shares_of_windows(name):
    sampler = positions.get(name)()
    found = coverage(sampler, window=40, target_length=90, draws=30, seed=3)
    counts = np.zeros(90)
    for number in range(30):
        drawn = sampler.positions(sample_generator(3, number), window=40, target_length=90)
        for distance in position_draws.distances(drawn.tolist()):
            counts[distance] += 1
    assert found.probability.tolist() == (counts[1:] / 30).tolist()
    assert found.mean == pytest.approx(counts[1:].mean() / 30)
    assert found.ever == (counts[1:] > 0).mean()


def test_a_contiguous_window_as_long_as_the_target_covers_all():
    assert coverage(Contiguous(), window=64, target_length=64, draws=3).mean == 1.0


def test_cream_always_covers_the_farthest_distance_and_pose_almost_never():
    sizes = {"window": 256, "target_length": 2048, "draws": 300}
    assert coverage(Cream(), **sizes).probability[-1] == 1.0
    assert coverage(Pose(), **sizes).probability[-1] < 0.02


def test_bands_are_equal_and_complete():
    found = coverage(Pose(), window=256, target_length=2048, draws=20)
    bands = found.bands()
    assert (bands[0][0], bands[-1][1], len(bands)) == (1, 2047, 8)
    assert all(following[0] == band[1] + 1 for band, following in itertools.pairwise(bands))
    weights = [last - first + 1 for first, last, _ in bands]
    assert np.average([share for *_, share in bands], weights=weights) == pytest.approx(found.mean)
    assert len(coverage(Contiguous(), window=4, target_length=4, draws=1).bands()) == 3
