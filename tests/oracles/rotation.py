"""One attention logit in plain complex arithmetic: RoFormer's definition."""

from __future__ import annotations

import cmath


def logit(
    query: list[complex], key: list[complex], query_position: float, key_position: float, frequencies: list[float]
) -> float:
    """Re of the sum over pairs of (q_j e^{i m f_j}) times the conjugate of (k_j e^{i n f_j})."""
    total = 0.0 + 0.0j
    for q, k, frequency in zip(query, key, frequencies, strict=True):
        rotated_query = q * cmath.exp(1j * query_position * frequency)
        rotated_key = k * cmath.exp(1j * key_position * frequency)
        total += rotated_query * rotated_key.conjugate()
    return total.real
