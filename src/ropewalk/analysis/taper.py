"""Frequency vectors of two numbers: where pairs stop turning as they did, and over how many pairs that fades.

Pair i is slowed by `stretch` from the upper end of the taper on, turns as before up to its lower end, and takes a mean
of both frequencies in between, as YaRN's ramp does (arXiv:2309.00071; there the ends come from numbers of turns):

    weight_i = clip((i - cut) / width + 1/2, 0, 1)
    new_i    = ((1 - weight_i) + weight_i / stretch) f_i

Members: Position Interpolation (cut below all pairs), YaRN and NTK-by-parts (cut and width from their turns), a step
(width 0) as in a hard clip, p-RoPE and HardClip with an infinite stretch, and close to llama3, whose ramp is even in
wavelength and not in pairs, and to CoPE, whose taper is a cosine that ends at 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope


def tapered_frequencies(rope: Rope, *, cut: float, width: float, stretch: float) -> Floats:
    """The frequencies of a taper.

    Args:
        rope: The trained geometry.
        cut: Index of the pair in the middle of the taper; a fraction lies between two pairs.
        width: Pairs over which it fades, at least 0.
        stretch: How many times slower pairs beyond it turn, at least 1; infinite stops them.

    Returns:
        Radians per token, `[pairs]`.

    Raises:
        OptionError: A negative width or a stretch below 1.
    """
    if width < 0 or math.isnan(width) or not stretch >= 1:
        raise OptionError(
            f"a taper has a width of at least 0 pairs and a stretch of at least 1; got width {width} and stretch "
            f"{stretch}."
        )
    pairs = np.arange(rope.pairs, dtype=np.float64)
    weights = (pairs >= cut).astype(np.float64) if width == 0 else np.clip((pairs - cut) / width + 0.5, 0.0, 1.0)
    return rope.frequencies * ((1.0 - weights) + weights / stretch)
