"""CREAM as its paper runs it: linear frequencies, training at the old window with middle-focused positions.

Paper      Wu, Zhao, Zheng (2024), arXiv:2406.07138.
Equation   new_i = f_i / s
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
           s    factor            1          target_length / trained_length, >= 1
Hooks      frequencies, those of `linear`; the training positions of the sampler `cream`.
Disagrees  The paper's "YaRN" variant runs the revised ramp: method `yarn` with `ramp="revised"` and positions `cream`.
           For the sampler itself see `ropewalk.positions.cream`.
Needs      Fine-tuning with its positions: 1000 steps of 32 windows in the released recipe.
Checked    tests/methods/test_presets.py: equal to `linear` bit for bit; the sampler in tests/positions/test_cream.py.

>>> from ropewalk.rope import Rope
>>> Cream(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].tolist()
[8.0, 8.0, 8.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.linear import Linear

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


@register("cream")
@dataclass(frozen=True)
class Cream(FactorMethod):
    """The CREAM preset: linear frequencies and CREAM's training positions.

    Attributes:
        factor: target_length / trained_length, at least 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="An Efficient Recipe for Long Context Extension via Middle-Focused Positional Encoding",
        authors="Tong Wu and Yanpeng Zhao and Zilong Zheng",
        year=2024,
        arxiv="2406.07138",
    )
    sampler: ClassVar[str | None] = "cream"

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: those of Position Interpolation."""
        return Linear(self.factor).frequencies(rope)
