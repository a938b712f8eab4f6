"""NTK-by-parts: leave fast pairs alone, stretch slow pairs fully, blend in between.

Paper      bloc97 (2023) in the YaRN repository; Peng, Quesnelle, Fan, Shippole (2023), arXiv:2309.00071, eq. 17-19.
Equation   new_i = f_i * (keep_i + (1 - keep_i) / s)              ramp "index" and "turns"
           new_i = f_i / (keep_i + (1 - keep_i) * s)              ramp "revised"
           keep_i = 1 - clip((i - low) / (high - low), 0, 1)      "index", "revised"; low, high: the pairs that turn
                                                                  beta_fast and beta_slow times in the trained window,
                                                                  rounded outwards where `truncate`
           keep_i = clip((r_i - beta_slow) / (beta_fast - beta_slow), 0, 1)                              "turns"
Symbols    f_i  rope.frequencies  rad/token  [pairs], fastest first
           r_i  rope.turns        turns      [pairs], f_i L / 2 pi
           s    factor            1          target_length / trained_length, >= 1
           beta_fast, beta_slow   turns      defaults 32 and 1: the paper's values for Llama
Hooks      frequencies.
Disagrees  The printed ramp is straight in turns; released code and transformers make it straight in pair index, and so
           do we. `revised` is what the released code of PoSE and CREAM runs under the name YaRN: straight in
           wavelength, up to (s + 1)^2 / 4 s times slower in the middle. The very first release blended three rules
           with other constants; it is not offered. Where the whole ramp lies outside the head (a window below 7
           tokens, or one in which even pair d - 1 would turn beta_fast times) transformers' ramp runs backwards; ours
           does not.
Needs      Works untrained with loss of quality; the paper fine-tunes.
Checked    tests/methods/test_ntk_by_parts.py: tests/oracles/frequency_rules.py, the papers' correction ranges.

>>> from ropewalk.rope import Rope
>>> NtkByParts(factor=8).stretch(Rope(head_dim=64, base=1e4, trained_length=4096))[[0, 15, 31]].round(2).tolist()
[1.0, 1.51, 8.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.method import FactorMethod, Paper, register
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope

Ramp = Literal["index", "turns", "revised"]


@register("ntk-by-parts")
@dataclass(frozen=True)
class NtkByParts(FactorMethod):
    """NTK-by-parts.

    Attributes:
        factor: target_length / trained_length, at least 1.
        beta_fast: Pairs that turn at least this often inside the trained window keep their frequency.
        beta_slow: Pairs that turn at most this often are stretched by the whole factor.
        ramp: `index` as in released code and transformers, `turns` as printed, `revised` as PoSE and CREAM run it.
        truncate: Whether the ends of an index ramp are rounded outwards to whole pairs.
    """

    paper: ClassVar[Paper] = Paper(
        title="YaRN: Efficient Context Window Extension of Large Language Models",
        authors="Bowen Peng and Jeffrey Quesnelle and Honglu Fan and Enrico Shippole",
        year=2023,
        arxiv="2309.00071",
    )
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    ramp: Ramp = "index"
    truncate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ramp(self.beta_fast, self.beta_slow, self.ramp)

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`."""
        keep = kept_share(rope, self.beta_fast, self.beta_slow, self.ramp, self.truncate)
        if self.ramp == "revised":
            return rope.frequencies / (keep + (1.0 - keep) * self.factor)
        return rope.frequencies * (keep + (1.0 - keep) / self.factor)


def check_ramp(beta_fast: float, beta_slow: float, ramp: str) -> None:
    """Raises OptionError where the ramp has no two ends or an unknown shape."""
    if ramp not in get_args(Ramp):
        raise OptionError(f"ramp must be one of {', '.join(get_args(Ramp))}; got '{ramp}'.")
    for name, value in (("beta_fast", beta_fast), ("beta_slow", beta_slow)):
        checked_positive(name, value, "it counts turns inside the trained window")
    if beta_fast <= beta_slow:
        raise OptionError(
            f"beta_fast must be above beta_slow, because fast pairs turn more often; got beta_fast {beta_fast} and "
            f"beta_slow {beta_slow}. The paper's values are 32 and 1."
        )


def kept_share(rope: Rope, beta_fast: float, beta_slow: float, ramp: str, truncate: bool) -> Floats:
    """How much of its own frequency each pair keeps, `[pairs]`, from 1 (fast) to 0 (slow)."""
    if ramp == "turns":
        share: Floats = np.clip((rope.turns - beta_slow) / (beta_fast - beta_slow), 0.0, 1.0)
        return share
    low, high = correction_range(rope, beta_fast, beta_slow, truncate)
    left: Floats = np.clip((np.arange(rope.pairs) - low) / (high - low), 0.0, 1.0)
    return 1.0 - left


def correction_range(rope: Rope, beta_fast: float, beta_slow: float, truncate: bool) -> tuple[float, float]:
    """First and last pair index of the ramp; the last may lie beyond the last pair, as in the released code."""
    last = rope.head_dim - 1
    low, high = _pair_that_turns(rope, beta_fast), _pair_that_turns(rope, beta_slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    # Without the second bound of each, a ramp outside the head would run backwards and swap fast and slow.
    low, high = min(max(low, 0), last), max(min(high, last), 0)
    return low, high if high > low else low + 0.001


def _pair_that_turns(rope: Rope, turns: float) -> float:
    """Fractional index of the pair that turns so often inside the trained window."""
    return rope.head_dim * math.log(rope.trained_length / (turns * 2 * math.pi)) / (2 * math.log(rope.base))
