"""No method: the model meets longer texts with the embedding that it was trained with (direct extrapolation).

Paper      Su, Lu, Pan, Murtadha, Wen, Liu (2021), arXiv:2104.09864, section 3.2. As a baseline for longer windows: Chen
           et al. (2023), arXiv:2306.15595, section 2.2.
Equation   new_i = f_i
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
Hooks      none.
Disagrees  Nothing known.
Needs      Nothing inside the trained window. Beyond it perplexity explodes (above 1e3 in the paper's tables) unless the
           model is trained at the target length, and then it learns slowly: 10 000 steps in the paper.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py, wavelengths counted by hand.
           tests/methods/test_agreement_with_transformers.py: transformers' default embedding.

>>> from ropewalk.rope import Rope
>>> Unchanged().stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].tolist()
[1.0, 1.0, 1.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ropewalk.method import Method, Paper, register


@register("none")
@dataclass(frozen=True)
class Unchanged(Method):
    """Changes nothing."""

    paper: ClassVar[Paper] = Paper(
        title="RoFormer: Enhanced Transformer with Rotary Position Embedding",
        authors="Jianlin Su and Yu Lu and Shengfeng Pan and Ahmed Murtadha and Bo Wen and Yunfeng Liu",
        year=2021,
        arxiv="2104.09864",
    )
