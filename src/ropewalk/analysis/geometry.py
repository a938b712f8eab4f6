"""What a model's rotary geometry says of long windows before anything is measured.

Two published rules. *Critical dimension* (Liu et al. 2023, arXiv:2310.05209, theorem 1): the first
2 ceil(d/2 log_b(L / 2 pi)) dimensions of a head complete a turn inside the trained window L and so have met all their
angles; an extension must keep the others within what they have met. *Base bound* (Men et al. 2024, arXiv:2405.14591,
definition 2): a query tells a token that resembles it from any other at distance m only while the sum over pairs of
cos(m theta_i) is not negative, so for a window of N tokens the base must be at least the smallest one for which that
holds at every distance up to N. Perplexity can look well below the bound; retrieval does not. Their fit of that bound,
for 128 dimensions, is 0.0424 N ** 1.628.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope

FIT = (0.0424, 1.628)
SCANNED = 2**20  # distances that are looked at one by one; beyond, the bound is the fit
BLOCK = 4096
PRECISION = 0.02  # of the logarithm of a base


def critical_dimension(rope: Rope) -> int:
    """Rotated dimensions of a head that complete a turn inside the trained window; at most all of them."""
    turns = math.log(rope.trained_length / (2 * math.pi)) / math.log(rope.base)
    return min(rope.head_dim, max(0, 2 * math.ceil(rope.head_dim / 2 * turns)))


def discrimination(frequencies: Floats, distances: Floats) -> Floats:
    """The sum over pairs of cos(distance frequency): what a resembling token has over any other, by distance.

    Args:
        frequencies: Radians per token, `[pairs]`.
        distances: Tokens, any shape.

    Returns:
        A number of at most `pairs` for each distance.
    """
    angles = np.asarray(distances, dtype=np.float64)[..., None] * frequencies
    return np.asarray(np.cos(angles).sum(axis=-1), dtype=np.float64)


def reach(frequencies: Floats, longest: int) -> int:
    """The longest distance up to which resembling tokens are preferred at every distance, in tokens.

    Args:
        frequencies: Radians per token, `[pairs]`.
        longest: Where to stop looking.
    """
    # cos(s + k) = cos(s) cos(k) - sin(s) sin(k): a block is a product with two tables that all blocks share.
    inside = np.arange(min(BLOCK, longest), dtype=np.float64)[:, None] * frequencies
    cosines, sines = np.cos(inside), np.sin(inside)
    for start in range(1, longest + 1, BLOCK):
        sums = cosines @ np.cos(start * frequencies) - sines @ np.sin(start * frequencies)
        negative = np.flatnonzero(sums[: longest + 1 - start] < 0)
        if len(negative):
            return start + int(negative[0]) - 1
    return longest


def base_bound(head_dim: int, length: int) -> float:
    """The smallest base with which a window of `length` tokens can be used, within 2 %.

    Above 1,048,576 tokens it is the paper's fit.

    Args:
        head_dim: Rotated dimensions of a head.
        length: Tokens of the window.
    """
    fitted: float = FIT[0] * math.pow(length, FIT[1])
    if length > SCANNED:
        return fitted
    exponents: Floats = np.arange(head_dim // 2, dtype=np.float64) * 2.0 / head_dim
    low, high = 0.0, max(math.log(fitted), 1.0)
    while reach(math.exp(high) ** -exponents, length) < length:
        low, high = high, high + 1.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        enough = reach(math.exp(middle) ** -exponents, length) >= length
        low, high = (low, middle) if enough else (middle, high)
    return math.exp(high)
