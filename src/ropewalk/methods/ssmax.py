"""Scalable softmax: logits grow with the logarithm of the number of keys, from the first token on.

Paper      Nakanishi (2025), arXiv:2501.19399. With s = 1 / ln L it is the older log-n scale.
Equation   logits of query n (counted from 1, so n keys) are multiplied by s ln n
Symbols    s  strength             1       one number for all heads; default 1 / ln L, which leaves the last query
                                   of the trained window as it was
           L  rope.trained_length  tokens
           n  positions + 1        tokens
           factor                  1       target_length / trained_length; used by `over` alone
Hooks      attention_scale (by position); the frequencies are those of `over`, and its scale multiplies this one.
Disagrees  The paper learns one s for each head and layer. A method speaks of positions and layers, not of heads, and
           needs no more: s_h / s is a constant of a head, which multiplied into that head's rows of `q_proj` gives the
           learned s_h exactly in every engine (not behind a normalisation of queries, and there its weight only where
           heads do not share it). A learned bias, s_h ln n + b_h (Mistral Large 4), is no such product and is not
           offered. `entropy-abf` is the default cut off below 1.
Needs      Training, best from the start; the paper also changes over late. Untrained, every text shorter than the
           trained window is read with flatter attention than in training: use `staircase` or `entropy-abf`.
Checked    tests/methods/test_position_scales.py: tests/oracles/logit_scales.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> Ssmax().attention_scale(rope, np.array([0, 63, 4095, 32767]), layer=0).round(4).tolist()
[0.0, 0.5, 1.0, 1.25]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.method import OverlayMethod, Paper, register
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.rope import Floats, Integers, Rope


@register("ssmax", "log-n")
@dataclass(frozen=True)
class Ssmax(OverlayMethod):
    """Scalable softmax with one strength for all heads.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose frequencies and scale it is laid over.
        strength: What ln n is multiplied by, above 0; None for 1 / ln(trained_length).
    """

    paper: ClassVar[Paper] = Paper(
        title="Scalable-Softmax Is Superior for Attention",
        authors="Ken M. Nakanishi",
        year=2025,
        arxiv="2501.19399",
    )
    exemptions: ClassVar[Mapping[str, str]] = {
        "the_neutral_setting_changes_nothing": "No strength leaves the logits of all queries alone.",
        "attention_depends_on_differences_of_positions_only": (
            "The scale grows with the number of keys inside the trained window, too."
        ),
    }
    scale_varies: ClassVar[bool] = True
    strength: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strength is not None:
            checked_positive("strength", self.strength, "the logarithm of the number of keys is multiplied by it")

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The strength times ln(position + 1), times the scale of `over`; 0 for the first token, which sees one key."""
        strength = 1.0 / math.log(rope.trained_length) if self.strength is None else self.strength
        scale: Floats = strength * np.log1p(np.asarray(positions, dtype=np.float64))
        return scale * self.underlying.attention_scale(rope, positions, layer)
