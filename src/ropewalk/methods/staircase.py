"""Staircase scale: logits grow with the logarithm of how many windows a query has behind it, in whole steps.

Paper      Meta (2025), the released code of Llama 4, which names arXiv:2501.19399 as its source; Mistral's Ministral 3
           and Mistral 4 use it for every layer. No paper of either was verified.
Equation   logits of the query at position m (from 0) are multiplied by 1 + beta ln(1 + floor((m + c) / L))
Symbols    beta  beta         1       0.1 in every released model; 1 / ln L makes it the steps under Entropy-ABF's curve
           L     step_length  tokens  default the trained window
           c     offset       tokens  0 as in Ministral 3; 1 as in Llama 4, whose step comes one token earlier
           s     factor       1       target_length / trained_length; used by `over` alone
Hooks      attention_scale (by position); the frequencies are those of `over`, and its scale multiplies this one.
Disagrees  Llama 4 scales only its layers without rotary embedding and counts positions from 1 inside the floor;
           Ministral 3 scales all layers and counts from 0. Here every layer is scaled. Ministral 3 is
           `over=ntk-by-parts` (its yarn has an attention factor of 1) with a step of 16,384 tokens.
Needs      Training in the released models. Untrained it leaves the trained window as it is, bit for bit.
Checked    tests/methods/test_position_scales.py: tests/oracles/logit_scales.py, transformers' function, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> Staircase().attention_scale(rope, np.array([0, 4095, 4096, 12288]), layer=0).round(4).tolist()
[1.0, 1.0, 1.0693, 1.1386]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import OverlayMethod, Paper, register
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers, Rope


@register("staircase")
@dataclass(frozen=True)
class Staircase(OverlayMethod):
    """The scale of Llama 4 and Ministral 3.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies and scale it is laid over.
        beta: How much a step raises the scale, above 0.
        step_length: Tokens of one step; None for the trained window.
        offset: 0 counts positions from 0, 1 from 1.
    """

    paper: ClassVar[Paper] = Paper(
        title="The Llama 4 herd: The beginning of a new era of natively multimodal AI innovation",
        authors="Meta",
        year=2025,
        url="https://ai.meta.com/blog/llama-4-multimodal-intelligence/",
    )
    scale_varies: ClassVar[bool] = True
    beta: float = 0.1
    step_length: float | None = None
    offset: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_positive("beta", self.beta, "the scale is to grow with the position")
        if self.step_length is not None:
            checked_positive("step_length", self.step_length, "it is a number of tokens")
        if self.offset not in (0, 1) or isinstance(self.offset, bool):
            raise OptionError(
                f"offset must be 0 (Ministral 3, positions from 0) or 1 (Llama 4, positions from 1), because released "
                f"models know no other; got {self.offset}."
            )

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """1 + beta ln(1 + whole steps behind the query), times the scale of `over`."""
        length = rope.trained_length if self.step_length is None else self.step_length
        steps = np.floor((np.asarray(positions, dtype=np.float64) + self.offset) / length)
        scale: Floats = 1.0 + self.beta * np.log1p(steps)
        return scale * self.underlying.attention_scale(rope, positions, layer)
