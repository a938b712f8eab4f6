"""DroPE: no pair turns any more; the model tells positions from the causal mask alone.

Paper      Gelberg, Eguchi, Akiba, Cetin (2025), arXiv:2512.12167. The scale: Wang et al. (2024), arXiv:2404.12224.
Equation   new_i = 0
           logits are multiplied by logit_scale
Symbols    logit_scale  1  above 0; 1 leaves the logits alone
Hooks      frequencies; attention_scale, where it is not 1.
Disagrees  The variant with normalised queries and keys changes the architecture and is not offered. Whether and how the
           paper's tables sharpen attention beyond the old window was not verified: the default is 1.
Needs      Recalibration at the old window, 0.5 to 2 % of pretraining (30 billion tokens for a 7B model in the released
           recipes). Untrained, the model is broken at every length.
Checked    tests/methods/test_clipped_methods.py: all zero; tests/adapters/test_adapters_new_methods.py: the logits of a
           model without a rotation.

>>> from ropewalk.rope import Rope
>>> Drope().frequencies(Rope(head_dim=8, base=1e4, trained_length=4096)).tolist()
[0.0, 0.0, 0.0, 0.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.method import Method, Paper, register
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.rope import Floats, Integers, Rope


@register("drope")
@dataclass(frozen=True)
class Drope(Method):
    """No rotary embedding.

    Attributes:
        logit_scale: What all logits are multiplied by.
    """

    paper: ClassVar[Paper] = Paper(
        title="Extending the Context of Pretrained LLMs by Dropping Their Positional Embeddings",
        authors="Yoav Gelberg and Koshi Eguchi and Takuya Akiba and Edoardo Cetin",
        year=2025,
        arxiv="2512.12167",
    )
    exemptions: ClassVar[Mapping[str, str]] = {
        "the_neutral_setting_changes_nothing": "It has one setting, and that takes the rotation away.",
    }
    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        checked_positive("logit_scale", self.logit_scale, "logits are multiplied by it")

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: none."""
        return np.zeros(rope.pairs)

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The same scale on the logits of every query."""
        del rope, layer
        return np.full(np.shape(positions), float(self.logit_scale))

    def stretch_bound(self, rope: Rope) -> float:
        """None: all pairs stand still."""
        del rope
        return math.inf
