"""PoSE: one cut, one skip, uniform; the paper's coverage of distances; the released code's shorter first chunk."""

import numpy as np
import pytest
from oracles.position_draws import distances, surprise

from ropewalk.analysis.coverage import covered_intervals
from ropewalk.errors import OptionError
from ropewalk.positions.pose import Pose
from ropewalk.sampler import sample_generator


def draws(count, sampler=None, window=64, target_length=512, available=1000):
    sampler = sampler or Pose()
    return [
        sampler.draw(sample_generator(9, number), window=window, target_length=target_length, available=available)
        for number in range(count)
    ]


def cut(numbers):
    """Length of the first chunk, or None without a skip."""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    assert len(breaks) <= 1
    return int(breaks[0]) + 1 if len(breaks) else None


@pytest.mark.parametrize("released_code", [False, True])
def test_a_window_is_two_chunks_that_begin_at_zero(released_code):
    for draw in draws(500, Pose(released_code)):
        skip = int(draw.positions[-1]) - 63
        assert draw.positions[0] == 0
        assert 0 <= skip <= 512 - 64
        assert (cut(draw.positions) is None) == (skip == 0)


def test_text_and_positions_are_cut_at_the_same_place():
    for draw in draws(500):
        cuts = {cut(draw.positions), cut(draw.text)} - {None}
        assert len(cuts) <= 1
        assert draw.text[0] == 0


@pytest.mark.parametrize(("released_code", "longest"), [(False, 63), (True, 32)])
def test_the_first_chunk_is_uniform_up_to_its_limit(released_code, longest):
    # A position skip of 0 would hide the cut; over a far target it is rare, and the text shows the cut too.
    cuts = [cut(draw.positions) or cut(draw.text) for draw in draws(6000, Pose(released_code))]
    counts = np.bincount([c for c in cuts if c is not None], minlength=64)[1:].tolist()
    law = [1 / longest] * longest + [0.0] * (63 - longest)
    assert sum(counts[longest:]) == 0
    assert surprise(counts[:longest], law[:longest]) < 4


def test_the_released_split_is_not_the_papers():
    cuts = [cut(draw.text) for draw in draws(6000, Pose(released_code=True))]
    counts = np.bincount([c for c in cuts if c is not None], minlength=64)[1:].tolist()
    assert surprise(counts, [1 / 63] * 63) > 4


@pytest.mark.parametrize(("numbers", "limit"), [("positions", 449), ("text", 937)])
def test_skips_are_uniform(numbers, limit):
    skips = [int(getattr(draw, numbers)[-1]) - 63 for draw in draws(6000)]
    counts = np.histogram(skips, bins=np.linspace(0, limit, 8))[0].tolist()
    assert surprise(counts, [1 / 7] * 7) < 4
    assert max(skips) <= limit - 1


def test_the_released_code_reads_five_windows_of_a_document():
    assert max(int(draw.text[-1]) for draw in draws(2000, Pose(released_code=True), available=5000)) == 5 * 64 - 1
    assert max(int(draw.text[-1]) for draw in draws(2000, available=5000)) > 4500


def test_distances_between_the_chunks_are_those_of_the_skip_alone():
    for draw in draws(60, window=20, target_length=90):
        skip = int(draw.positions[-1]) - 19
        length = cut(draw.positions)
        if length is not None:
            between = {int(b - a) for a in draw.positions[:length] for b in draw.positions[length:]}
            assert between == set(range(skip + 1, skip + 20))


@pytest.mark.parametrize(("window", "target_length", "covered"), [(2048, 16_384, 0.142777), (4096, 32_768, 0.142817)])
def test_middle_distances_are_covered_as_often_as_counted(window, target_length, covered):
    expected = (window - 1) / (target_length - window + 1)
    assert expected == pytest.approx(covered, abs=1e-6)
    distance = target_length // 2
    hits = [
        any(first <= distance <= last for first, last in covered_intervals(draw.positions))
        for draw in draws(3000, window=window, target_length=target_length, available=window)
    ]
    assert surprise([sum(hits), 3000 - sum(hits)], [expected, 1 - expected]) < 4
    assert surprise([sum(hits), 3000 - sum(hits)], [1.3 * expected, 1 - 1.3 * expected]) > 4


def test_the_farthest_distance_is_almost_never_covered():
    farthest = sum(511 in distances(draw.positions.tolist()) for draw in draws(500))
    assert farthest <= 6  # 1 in 449


def test_a_window_of_one_token_cannot_be_cut():
    with pytest.raises(OptionError, match="pose needs a window of at least 2 tokens, because it cuts it in two; got 1"):
        Pose().positions(sample_generator(0, 0), window=1, target_length=8)
