"""Giraffe: pairs that are too slow for the window get one common frequency or none; or all taper off by a power.

Paper      Pal, Karkhanis, Roberts, Dooley, Sundararajan, Naidu (2023), arXiv:2308.10882; the numbers are those of its
           released code.
Equation   "truncated": new_i = g_i if g_i >= c;  c / 16 if c / 8 <= g_i < c;  0 if g_i < c / 8;  c = 2 pi / T
           "power":     new_i = g_i (1 - 2 i / d)^k
Symbols    g_i  frequencies of `over`  rad/token  [pairs], fastest first; `none`: those of the model
           T    cutoff_length          tokens     default the trained window; the code's `truncate`
           k    power                  1          at least 0
           d    rope.head_dim          1
           s    factor                 1          target_length / trained_length; used by `over` alone
Hooks      frequencies; the attention scale is that of `over`.
Disagrees  The paper leaves the two thresholds and the common frequency as parameters; the code ties them to one length,
           as above, and so do we. The code's power is 0 unless it is given, which changes nothing; the value behind the
           paper's tables was not verified. The code divides by its linear factor first: `over=linear`.
Needs      Fine-tuning: pairs of different speeds turn alike after truncation, and what they told apart must be learned
           anew.
Checked    tests/methods/test_clipped_methods.py: tests/oracles/clipped_rules.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> Giraffe().stretch(rope)[[0, 22, 23, 28, 31]].round(2).tolist()
[1.0, 1.0, 13.91, 3.3, inf]
>>> Giraffe(basis="power", power=1).stretch(rope)[[0, 16, 31]].round(2).tolist()
[1.0, 2.0, 32.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import OverlayMethod, Paper, register
from ropewalk.rope import checked_positive, is_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ropewalk.rope import Floats, Rope

Basis = Literal["truncated", "power"]


@register("giraffe")
@dataclass(frozen=True)
class Giraffe(OverlayMethod):
    """Giraffe's two bases.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies are changed.
        basis: `truncated` or `power`.
        cutoff_length: Pairs that do not turn once in so many tokens are truncated; None for the trained window.
        power: How steeply the power basis tapers off.
    """

    paper: ClassVar[Paper] = Paper(
        title="Giraffe: Adventures in Expanding Context Lengths in LLMs",
        authors=(
            "Arka Pal and Deep Karkhanis and Manley Roberts and Samuel Dooley and Arvind Sundararajan and "
            "Siddartha Naidu"
        ),
        year=2023,
        arxiv="2308.10882",
    )
    exemptions: ClassVar[Mapping[str, str]] = {
        "slow_pairs_are_stretched_at_least_as_much_as_fast_ones": (
            "The truncated basis gives pairs of several speeds one common frequency, so the faster of them is "
            "stretched more."
        ),
    }
    basis: Basis = "truncated"
    cutoff_length: float | None = None
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.basis not in get_args(Basis):
            raise OptionError(f"basis must be one of {', '.join(get_args(Basis))}; got '{self.basis}'.")
        if self.cutoff_length is not None:
            checked_positive("cutoff_length", self.cutoff_length, "it is a number of tokens")
        if not is_number(self.power) or self.power < 0:
            raise OptionError(
                f"power must be a finite number of at least 0, because below 0 pairs would turn faster; got "
                f"{self.power}. 0 changes nothing."
            )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`."""
        before = self.underlying.frequencies(rope)
        if self.basis == "power":
            return before * (1.0 - np.arange(rope.pairs) / rope.pairs) ** self.power
        cutoff = 2 * np.pi / (self.cutoff_length or rope.trained_length)
        return np.where(before < cutoff / 8, 0.0, np.where(before < cutoff, cutoff / 16, before))

    def stretch_bound(self, rope: Rope) -> float:
        """None: the slowest pairs stand still."""
        del rope
        return math.inf

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """The power basis with power 0."""
        del rope
        return cls(basis="power", power=0.0)
