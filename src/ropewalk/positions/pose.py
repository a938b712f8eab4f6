"""PoSE: a short window is cut in two at random, and the second chunk skips ahead by a random distance.

Paper      Zhu, Yang, Wang, Song, Wu, Wei, Li (2023), arXiv:2309.10400v2, section 3.
Equation   l ~ U{1 .. W - 1}       tokens of the first chunk
           u ~ U{0 .. T - W}       positions skipped between the chunks
           v ~ U{0 .. N - W}       tokens of text skipped between the chunks
           positions = 0 .. l - 1, then l + u .. W - 1 + u
           text      = 0 .. l - 1, then l + v .. W - 1 + v
Symbols    W  window         tokens in one training example
           T  target_length  tokens
           N  available      tokens of the document
Hooks      positions.
Disagrees  The released code never makes the first chunk longer than half the window (l up to (W + 1) // 2) and cuts the
           document to five windows: `released_code=True`. It also draws once and repeats the draws in every epoch; ours
           are new for every sample of the run. Version 1 of the paper bounded u otherwise and covered far distances
           less.
Needs      Training at the old window: 1000 steps in the paper, over a method with a fixed factor.
Checked    tests/positions/test_pose.py: tests/oracles/position_draws.py, chi-square of l and u, coverage of distances.

>>> from ropewalk.sampler import sample_generator
>>> Pose().positions(sample_generator(0, 0), window=6, target_length=48).tolist()
[0, 1, 2, 3, 4, 32]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.sampler import Draw, Paper, Sampler, check_draw, register

if TYPE_CHECKING:
    from ropewalk.rope import Integers

RELEASED_DOCUMENT_WINDOWS = 5


@register("pose")
@dataclass(frozen=True)
class Pose(Sampler):
    """Positional skip-wise training with two chunks.

    Attributes:
        released_code: Draw as the authors' repository does and not as their paper says.
    """

    paper: ClassVar[Paper] = Paper(
        title="PoSE: Efficient Context Window Extension of LLMs via Positional Skip-wise Training",
        authors="Dawei Zhu and Nan Yang and Liang Wang and Yifan Song and Wenhao Wu and Furu Wei and Sujian Li",
        year=2023,
        arxiv="2309.10400",
    )
    released_code: bool = False

    def draw(self, rng: np.random.Generator, *, window: int, target_length: int, available: int) -> Draw:
        """Draws the cut, the skipped positions and the skipped text, in this order.

        Raises:
            OptionError: The document or the target is shorter than the window, or the window cannot be cut in two.
        """
        check_draw(window=window, target_length=target_length, available=available)
        if window < 2:
            raise OptionError(f"pose needs a window of at least 2 tokens, because it cuts it in two; got {window}.")
        longest, text_end = window - 1, available
        if self.released_code:
            longest, text_end = (window + 1) // 2, min(available, RELEASED_DOCUMENT_WINDOWS * window)
        first = int(rng.integers(1, longest + 1))
        skipped_positions = int(rng.integers(0, target_length - window + 1))
        skipped_text = int(rng.integers(0, text_end - window + 1))
        return Draw(_skip(window, first, skipped_positions), _skip(window, first, skipped_text))


def _skip(window: int, first: int, skipped: int) -> Integers:
    """Counts to `window`, skipping so many numbers after the first chunk."""
    numbers = np.arange(window)
    numbers[first:] += skipped
    return numbers
