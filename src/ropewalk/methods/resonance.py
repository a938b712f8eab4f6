"""Resonance RoPE: every wavelength becomes a whole number of tokens, so that a pair meets the same angles each turn.

Paper      Wang, Kobyzev, Lu, Rezagholizadeh, Liu (2024), arXiv:2403.00071.
Equation   new_i = 2 pi / round(2 pi / g_i)
Symbols    g_i  frequencies of `over`  rad/token  [pairs], fastest first; default `yarn`, the paper's Resonance YaRN
           s    factor                 1          target_length / trained_length; used by `over` alone
Hooks      frequencies; the attention scale is that of `over`.
Disagrees  The argument is about pairs that complete a turn inside the trained window; the released code rounds all of
           them, and so do we: the others change by less than 1 part in 2 L. Its class for linear scaling reads names
           that do not exist and cannot run; `over=linear` is what it means. Halves are rounded to even.
Needs      What `over` needs. The fastest pair changes most (6.28 to 6 tokens), at every length: untrained, that costs
           more than the repeated angles give back.
Checked    tests/methods/test_resonance.py: tests/oracles/clipped_rules.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> (2 * np.pi / Resonance(factor=8).frequencies(rope)).round(9)[[0, 1, 2, 31]].tolist()
[6.0, 8.0, 11.0, 376938.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import OverlayMethod, Paper, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.rope import Floats, Rope

# No wavelength is below 2 pi, so half a token changes it by this share at most.
MOST_ROUNDING = 0.5 / (2 * np.pi)


@register("resonance")
@dataclass(frozen=True)
class Resonance(OverlayMethod):
    """Resonance RoPE.

    Attributes:
        factor: target_length / trained_length, at least 1; used by `over` alone.
        over: Name of the method whose wavelengths are rounded.
    """

    paper: ClassVar[Paper] = Paper(
        title="Resonance RoPE: Improving Context Length Generalization of Large Language Models",
        authors="Suyuchen Wang and Ivan Kobyzev and Peng Lu and Mehdi Rezagholizadeh and Bang Liu",
        year=2024,
        arxiv="2403.00071",
    )
    exemptions: ClassVar[Mapping[str, str]] = {
        "the_neutral_setting_changes_nothing": "Rounding has no setting that leaves wavelengths alone.",
        "no_pair_turns_faster_than_before": "A wavelength may be rounded down: the first from 6.28 to 6 tokens.",
        "slow_pairs_are_stretched_at_least_as_much_as_fast_ones": "Neighbouring wavelengths are rounded up and down.",
    }
    over: str = "yarn"

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`.

        Raises:
            OptionError: A pair of `over` stands still.
        """
        before = self.underlying.frequencies(rope)
        if before.min() <= 0:
            raise OptionError(
                f"resonance must be laid over a method under which every pair turns, because a pair that stands still "
                f"has no wavelength to round; got over '{self.over}'. Use yarn."
            )
        return 2 * np.pi / np.round(2 * np.pi / before)

    def stretch_bound(self, rope: Rope) -> float:
        """The bound of `over`, and half a token."""
        return self.underlying.stretch_bound(rope) * (1 + MOST_ROUNDING)
