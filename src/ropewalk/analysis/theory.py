"""Position Interpolation's theory: why positions between trained ones are safer than positions beyond them.

Paper: Chen, Wong, Chen, Tian (2023), arXiv:2306.15595, section 2.3 and appendix A; the extrapolation bound is Su et al.
(2021), arXiv:2104.09864, section 3.4.3.

A score at distance s is a(s) = Re sum_j h_j exp(i s f_j) with h_j from query and key. Between two neighbouring
distances it differs from the straight line through them by at most max|h| * (s - s1)(s2 - s) * sum(f_j^2) / 2. The
paper prints d / (4 ln base) in the place of sum(f_j^2), from base^x <= 1 + x ln base, which has the wrong sign: for
d = 128 and base 1e4 the true sum is 3.99831 and the printed value 3.47436, and `counter_example` exceeds the printed
bound.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ropewalk.rope import Floats, Rope

# (s - s1)(s2 - s) is largest halfway between two whole numbers.
HALFWAY = 0.25
CHUNK = 4096


def attention_score(coefficients: NDArray[np.complex128], frequencies: Floats, distances: Floats) -> Floats:
    """a(s), `[distances]`.

    Args:
        coefficients: h_j of query and key, complex, `[pairs]`.
        frequencies: Radians per token, `[pairs]`.
        distances: Tokens, fractional ones too, `[distances]`.
    """
    angles = np.multiply.outer(np.asarray(distances, dtype=np.float64), frequencies)
    scores: Floats = (np.cos(angles) @ coefficients.real) - (np.sin(angles) @ coefficients.imag)
    return scores


def interpolation_error(coefficients: NDArray[np.complex128], frequencies: Floats, distance: float) -> float:
    """How far a(s) lies from the straight line through the whole distances around it."""
    left = math.floor(distance)
    low, high, here = attention_score(coefficients, frequencies, np.array([left, left + 1, distance], dtype=np.float64))
    share = distance - left
    return float(abs(here - ((1 - share) * low + share * high)))


def interpolation_bound(rope: Rope) -> float:
    """Largest possible interpolation error over max|h|: sum of squared frequencies, by 8."""
    return float(np.sum(rope.frequencies**2)) * HALFWAY / 2


def printed_interpolation_bound(rope: Rope) -> float:
    """The bound as the paper prints it, d / (32 ln base); too small, see `counter_example`."""
    return rope.head_dim * HALFWAY / (8 * math.log(rope.base))


def counter_example(rope: Rope) -> NDArray[np.complex128]:
    """Coefficients of size 1 whose error at distance 1/2 exceeds the printed bound, `[pairs]`: all pairs meet there."""
    coefficients: NDArray[np.complex128] = np.exp(-0.5j * rope.frequencies)
    return coefficients


def partial_sums(rope: Rope, distances: Floats) -> Floats:
    """B(s) = sum over k of |sum over j < k of exp(i s f_j)|, k = 1 .. pairs, `[distances]`.

    The paper bounds scores beyond the trained window by it and finds B(s) >= d "numerically". That holds for d = 128 up
    to a distance of 4095; it does not for small heads or for farther distances.
    """
    values = np.asarray(distances, dtype=np.float64)
    parts = [
        np.abs(np.cumsum(np.exp(1j * np.multiply.outer(values[start : start + CHUNK], rope.frequencies)), axis=1)).sum(
            1
        )
        for start in range(0, len(values), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def extrapolation_bound(rope: Rope, distances: Floats) -> Floats:
    """Bound on |a(s)| over max|h| at any distance: 2 B(s), `[distances]`."""
    return 2.0 * partial_sums(rope, distances)


def bound_ratio(rope: Rope, distances: Floats) -> float:
    """How many times larger the extrapolation bound is than the interpolation bound, at the distance that is kindest.

    The paper says about 600 for d = 128 and base 1e4; with the corrected bound it is 571.6 over 1 .. 4095.
    """
    return float(extrapolation_bound(rope, distances).min()) / interpolation_bound(rope)
