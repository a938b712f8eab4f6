"""Llama 3.1's scaling: slow pairs are stretched fully, fast pairs not at all, with a ramp that is straight in turns.

Paper      Grattafiori et al. (2024), arXiv:2407.21783, for the model; the rule itself is in Meta's released code.
Equation   new_i = f_i * (keep_i + (1 - keep_i) / s)
           keep_i = clip((r_i - low_freq_factor) / (high_freq_factor - low_freq_factor), 0, 1)
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
           r_i  rope.turns        turns      [pairs], f_i L / 2 pi
           s    factor            1          target_length / trained_length, >= 1
           low_freq_factor, high_freq_factor   turns   defaults 1 and 4: the released model's values and names
Hooks      frequencies.
Disagrees  The paper's text gives only a base of 500 000; the ramp is known from code alone. It is exactly NTK-by-parts
           with the printed ramp, beta_slow 1 and beta_fast 4.
Needs      Continued training in the released models, up to a window of 131 072 tokens.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py, equal to `ntk-by-parts`.
           tests/methods/test_agreement_with_transformers.py: transformers' `llama3`.

>>> from ropewalk.rope import Rope
>>> Llama3(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 20, 31]].round(2).tolist()
[1.0, 2.3, 8.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.errors import OptionError
from ropewalk.method import FactorMethod, Paper, register
from ropewalk.methods.ntk_by_parts import NtkByParts
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


@register("llama3")
@dataclass(frozen=True)
class Llama3(FactorMethod):
    """Llama 3.1's frequency rule.

    Attributes:
        factor: target_length / trained_length, at least 1.
        low_freq_factor: Pairs that turn less often than this inside the trained window are stretched fully.
        high_freq_factor: Pairs that turn more often than this keep their frequency.
    """

    paper: ClassVar[Paper] = Paper(
        title="The Llama 3 Herd of Models",
        authors="Aaron Grattafiori and Abhimanyu Dubey and Abhinav Jauhri and Abhinav Pandey and others",
        year=2024,
        arxiv="2407.21783",
    )
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low_freq_factor", "high_freq_factor"):
            checked_positive(name, getattr(self, name), "it counts turns inside the trained window")
        if self.high_freq_factor <= self.low_freq_factor:
            raise OptionError(
                f"high_freq_factor must be above low_freq_factor, because fast pairs turn more often; got "
                f"high_freq_factor {self.high_freq_factor} and low_freq_factor {self.low_freq_factor}. The released "
                "model's values are 4 and 1."
            )

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`."""
        parts = NtkByParts(self.factor, beta_fast=self.high_freq_factor, beta_slow=self.low_freq_factor, ramp="turns")
        return parts.frequencies(rope)
