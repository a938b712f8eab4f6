"""CREAM: a head at the start, a tail at the very end, and the rest of the window somewhere around the middle.

Paper      Wu, Zhao, Zheng (2024), arXiv:2406.07138, Fig. 2 and the released code.
Equation   h = max(1, min(floor(4 f), W // 8)) with probability c (continuity), else W // 3 (relativity)
           M = W - 2 h
           k ~ normal with mean 1 + f and deviation sigma, cut to [2, 2 f], rounded to the nearest whole number
           e ~ U{floor(h + (M - 1) k / 2) .. floor(W k / 2) - h - 1}
           positions = 0 .. h - 1, then e - M + 1 .. e, then T - h .. T - 1
           text      = the same for the middle where it fits between the document's head and tail, else the M tokens
                       before the tail; the head is the document's first h tokens, the tail its last
Symbols    W  window         tokens in one training example;  T  target_length  tokens;  f = T / W
           h  tokens of head and tail;  M  tokens of the middle;  e  last position of the middle
           k  half windows   so long is the virtual prefix that ends with the middle
           sigma             half windows; default 3 (f - 1) / 7, the code's 3 at f = 8 for every factor
           c  continuity     default 1/2: paper and code toss a fair coin; 0 and 1 are each mode alone
Hooks      positions.
Disagrees  Read off the code; the paper has the idea and the figure. `released_code=True` draws as the repository does:
           sigma 3 whatever the factor (at f = 64 the middle never leaves [37 K, 153 K] of 262 K), a table of 1000
           points that is neither normalised nor rounded but cut (mean 8.5 where 9 is meant), head 4 f, and one coin for
           each batch of 3000 samples. One thing is not reproduced: where the middle's text would overlap the tail's, or
           a document is shorter than the window, the code repeats tokens or wraps; ours never does.
Needs      Training at the old window, over a method with a fixed factor: 1000 steps of 32 windows in the repository.
Checked    tests/positions/test_cream.py: tests/oracles/position_draws.py, chi-square of k and e, coverage of distances.

>>> from ropewalk.sampler import sample_generator
>>> Cream().positions(sample_generator(0, 0), window=9, target_length=72).tolist()
[0, 1, 2, 13, 14, 15, 69, 70, 71]
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.rope import checked_positive
from ropewalk.sampler import Draw, Paper, Sampler, batch_generator, check_draw, register

if TYPE_CHECKING:
    from ropewalk.rope import Integers

FAIR = 0.5
RELEASED_SIGMA = 3.0
RELEASED_BATCH = 3000
RELEASED_TABLE_POINTS = 1000


@register("cream")
@dataclass(frozen=True)
class Cream(Sampler):
    """Middle-focused positions.

    Attributes:
        sigma: Deviation of the middle's place in half windows; None for 3 (factor - 1) / 7.
        released_code: Draw as the authors' repository does.
        continuity: Probability of continuity mode, 0 to 1; None for the fair coin of paper and code.
    """

    paper: ClassVar[Paper] = Paper(
        title="An Efficient Recipe for Long Context Extension via Middle-Focused Positional Encoding",
        authors="Tong Wu and Yanpeng Zhao and Zilong Zheng",
        year=2024,
        arxiv="2406.07138",
    )
    sigma: float | None = None
    released_code: bool = False
    continuity: float | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None:
            checked_positive("sigma", self.sigma, "it is the spread of the middle, in half windows")
        if self.continuity is not None and not 0 <= self.continuity <= 1:
            raise OptionError(
                "continuity is the probability of one of cream's two modes, so it must lie between 0 (relativity "
                f"alone) and 1 (continuity alone); got {self.continuity:g}. Leave it out for the paper's fair coin."
            )

    def draw(self, rng: np.random.Generator, *, window: int, target_length: int, available: int) -> Draw:
        """Draws the mode, the virtual prefix and the end of the middle, in this order.

        Raises:
            OptionError: The document or the target is shorter than the window, or the window has no three tokens.
        """
        check_draw(window=window, target_length=target_length, available=available)
        if window < 3:
            raise OptionError(f"cream needs a window of at least 3 tokens, because it has three parts; got {window}.")
        factor = target_length / window
        coin = batch_generator(rng, RELEASED_BATCH) if self.released_code else rng
        continuity = FAIR if self.continuity is None else self.continuity
        head = self.continuity_head(window, factor) if coin.random() < continuity else window // 3
        first, last = middle_ends(window, target_length, head, self.half_windows(rng.random(), factor))
        middle = window - 2 * head
        end = int(rng.integers(first, last + 1))
        text_end = end if end < available - head else available - head - 1
        return Draw(
            _three_parts(head, middle, end, target_length),
            _three_parts(head, middle, text_end, available),
        )

    def continuity_head(self, window: int, factor: float) -> int:
        """Tokens of the head in continuity mode."""
        wished = int(4 * factor)
        if self.released_code and 2 * wished < window:
            return wished
        return max(1, min(wished, window // 8))

    def half_windows(self, uniform: float, factor: float) -> int:
        """Length of the virtual prefix in half windows, from a number in [0, 1)."""
        if factor == 1:
            return 2
        if self.released_code:
            return _released_half_windows(uniform, factor, self.sigma or RELEASED_SIGMA)
        normal = NormalDist(1 + factor, self.sigma or RELEASED_SIGMA * (factor - 1) / 7)
        low, high = normal.cdf(2), normal.cdf(2 * factor)
        return round(min(max(normal.inv_cdf(low + uniform * (high - low)), 2), 2 * factor))


def middle_ends(window: int, target_length: int, head: int, half_windows: int) -> tuple[int, int]:
    """First and last place of the middle's last token, for a virtual prefix of so many half windows."""
    # The last half window of a factor that is no multiple of one half is cut off at the target length.
    windows = min(half_windows / 2, target_length / window)
    middle = window - 2 * head
    return int(head + (middle - 1) * windows), int(window * windows) - head - 1


def _released_half_windows(uniform: float, factor: float, sigma: float) -> int:
    """The repository's table: its ends collect all that lies beyond them, and decimals are cut.

    The repository interpolates in the whole table; the two entries around the number are all that enters.
    """
    normal = NormalDist(1 + factor, sigma)
    step = (2 * factor - 2) / (RELEASED_TABLE_POINTS - 1)
    table = range(RELEASED_TABLE_POINTS)
    right = bisect.bisect_right(table, uniform, key=lambda entry: normal.cdf(2 + entry * step))
    if right == 0:
        return 2
    if right == RELEASED_TABLE_POINTS:
        return int(2 * factor)
    below, above = (normal.cdf(2 + entry * step) for entry in (right - 1, right))
    return int(2 + (right - 1 + (uniform - below) / (above - below)) * step)


def _three_parts(head: int, middle: int, end: int, length: int) -> Integers:
    """Head, a middle that ends at `end`, and tail of a sequence of `length`."""
    parts = (np.arange(head), np.arange(end - middle + 1, end + 1), np.arange(length - head, length))
    return np.concatenate(parts)
