"""CoPE: the slowest pairs are slowed down further along half a cosine, until the last one stands still.

Paper      Li et al. (2026), arXiv:2602.05258; the equation is that of the released code.
Equation   new_i = g_i (1 + cos(pi t_i)) / 2,  t_i from 0 to 1 in even steps over the last n pairs;  new_i = g_i before
Symbols    g_i  frequencies of `over`  rad/token  [pairs], fastest first; `none`: those of the model
           n    clipped_pairs          1          default 5 / 16 of the pairs: the code's 20 of 64
           s    factor                 1          target_length / trained_length; used by `over` alone
Hooks      frequencies; the attention scale is that of `over`.
Disagrees  The idea is to clip the pairs whose period exceeds the trained window; the code clips 20 whatever the window
           (Llama 3 with 8,192 tokens has 29 such pairs). The first clipped pair keeps its frequency, so one fewer
           changes than is named.
Needs      Continued training in the paper (64K tokens, a larger base): `over=abf`. It also lays it over a finished YaRN
           model: `over=yarn`. Untrained over `none`, only the pairs that are clipped change.
Checked    tests/methods/test_clipped_methods.py: tests/oracles/clipped_rules.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> Cope().stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 21, 22, 26, 31]].round(2).tolist()
[1.0, 1.0, 1.0, 1.7, inf]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import OverlayMethod, Paper, register

if TYPE_CHECKING:
    from typing import Self

    from ropewalk.rope import Floats, Rope

CLIPPED_SHARE = 20 / 64


@register("cope")
@dataclass(frozen=True)
class Cope(OverlayMethod):
    """Clipped RoPE with a soft edge.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies are clipped.
        clipped_pairs: So many of the slowest pairs are slowed; None for 5 / 16 of them.
    """

    paper: ClassVar[Paper] = Paper(
        title="CoPE: Clipped RoPE as A Scalable Free Lunch for Long Context LLMs",
        authors="Haoran Li and others",
        year=2026,
        arxiv="2602.05258",
    )
    clipped_pairs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_clipped_pairs(self.clipped_pairs)

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: More pairs are to be clipped than there are.
        """
        number = clipped_number(rope, self.clipped_pairs)
        taper = np.ones(rope.pairs)
        taper[rope.pairs - number :] = 0.5 * (1.0 + np.cos(np.linspace(0.0, np.pi, number)))
        return self.underlying.frequencies(rope) * taper

    def stretch_bound(self, rope: Rope) -> float:
        """None: the slowest pair stands still."""
        del rope
        return math.inf

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """No pair clipped."""
        del rope
        return cls(clipped_pairs=0)


def check_clipped_pairs(clipped_pairs: int | None) -> None:
    """Raises OptionError for what is no number of pairs."""
    whole = isinstance(clipped_pairs, int) and not isinstance(clipped_pairs, bool)
    if clipped_pairs is not None and not (whole and clipped_pairs >= 0):
        raise OptionError(
            f"clipped_pairs must be a whole number of at least 0, because it counts the slowest pairs; got "
            f"{clipped_pairs}. The released code clips 20 of 64."
        )


def clipped_number(rope: Rope, clipped_pairs: int | None) -> int:
    """How many of the slowest pairs are clipped.

    Raises:
        OptionError: More than there are.
    """
    number = round(CLIPPED_SHARE * rope.pairs) if clipped_pairs is None else clipped_pairs
    if number > rope.pairs:
        raise OptionError(
            f"clipped_pairs must be at most the {rope.pairs} pairs of a head, because no more can be clipped; got "
            f"{number}. The default is 5 / 16 of them, {round(CLIPPED_SHARE * rope.pairs)}."
        )
    return number
