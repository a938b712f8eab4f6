"""HardClip: the slowest pairs stop turning, all at once.

Paper      Li et al. (2026), arXiv:2602.05258, as the comparison that CoPE softens; the equation is that of its code.
Equation   new_i = 0 for the last n pairs;  new_i = g_i before
Symbols    g_i  frequencies of `over`  rad/token  [pairs], fastest first; `none`: those of the model
           n    clipped_pairs          1          default 5 / 16 of the pairs: the code's 20 of 64
           s    factor                 1          target_length / trained_length; used by `over` alone
Hooks      frequencies; the attention scale is that of `over`.
Disagrees  The idea is to clip the pairs whose period exceeds the trained window; the code clips 20 whatever the window.
           It is the frequency half of `p-rope`, counted from the other end.
Needs      Continued training in the paper (64K tokens, a larger base: `over=abf`). Untrained, what the model read from
           the stopped pairs is lost at every length.
Checked    tests/methods/test_clipped_methods.py: tests/oracles/clipped_rules.py.

>>> from ropewalk.rope import Rope
>>> HardClip(clipped_pairs=2).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 29, 30, 31]].tolist()
[1.0, 1.0, inf, inf]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.method import OverlayMethod, Paper, register
from ropewalk.methods.cope import Cope, check_clipped_pairs, clipped_number

if TYPE_CHECKING:
    from typing import Self

    from ropewalk.rope import Floats, Rope


@register("hard-clip")
@dataclass(frozen=True)
class HardClip(OverlayMethod):
    """Clipped RoPE with a hard edge.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies are clipped.
        clipped_pairs: So many of the slowest pairs stop; None for 5 / 16 of them.
    """

    paper: ClassVar[Paper] = Cope.paper
    clipped_pairs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_clipped_pairs(self.clipped_pairs)

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: More pairs are to be clipped than there are.
        """
        kept = rope.pairs - clipped_number(rope, self.clipped_pairs)
        return np.where(np.arange(rope.pairs) < kept, self.underlying.frequencies(rope), 0.0)

    def stretch_bound(self, rope: Rope) -> float:
        """None: clipped pairs stand still."""
        del rope
        return math.inf

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """No pair clipped."""
        del rope
        return cls(clipped_pairs=0)
