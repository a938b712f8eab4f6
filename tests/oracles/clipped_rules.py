"""Frequencies of pairs that are clipped, truncated or rounded, in plain `math`, from papers and released code."""

from __future__ import annotations

import math


def cope(before: list[float], clipped: int) -> list[float]:
    """Half a cosine over the last pairs; a single clipped pair stands at the cosine's start."""
    result = list(before)
    for step in range(clipped):
        share = step / (clipped - 1) if clipped > 1 else 0.0
        result[len(before) - clipped + step] *= math.cos(math.pi * share / 2) ** 2
    return result


def hard_clip(before: list[float], clipped: int) -> list[float]:
    return [0.0 if len(before) - pair <= clipped else frequency for pair, frequency in enumerate(before)]


def p_rope(before: list[float], kept_fraction: float) -> list[float]:
    return hard_clip(before, len(before) - math.floor(kept_fraction * len(before)))


def giraffe_truncated(before: list[float], cutoff_length: float) -> list[float]:
    """By wavelengths: below the cutoff length kept, up to eight times it 16 lengths long, beyond that endless."""
    result = []
    for frequency in before:
        wavelength = 2 * math.pi / frequency
        if wavelength <= cutoff_length:
            result.append(frequency)
        elif wavelength <= 8 * cutoff_length:
            result.append(2 * math.pi / (16 * cutoff_length))
        else:
            result.append(0.0)
    return result


def giraffe_power(before: list[float], power: float) -> list[float]:
    return [frequency * (1 - pair / len(before)) ** power for pair, frequency in enumerate(before)]


def resonance(before: list[float]) -> list[float]:
    return [2 * math.pi / round(2 * math.pi / frequency) for frequency in before]


def critical_pair(head_dim: int, base: float, trained_length: int) -> int:
    """The first pair that does not complete a turn, found by looking."""
    for pair in range(head_dim // 2):
        if 2 * math.pi * base ** (2 * pair / head_dim) > trained_length:
            return pair
    return head_dim // 2


def longrope2(head_dim: int, base: float, critical: int, factor: float) -> list[float]:
    """A base that slows the critical pair by the factor, for the pairs before it; from there the factor itself."""
    new_base = base * factor ** (head_dim / (2 * critical))
    return [
        new_base ** (-2 * pair / head_dim) if pair < critical else base ** (-2 * pair / head_dim) / factor
        for pair in range(head_dim // 2)
    ]
