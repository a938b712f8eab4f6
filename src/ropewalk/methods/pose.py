"""PoSE as its paper runs it: linear frequencies, trained at the old window with one random skip in the positions.

Paper      Zhu, Yang, Wang, Song, Wu, Wei, Li (2023), arXiv:2309.10400.
Equation   new_i = f_i / s
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
           s    factor            1          target_length / trained_length, >= 1
Hooks      frequencies, those of `linear`; the training positions of the sampler `pose`.
Disagrees  The paper's "YaRN" variant runs the revised ramp: method `yarn` with `ramp="revised"` and positions `pose`.
           For the sampler itself see `ropewalk.positions.pose`.
Needs      Fine-tuning with its positions: 1000 steps of 64 windows in the paper.
Checked    tests/methods/test_presets.py: equal to `linear` bit for bit; the sampler in tests/positions/test_pose.py.

>>> from ropewalk.rope import Rope
>>> Pose(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].tolist()
[8.0, 8.0, 8.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.linear import Linear

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


@register("pose")
@dataclass(frozen=True)
class Pose(FactorMethod):
    """The PoSE preset: linear frequencies and PoSE's training positions.

    Attributes:
        factor: target_length / trained_length, at least 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="PoSE: Efficient Context Window Extension of LLMs via Positional Skip-wise Training",
        authors="Dawei Zhu and Nan Yang and Liang Wang and Yifan Song and Wenhao Wu and Furu Wei and Sujian Li",
        year=2023,
        arxiv="2309.10400",
    )
    sampler: ClassVar[str | None] = "pose"

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: those of Position Interpolation."""
        return Linear(self.factor).frequencies(rope)
