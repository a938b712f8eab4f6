"""Entropy-ABF: a larger base, and sharper attention for queries that see more keys than in training.

Paper      Zhang, Li, Liu (2024), arXiv:2401.07004, section 4 and eq. 3.
Equation   new_i = B^(-2 i / d)
           logits of query n (counted from 1) are multiplied by max(ln n / ln L, 1), except in the first layers
Symbols    B  base                 1       default 50 times the model's own base: the paper's 500 000 for 10 000
           L  rope.trained_length  tokens  the paper's c = 4096
           n  positions + 1        tokens
           d  rope.head_dim        1
           exempt_layers           layers  2: the first two layers attend nearly evenly at any length
Hooks      frequencies, attention_scale (by position and layer).
Disagrees  Eq. 3 puts square roots on query and key; the code scales the rotated query alone, once, and so do we (the
           root form would give sqrt(t_m t_n)). The released code means to exempt two layers but sets an attribute that
           nothing reads, so that it scales all of them: `exempt_layers=0` reproduces it. It also rounds the scale to
           the model's dtype first (1.0833 becomes 1.0859 in bfloat16); ours is float64. Base: see `abf`.
Needs      Little fine-tuning: 100 samples x 6 steps in the paper. Usable untrained. The scale depends on the query's
           own position, so cached keys stay right; packed documents must restart their positions.
Checked    tests/methods/test_entropy_abf.py: tests/oracles/logit_scales.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> EntropyAbf().attention_scale(rope, np.array([0, 4095, 8191, 32767]), layer=2).round(4).tolist()
[1.0, 1.0, 1.0833, 1.25]
>>> EntropyAbf().attention_scale(rope, np.array([32767]), layer=1).tolist()
[1.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import Paper, register
from ropewalk.methods.abf import Abf

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers, Rope


@register("entropy-abf")
@dataclass(frozen=True)
class EntropyAbf(Abf):
    """Entropy-aware adjusted base frequency.

    Attributes:
        base: The new base (`rope_theta`); None for 50 times the model's own.
        exempt_layers: So many first layers keep their logits.
    """

    paper: ClassVar[Paper] = Paper(
        title="Extending LLMs' Context Window with 100 Samples",
        authors="Yikai Zhang and Junlong Li and Pengfei Liu",
        year=2024,
        arxiv="2401.07004",
    )
    scale_varies: ClassVar[bool] = True
    exempt_layers: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.exempt_layers, bool) or not isinstance(self.exempt_layers, int) or self.exempt_layers < 0:
            raise OptionError(
                f"exempt_layers must be a whole number of at least 0, because it counts layers; got "
                f"{self.exempt_layers}. The paper's rule is 2, its released code behaves like 0."
            )

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """ln(position + 1) / ln(trained_length), at least 1; exactly 1 in the exempt layers."""
        if layer < self.exempt_layers:
            return np.ones(np.shape(positions), dtype=np.float64)
        counted = np.asarray(positions, dtype=np.float64) + 1.0
        # The maximum inside the logarithm makes the scale exactly 1 up to the trained window, without rounding.
        scale: Floats = np.log(np.maximum(counted, rope.trained_length)) / np.log(np.float64(rope.trained_length))
        return scale

    def describe(self, rope: Rope) -> str:
        """Such as `entropy-abf, base 500000 (was 10000), exempt layers 2`."""
        return f"{super().describe(rope)}, exempt layers {self.exempt_layers}"
