"""Contiguous windows count, and begin anywhere in a document."""

import numpy as np
import pytest
from oracles.position_draws import surprise

from ropewalk.positions.contiguous import Contiguous
from ropewalk.sampler import sample_generator


def draws(count, **sizes):
    return [Contiguous().draw(sample_generator(11, number), **sizes) for number in range(count)]


def test_positions_count_whatever_the_text():
    for draw in draws(50, window=128, target_length=128, available=4000):
        assert np.array_equal(draw.positions, np.arange(128))
        assert np.array_equal(draw.text, draw.text[0] + np.arange(128))


def test_a_control_may_train_below_the_target():
    assert Contiguous().trains_at_target
    assert draws(1, window=64, target_length=512, available=64)[0].positions.tolist() == list(range(64))


def test_windows_begin_anywhere_with_equal_probability():
    begins = [int(draw.text[0]) for draw in draws(5000, window=10, target_length=10, available=59)]
    counts = np.bincount(begins, minlength=50).tolist()
    assert len(counts) == 50
    assert surprise(counts, [1 / 50] * 50) < 4
    assert surprise(counts, [1 / 100] * 25 + [3 / 100] * 25) > 4  # the test sees a law that is not this one


@pytest.mark.parametrize("available", [9, 0])
def test_a_document_shorter_than_the_window_is_refused(available):
    with pytest.raises(Exception, match=f"a document must fill the window of 10 tokens; got {available}"):
        draws(1, window=10, target_length=10, available=available)
