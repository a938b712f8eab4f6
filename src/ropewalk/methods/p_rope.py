"""p-RoPE: only the faster share of the pairs turns; the rest carries content without a position.

Paper      Barbero, Vitvitskyi, Perivolaropoulos, Pascanu, Velickovic (2024), arXiv:2410.06205.
Equation   new_i = g_i for i < floor(p d / 2);  new_i = 0 from there
Symbols    g_i  frequencies of `over`  rad/token  [pairs], fastest first; `none`: those of the model
           p    kept_fraction          1          above 0, at most 1
           d    rope.head_dim          1
           s    factor                 1          target_length / trained_length; used by `over` alone
Hooks      frequencies; the attention scale is that of `over`.
Disagrees  Not the same as `partial_rotary_factor`, which spreads the whole range of frequencies over fewer pairs;
           transformers' `proportional` is p-RoPE (and, with a factor, p-RoPE over `linear`). Gemma 4 is shipped with
           p = 0.25 on its global layers.
Needs      Pretraining in the paper and in Gemma 4. On a model that was trained with every pair turning it needs
           training: what the model read from the stopped pairs is lost at every length.
Checked    tests/methods/test_clipped_methods.py: tests/oracles/clipped_rules.py, transformers' `proportional`.

>>> from ropewalk.rope import Rope
>>> PRope(kept_fraction=0.25).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 7, 8, 31]].tolist()
[1.0, 1.0, inf, inf]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import OverlayMethod, Paper, register
from ropewalk.rope import is_number

if TYPE_CHECKING:
    from typing import Self

    from ropewalk.rope import Floats, Rope


@register("p-rope")
@dataclass(frozen=True)
class PRope(OverlayMethod):
    """p-RoPE.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies are kept.
        kept_fraction: Share of the pairs that go on turning, above 0 and at most 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="Round and Round We Go! What makes Rotary Positional Encodings useful?",
        authors=(
            "Federico Barbero and Alex Vitvitskyi and Christos Perivolaropoulos and Razvan Pascanu and Petar Velickovic"
        ),
        year=2024,
        arxiv="2410.06205",
    )
    kept_fraction: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.kept_fraction) or not 0 < self.kept_fraction <= 1:
            raise OptionError(
                f"kept_fraction must be a number above 0 and at most 1, because it is the share of pairs that go on "
                f"turning; got {self.kept_fraction}. To stop all of them use drope."
            )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`."""
        kept = int(self.kept_fraction * rope.head_dim // 2)
        return np.where(np.arange(rope.pairs) < kept, self.underlying.frequencies(rope), 0.0)

    def stretch_bound(self, rope: Rope) -> float:
        """None: pairs stand still."""
        del rope
        return math.inf

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """Every pair kept."""
        del rope
        return cls(kept_fraction=1.0)
