"""NTK-aware scaling: raise the base so that the slowest pair is stretched fully and the fastest not at all.

Paper      bloc97 (2023), "NTK-Aware Scaled RoPE", LocalLLaMA; restated in Peng et al. (2023), arXiv:2309.00071,
           section 3.1.
Equation   new_base = base * s^(d / (d - 2)), which is new_i = f_i * s^(-2 i / (d - 2))
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first; i = 0 .. d / 2 - 1
           d    rope.head_dim     1          at least 4: with one pair there is nothing to spread
           s    factor            1          target_length / trained_length, >= 1
Hooks      frequencies.
Disagrees  The Entropy-ABF paper's table of methods prints the base without s. YaRN's ablation uses a rounded base of
           20 000 for s = 2, where the formula gives 20 221.26.
Needs      Works untrained with loss of quality. Because fast pairs extrapolate, the window that is really won is
           shorter than the factor says: choose a larger factor than target_length / trained_length.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py, six bases worked out by hand.

>>> from ropewalk.rope import Rope
>>> Ntk(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].round(2).tolist()
[1.0, 2.74, 8.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import FactorMethod, Paper, register

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


@register("ntk")
@dataclass(frozen=True)
class Ntk(FactorMethod):
    """NTK-aware scaling with a fixed factor.

    Attributes:
        factor: target_length / trained_length, at least 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="NTK-Aware Scaled RoPE allows LLaMA models to have extended (8k+) context size without any fine-tuning",
        authors="bloc97",
        year=2023,
        url="https://www.reddit.com/r/LocalLLaMA/comments/14lz7j5/",
    )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: The head has a single pair.
        """
        check_pairs(rope)
        exponents = np.arange(rope.pairs, dtype=np.float64) / (rope.pairs - 1)  # from exactly 0 to exactly 1
        return rope.frequencies * self.factor**-exponents

    def new_base(self, rope: Rope) -> float:
        """The base whose plain frequencies these are.

        Raises:
            OptionError: The head has a single pair.
        """
        check_pairs(rope)
        return rope.base * math.pow(self.factor, rope.head_dim / (rope.head_dim - 2))


def check_pairs(rope: Rope) -> None:
    """Raises OptionError where there is nothing to spread the stretch over."""
    if rope.pairs < 2:
        raise OptionError(
            "NTK-aware scaling needs head_dim of at least 4, because it spreads the stretch from the fastest pair to "
            f"the slowest; got {rope.head_dim}. Use linear."
        )
