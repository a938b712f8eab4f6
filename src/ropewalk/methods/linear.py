"""Position Interpolation: every pair turns `factor` times slower, so that all positions fall into the trained range.

Paper      Chen, Wong, Chen, Tian (2023), arXiv:2306.15595, eq. 4.
Equation   new_i = f_i / s, the same as positions m / s
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
           s    factor            1          target_length / trained_length, >= 1
Hooks      frequencies.
Disagrees  The paper's Theorem 2.1 carries a sign slip; its constant is d / (32 ln base) and must be sum(f_i^2) / 8. See
           `ropewalk.analysis.theory`, which computes both and a counter-example to the printed one.
Needs      Fine-tuning: 1000 steps in the paper. A short text is interpolated too, with the factor that was trained.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py; theory in
           tests/analysis/test_theory.py.
           tests/methods/test_agreement_with_transformers.py: transformers' `linear`.

>>> from ropewalk.rope import Rope
>>> Linear(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].tolist()
[8.0, 8.0, 8.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.method import FactorMethod, Paper, register

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


@register("linear", "pi")
@dataclass(frozen=True)
class Linear(FactorMethod):
    """Position Interpolation.

    Attributes:
        factor: target_length / trained_length, at least 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="Extending Context Window of Large Language Models via Positional Interpolation",
        authors="Shouyuan Chen and Sherman Wong and Liangjian Chen and Yuandong Tian",
        year=2023,
        arxiv="2306.15595",
    )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: all of them divided by the factor."""
        return rope.frequencies / self.factor
