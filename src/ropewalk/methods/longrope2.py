"""LongRoPE2-style factors: full stretch from the critical pair on, and less and less towards the faster ones.

Paper      Shang, Zhang, Wang, Zhang, Lopez, Yang, Chen, Yang (2025), arXiv:2502.20082; the theoretical critical pair is
           that of Liu et al. (2023), arXiv:2310.05209.
Equation   new_i = f_i / s^(min(i, c) / c)
           c = ceil((d / 2) ln(L / 2 pi) / ln base), at least 1 and at most the last pair, unless it is given
           logits are multiplied by 1 + ln s / ln L
Symbols    f_i  rope.frequencies     rad/token  [pairs], fastest first
           c    critical_pair        1          index of the first pair that never completes a turn in training
           s    factor               1          target_length / trained_length, >= 1
           L    rope.trained_length  tokens
           d    rope.head_dim        1
Hooks      frequencies, attention_scale (that of `longrope`).
Disagrees  The paper searches the factors beyond the critical pair by the perplexity of needles and trains with the old
           embedding for short texts; its code was not released. Here is the rule that such a search starts from, made
           after second-hand notes: full stretch where training was incomplete, an adjusted base below. Searched factors
           are given to `longrope`. The paper's real critical pair lies below the theoretical one (Llama 3 8B 30 for 35,
           Phi-3 mini 25 for 31, by the same notes); the default is the theoretical one.
Needs      A measured critical pair is better than the default. The paper then trains on 10 billion tokens; untrained it
           works with loss of quality.
Checked    tests/methods/test_longrope2.py: tests/oracles/clipped_rules.py, tests/oracles/logit_scales.py, the
           critical pairs of two models.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=128, base=5e5, trained_length=8192)
>>> LongRope2(factor=16).critical(rope)
35
>>> LongRope2(factor=16, critical_pair=30).stretch(rope)[[0, 15, 30, 63]].round(2).tolist()
[1.0, 4.0, 16.0, 16.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.longrope import LongRope
from ropewalk.methods.ntk import check_pairs

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers, Rope


@register("longrope2")
@dataclass(frozen=True)
class LongRope2(FactorMethod):
    """Factors that know the critical pair.

    Attributes:
        factor: target_length / trained_length, at least 1.
        critical_pair: Index of the first pair that is stretched fully; None for the theoretical one.
    """

    paper: ClassVar[Paper] = Paper(
        title="LongRoPE2: Near-Lossless LLM Context Window Scaling",
        authors=(
            "Ning Shang and Li Lyna Zhang and Siyuan Wang and Gaokai Zhang and Gilsinia Lopez and Fan Yang and "
            "Weizhu Chen and Mao Yang"
        ),
        year=2025,
        arxiv="2502.20082",
    )
    critical_pair: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.critical_pair, int) and not isinstance(self.critical_pair, bool)
        if self.critical_pair is not None and not (whole and self.critical_pair >= 1):
            raise OptionError(
                f"critical_pair must be a whole number of at least 1, because the fastest pair, 0, always completes a "
                f"turn; got {self.critical_pair}. Leave it out for the theoretical one."
            )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: The critical pair does not exist, or the head has a single pair.
        """
        critical = self.critical(rope)
        # The factor is computed alone, so that pairs beyond the critical one are stretched by it exactly.
        spread = np.minimum(np.arange(rope.pairs), critical) / critical
        return rope.frequencies / self.factor**spread

    def critical(self, rope: Rope) -> int:
        """Index of the first pair that is stretched fully.

        Raises:
            OptionError: It does not exist, or the head has a single pair.
        """
        check_pairs(rope)
        if self.critical_pair is None:
            theoretical = math.ceil(rope.pairs * math.log(rope.trained_length / (2 * math.pi)) / math.log(rope.base))
            return min(max(theoretical, 1), rope.pairs - 1)
        if self.critical_pair >= rope.pairs:
            raise OptionError(
                f"critical_pair must be below the {rope.pairs} pairs of a head, because pairs count from 0; got "
                f"{self.critical_pair}. Leave it out for the theoretical one."
            )
        return self.critical_pair

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The same scale on the logits of every query: 1 + ln factor / ln trained_length."""
        return LongRope(self.factor).attention_scale(rope, positions, layer)
