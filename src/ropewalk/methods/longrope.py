"""LongRoPE: one stretch for each pair, found by a search, and attention made a little sharper.

Paper      Ding, Zhang, Zhang, Xu, Shang, Xu, Yang, Yang (2024), arXiv:2402.13753.
Equation   new_i = f_i / factors_i
           logits are multiplied by 1 + ln s / ln L
Symbols    f_i  rope.frequencies     rad/token  [pairs], fastest first
           factors                   1          [pairs], given; the paper's search keeps them within [1, 1.25 s]
           s    factor               1          target_length / trained_length, >= 1
           L    rope.trained_length  tokens
           attention_factor          1          sqrt(1 + ln s / ln L): what cos and sin are multiplied by
Hooks      frequencies, attention_scale.
Disagrees  The paper leaves the first few positions unscaled; released checkpoints and transformers do not, and neither
           do we. Checkpoints carry a second, short set and switch by the length of the text, which breaks caches; here
           one set holds for every length. The paper's `factors` rise from fast to slow pairs, released ones nearly so.
Needs      The factors: a search, or a published checkpoint. The paper then fine-tunes 400 + 600 steps.
Checked    tests/methods/test_longrope.py: tests/oracles/logit_scales.py, golden numbers.
           tests/methods/test_agreement_with_transformers.py: transformers' `longrope`.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=8, base=1e4, trained_length=4096)
>>> LongRope(factor=8, factors=(1.0, 1.5, 4.0, 8.0)).stretch(rope).round(6).tolist()
[1.0, 1.5, 4.0, 8.0]
>>> LongRope(factor=8, factors=(1.0, 1.5, 4.0, 8.0)).attention_scale(rope, np.array([0]), layer=0).round(6).tolist()
[1.25]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.ntk import Ntk
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from typing import Self

    from ropewalk.rope import Floats, Integers, Rope


@register("longrope")
@dataclass(frozen=True)
class LongRope(FactorMethod):
    """LongRoPE with one static set of factors.

    Attributes:
        factor: target_length / trained_length, at least 1; it sets the attention scale alone.
        factors: Stretch of each pair, fastest first, `[pairs]`.
        attention_factor: Square root of the scale on logits; None for sqrt(1 + ln factor / ln trained_length).
    """

    paper: ClassVar[Paper] = Paper(
        title="LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens",
        authors=(
            "Yiran Ding and Li Lyna Zhang and Chengruidong Zhang and Yuanyuan Xu and Ning Shang and Jiahang Xu and "
            "Fan Yang and Mao Yang"
        ),
        year=2024,
        arxiv="2402.13753",
    )
    factors: tuple[float, ...] = ()
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checked = tuple(
            checked_positive("every one of factors", f, "a pair's frequency is divided by it") for f in self.factors
        )
        object.__setattr__(self, "factors", checked)
        if self.attention_factor is not None:
            checked_positive("attention_factor", self.attention_factor, "logits are multiplied by its square")

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: There is not one factor for each pair.
        """
        if len(self.factors) != rope.pairs:
            raise OptionError(
                f"longrope needs one of factors for each of the {rope.pairs} pairs, because they are found by a search "
                f"for one model; got {len(self.factors)}. Give `factors` from a search or a published checkpoint, or "
                "use yarn, which needs none."
            )
        return rope.frequencies / np.asarray(self.factors, dtype=np.float64)

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The same scale on the logits of every query: the square of the attention factor."""
        del layer
        if self.attention_factor is None:
            scale = 1.0 + math.log(self.factor) / math.log(rope.trained_length)
        else:
            scale = self.attention_factor**2
        return np.full(np.shape(positions), scale, dtype=np.float64)

    def stretch_bound(self, rope: Rope) -> float:
        """The largest of the given factors."""
        del rope
        return max(self.factors, default=1.0)

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """Factors of 1."""
        return cls(factors=(1.0,) * rope.pairs)

    @classmethod
    def example(cls, rope: Rope, target_length: int) -> Self:
        """The NTK-aware stretch as factors: one of the points that the paper's search starts from."""
        factor = target_length / rope.trained_length
        return cls(factor=factor, factors=tuple(Ntk(factor=factor).stretch(rope).tolist()))
