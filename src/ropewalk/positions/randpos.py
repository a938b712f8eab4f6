"""RandPos: the tokens of a short window carry sorted random positions from the whole target range.

Paper      Ruoss, Deletang, Genewein, Grau-Moya, Csordas, Bennani, Legg, Veness (2023), arXiv:2305.16843, section 3.
Equation   positions = sorted(W numbers drawn from {0 .. T - 1} without replacement)
           text = o .. o + W - 1,  o ~ U{0 .. N - W}
Symbols    W  window         tokens in one training example
           T  target_length  tokens
           N  available      tokens of the document
Hooks      positions.
Disagrees  The paper draws once for each batch, the PoSE comparison once for each example, and so do we.
Needs      Nothing but the old window, yet a language model loses its short distances: perplexity 7 to 97 in PoSE's
           tables. It is a baseline to compare with.
Checked    tests/positions/test_randpos.py: structure, chi-square of the positions and of their gaps.

>>> from ropewalk.sampler import sample_generator
>>> RandPos().positions(sample_generator(0, 0), window=6, target_length=48).tolist()
[1, 12, 14, 23, 28, 36]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ropewalk.sampler import Draw, Paper, Sampler, check_draw, register, text_window


@register("randpos")
@dataclass(frozen=True)
class RandPos(Sampler):
    """Sorted random positions."""

    paper: ClassVar[Paper] = Paper(
        title="Randomized Positional Encodings Boost Length Generalization of Transformers",
        authors=(
            "Anian Ruoss and Grégoire Delétang and Tim Genewein and Jordi Grau-Moya and Róbert Csordás and "
            "Mehdi Bennani and Shane Legg and Joel Veness"
        ),
        year=2023,
        arxiv="2305.16843",
    )

    def draw(self, rng: np.random.Generator, *, window: int, target_length: int, available: int) -> Draw:
        """Draws a set of positions and where the window begins in the document.

        Raises:
            OptionError: The document or the target is shorter than the window.
        """
        check_draw(window=window, target_length=target_length, available=available)
        positions = np.sort(rng.choice(target_length, size=window, replace=False, shuffle=False))
        return Draw(positions.astype(np.int64), text_window(rng, window, available))
