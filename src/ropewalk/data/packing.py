"""Which pieces of which documents fill a window: indices only, so that a packing costs no tokens.

`fill` writes short documents one after another and cuts them where a window ends. `best-fit` cuts nothing that a
window can hold: documents are taken longest first, and each goes where it leaves the least room (best-fit decreasing,
as in Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830). `none` gives each document a
window of its own. What a window has left is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ropewalk.rope import Integers


@dataclass(frozen=True)
class Pieces:
    """Pieces of documents: tokens `start` to `stop` of document `document`, three arrays of one length."""

    document: Integers
    start: Integers
    stop: Integers

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self.document)

    @property
    def lengths(self) -> Integers:
        """Tokens of each piece."""
        return self.stop - self.start

    def take(self, index: Any) -> Pieces:
        """Some of the pieces: indices in any order, a slice, or a mask."""
        return Pieces(self.document[index], self.start[index], self.stop[index])


@dataclass(frozen=True)
class Packs:
    """Pieces, window by window.

    Attributes:
        pieces: Those of the first window, then those of the second, ...
        first: Index of the first piece of each window and, at the end, the number of pieces, `[windows + 1]`.
    """

    pieces: Pieces
    first: Integers

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.first) - 1

    def window(self, number: int) -> Pieces:
        """The pieces of one window."""
        return self.pieces.take(slice(int(self.first[number]), int(self.first[number + 1])))

    @property
    def tokens(self) -> int:
        """Tokens in all windows, padding left out."""
        return int(self.pieces.lengths.sum())


def fill(pieces: Pieces, window: int) -> Packs:
    """Full windows: the pieces one after another, longest first, cut at each window's end.

    What does not fill a last window is left out.
    """
    ordered = pieces.take(np.argsort(-pieces.lengths, kind="stable"))
    ends = np.cumsum(ordered.lengths)
    windows = int(ends[-1]) // window if len(ends) else 0
    borders = np.arange(1, windows + 1) * window
    stops = np.union1d(ends[ends < windows * window], borders)
    starts = np.concatenate([[0], stops[:-1]])[: len(stops)]
    owner = np.searchsorted(ends, starts, side="right")
    shift = ordered.start[owner] - (ends - ordered.lengths)[owner]  # from a place among all tokens to one in its text
    cut = Pieces(ordered.document[owner], starts + shift, stops + shift)
    return Packs(cut, np.concatenate([[0], np.searchsorted(stops, borders) + 1]))


def best_fit(pieces: Pieces, window: int) -> Packs:
    """Windows of whole pieces, none longer than a window: each piece goes where it leaves the least room.

    Windows with the same room wait in one bucket, and the buckets that hold any are the bits of a number; so the
    tightest fit is its lowest bit from the piece's length on, and n pieces take n looks of window / 64 words.
    """
    order = np.argsort(-pieces.lengths, kind="stable")
    buckets: list[list[int]] = [[] for _ in range(window + 1)]
    waiting, windows = 0, 0
    home = np.empty(len(order), dtype=np.int64)
    for place, length in enumerate(pieces.lengths[order].tolist()):
        fitting = waiting >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            chosen = buckets[room].pop()
            if not buckets[room]:
                waiting ^= 1 << room
        else:
            room, chosen = window, windows
            windows += 1
        home[place] = chosen
        left = room - length
        if not buckets[left]:
            waiting |= 1 << left
        buckets[left].append(chosen)
    by_window = np.argsort(home, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=windows))])
    return Packs(pieces.take(order[by_window]), first)


def alone(pieces: Pieces) -> Packs:
    """A window for each piece."""
    return Packs(pieces, np.arange(len(pieces) + 1))
