"""Tapers of two numbers: known methods are points among them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropewalk.analysis.taper import tapered_frequencies
from ropewalk.choose.search.searching import known_points
from ropewalk.errors import OptionError
from ropewalk.methods.linear import Linear
from ropewalk.methods.ntk_by_parts import NtkByParts
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

ROPES = (Rope(64, 500.0, 256), Rope(128, 10_000.0, 4096), Rope(128, 500_000.0, 8192))


@pytest.mark.parametrize("rope", ROPES)
def test_yarn_by_parts_and_interpolation_are_points_of_the_plane(rope):
    yarn, by_parts, linear = known_points(rope, 8.0)
    for point, method in ((yarn, Yarn(factor=8)), (by_parts, NtkByParts(factor=8)), (linear, Linear(factor=8))):
        found = tapered_frequencies(rope, cut=point["cut"], width=point["width"], stretch=8.0)
        assert found == pytest.approx(method.frequencies(rope), rel=1e-12)
    scale = Yarn(factor=8).attention_scale(rope, np.array([0]), layer=0)[0]
    assert (1 + yarn["slope"] * math.log(8)) ** 2 == pytest.approx(scale)


def test_a_step_keeps_the_pairs_before_it_and_slows_the_others():
    rope = ROPES[0]
    found = tapered_frequencies(rope, cut=20, width=0, stretch=8.0)
    assert found[:20].tolist() == rope.frequencies[:20].tolist()
    assert found[20:] == pytest.approx(rope.frequencies[20:] / 8)
    stopped = tapered_frequencies(rope, cut=20, width=0, stretch=math.inf)
    assert (stopped[20:] == 0).all()


def test_a_taper_never_speeds_a_pair_up_nor_slows_it_beyond_the_stretch():
    rope = ROPES[1]
    for cut in (-10, 0, 17.3, 64, 200):
        for width in (0, 1, 9.5, 64):
            stretch = rope.frequencies / tapered_frequencies(rope, cut=cut, width=width, stretch=16.0)
            assert stretch.min() >= 1 - 1e-12
            assert stretch.max() <= 16 + 1e-9
            assert (np.diff(stretch) >= -1e-12).all()


@pytest.mark.parametrize(("width", "stretch"), [(-1.0, 8.0), (math.nan, 8.0), (1.0, 0.5), (1.0, math.nan)])
def test_what_is_no_taper_is_refused(width, stretch):
    with pytest.raises(OptionError, match="a taper has a width of at least 0 pairs and a stretch of at least 1"):
        tapered_frequencies(ROPES[0], cut=3, width=width, stretch=stretch)
