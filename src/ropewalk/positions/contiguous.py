"""Contiguous positions: a window counts 0, 1, 2, ... as the model will at the end.

Paper      Chen, Wong, Chen, Tian (2023), arXiv:2306.15595: Position Interpolation and direct fine-tuning train so.
Equation   positions = 0 .. W - 1;  text = o .. o + W - 1,  o ~ U{0 .. N - W}
Symbols    W  window         tokens in one training example: the target length, or less in a control
           N  available      tokens of the document
Hooks      positions.
Disagrees  Nothing known.
Needs      Windows as long as the target: the memory and time of full-length training.
Checked    tests/positions/test_contiguous.py.

>>> from ropewalk.sampler import sample_generator
>>> Contiguous().positions(sample_generator(0, 0), window=6, target_length=6).tolist()
[0, 1, 2, 3, 4, 5]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ropewalk.sampler import Draw, Paper, Sampler, check_draw, register, text_window


@register("contiguous")
@dataclass(frozen=True)
class Contiguous(Sampler):
    """Plain counting."""

    paper: ClassVar[Paper] = Paper(
        title="Extending Context Window of Large Language Models via Positional Interpolation",
        authors="Shouyuan Chen and Sherman Wong and Liangjian Chen and Yuandong Tian",
        year=2023,
        arxiv="2306.15595",
    )
    trains_at_target: ClassVar[bool] = True

    def draw(self, rng: np.random.Generator, *, window: int, target_length: int, available: int) -> Draw:
        """Draws where the window begins in the document.

        Raises:
            OptionError: The document or the target is shorter than the window.
        """
        check_draw(window=window, target_length=target_length, available=available)
        return Draw(np.arange(window), text_window(rng, window, available))
