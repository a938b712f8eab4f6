"""The sums of Position Interpolation's theory, one term after the other."""

from __future__ import annotations

import cmath
import math


def squared_frequencies(head_dim: int, base: float) -> float:
    """Closed form of the geometric series sum of base^(-4 j / d)."""
    return (1 - base**-2) / (1 - base ** (-4 / head_dim))


def score(coefficients: list[complex], frequencies: list[float], distance: float) -> float:
    return sum((h * cmath.exp(1j * distance * f)).real for h, f in zip(coefficients, frequencies, strict=True))


def partial_sums(frequencies: list[float], distance: float) -> float:
    """B(s)."""
    total, running = 0.0, 0.0 + 0.0j
    for frequency in frequencies:
        running += cmath.exp(1j * distance * frequency)
        total += abs(running)
    return total


def printed_bound(head_dim: int, base: float) -> float:
    return head_dim / (32 * math.log(base))
