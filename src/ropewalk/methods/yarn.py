"""YaRN: NTK-by-parts, and attention made a little sharper.

Paper      Peng, Quesnelle, Fan, Shippole (2023), arXiv:2309.00071, eq. 17-22.
Equation   new_i as in `ntk-by-parts`
           logits are multiplied by 1 / t = (0.1 ln s + 1)^2
Symbols    s    factor            1          target_length / trained_length, >= 1
           t    temperature       1          of the softmax
           attention_factor       1          sqrt(1 / t): what cos and sin are multiplied by, hence the square on logits
           beta_fast, beta_slow   turns      defaults 32 and 1: the paper's values for Llama
Hooks      frequencies, attention_scale.
Disagrees  Many secondary texts drop the square. The printed ramp is straight in turns, released code and transformers
           make it straight in pair index, and so do we: with head_dim 128, base 1e4, a window of 4096 and s = 16 they
           differ by more than 1 % in 25 of 64 pairs. `ramp="revised"` is what PoSE and CREAM call YaRN. DeepSeek's
           `mscale` over `mscale_all_dim` is a ratio of two such factors: give it as `attention_factor`.
Needs      Works untrained with loss of quality; the paper fine-tunes 400 steps at s = 16.
Checked    tests/methods/test_yarn.py: tests/oracles/logit_scales.py, golden numbers.
           tests/methods/test_agreement_with_transformers.py: transformers' `yarn`.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> Yarn(factor=8).stretch(rope)[[0, 15, 31]].round(2).tolist()
[1.0, 1.51, 8.0]
>>> Yarn(factor=8).attention_scale(rope, np.array([0, 4096]), layer=0).round(4).tolist()
[1.4591, 1.4591]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.ntk_by_parts import NtkByParts, Ramp, check_ramp
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers, Rope


@register("yarn")
@dataclass(frozen=True)
class Yarn(FactorMethod):
    """YaRN.

    Attributes:
        factor: target_length / trained_length, at least 1.
        beta_fast: Pairs that turn at least this often inside the trained window keep their frequency.
        beta_slow: Pairs that turn at most this often are stretched by the whole factor.
        ramp: `index` as in released code and transformers, `turns` as printed, `revised` as PoSE and CREAM run it.
        truncate: Whether the ends of an index ramp are rounded outwards to whole pairs.
        attention_factor: Square root of the scale on logits; None for the paper's 0.1 ln factor + 1.
    """

    paper: ClassVar[Paper] = NtkByParts.paper
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    ramp: Ramp = "index"
    truncate: bool = True
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ramp(self.beta_fast, self.beta_slow, self.ramp)
        if self.attention_factor is not None:
            checked_positive("attention_factor", self.attention_factor, "logits are multiplied by its square")

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: those of NTK-by-parts."""
        return NtkByParts(self.factor, self.beta_fast, self.beta_slow, self.ramp, self.truncate).frequencies(rope)

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The same scale on the logits of every query: the square of the attention factor."""
        del rope, layer
        factor = self.attention_factor if self.attention_factor is not None else 0.1 * math.log(self.factor) + 1.0
        return np.full(np.shape(positions), factor**2, dtype=np.float64)
