"""Packings are indices: no token is lost or read twice, and best-fit cuts nothing that a window can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.data.packing import Packs, Pieces, alone, best_fit, fill

LENGTHS = st.lists(st.integers(1, 40), max_size=60)


def pieces(lengths, start=0) -> Pieces:
    sizes = np.array(lengths, dtype=np.int64)
    return Pieces(np.arange(len(sizes)), np.full(len(sizes), start, dtype=np.int64), sizes + start)


def contents(packs: Packs) -> list[list[tuple[int, int, int]]]:
    """Document, start and stop of each piece, window by window."""
    windows = [packs.window(number) for number in range(len(packs))]
    return [list(zip(*(column.tolist() for column in (w.document, w.start, w.stop)), strict=True)) for w in windows]


def plain_fill(lengths, window):
    """The documents as one list of tokens, longest first, cut into windows."""
    order = sorted(range(len(lengths)), key=lambda d: lengths[d], reverse=True)
    tokens = [(d, place) for d in order for place in range(lengths[d])]
    return [tokens[i : i + window] for i in range(0, len(tokens) - window + 1, window)]


def plain_best_fit(lengths, window):
    """Rooms of the windows: every document into the fullest one that can hold it, found by looking at all."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else window) - length)
    return sorted(rooms)


@given(LENGTHS, st.integers(1, 50))
def test_fill_is_the_documents_one_after_another_cut_into_windows(lengths, window):
    found = contents(fill(pieces(lengths), window))
    tokens = [[(d, place) for d, start, stop in w for place in range(start, stop)] for w in found]
    assert tokens == plain_fill(lengths, window)


@given(LENGTHS, st.integers(40, 70))
def test_best_fit_leaves_in_each_window_the_room_that_looking_at_all_windows_would(lengths, window):
    packs = best_fit(pieces(lengths), window)
    rooms = sorted(window - sum(stop - start for _, start, stop in w) for w in contents(packs))
    assert rooms == plain_best_fit(lengths, window)


@given(LENGTHS, st.integers(40, 70))
def test_best_fit_holds_every_document_whole_and_once(lengths, window):
    held = sorted(piece for w in contents(best_fit(pieces(lengths, start=5), window)) for piece in w)
    assert held == [(d, 5, 5 + length) for d, length in enumerate(lengths)]


def test_looking_at_all_windows_tells_best_fit_from_first_fit():
    # 6 and 5 open two windows of 10. 4 fits both: best-fit fills the first; 5 then fills the second.
    assert plain_best_fit([6, 5, 4, 5], 10) == [0, 0]
    assert [sorted(stop for _, _, stop in w) for w in contents(best_fit(pieces([6, 5, 4, 5]), 10))] == [[4, 6], [5, 5]]


def test_alone_gives_each_document_a_window():
    assert contents(alone(pieces([3, 1, 2]))) == [[(0, 0, 3)], [(1, 0, 1)], [(2, 0, 2)]]


@pytest.mark.parametrize("packing", [fill, best_fit])
def test_nothing_packs_into_no_window(packing):
    assert len(packing(pieces([]), 8)) == 0


def test_documents_of_every_size_leave_hardly_any_room():
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.lognormal(6, 1.2, size=100_000).astype(np.int64) + 1, 8192)
    packs = best_fit(pieces(lengths), 8192)
    assert packs.tokens == lengths.sum()
    assert len(packs) <= np.ceil(lengths.sum() / 8192) * 1.001
