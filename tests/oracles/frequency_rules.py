"""Frequencies per pair in plain `math`, written from the papers and the released code, without the package."""

from __future__ import annotations

import math


def plain(head_dim: int, base: float) -> list[float]:
    return [1.0 / base ** (2 * pair / head_dim) for pair in range(head_dim // 2)]


def linear(head_dim: int, base: float, factor: float) -> list[float]:
    return [frequency / factor for frequency in plain(head_dim, base)]


def ntk(head_dim: int, base: float, factor: float) -> list[float]:
    return plain(head_dim, base * factor ** (head_dim / (head_dim - 2)))


def dynamic_ntk(head_dim: int, base: float, trained_length: int, alpha: float, length: int) -> list[float]:
    if length <= trained_length:
        return plain(head_dim, base)
    growth = alpha * length / trained_length - (alpha - 1)
    return plain(head_dim, base * growth ** (head_dim / (head_dim - 2)))


def correction_range(
    head_dim: int, base: float, trained_length: int, fast: float, slow: float, truncate: bool
) -> tuple[float, float]:
    """The pair indices at which wavelength L / turns is reached, from wavelength = 2 pi base^(2 i / d)."""

    def index(turns: float) -> float:
        return math.log(trained_length / (2 * math.pi * turns), base) * head_dim / 2

    low, high = index(fast), index(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    return max(low, 0), min(high, head_dim - 1)


def kept_by_index(
    head_dim: int, base: float, trained_length: int, fast: float, slow: float, truncate: bool
) -> list[float]:
    low, high = correction_range(head_dim, base, trained_length, fast, slow, truncate)
    if low == high:
        high += 0.001
    return [1 - min(max((pair - low) / (high - low), 0), 1) for pair in range(head_dim // 2)]


def kept_by_turns(head_dim: int, base: float, trained_length: int, fast: float, slow: float) -> list[float]:
    """The printed ramp, gamma(r)."""
    shares = []
    for frequency in plain(head_dim, base):
        turns = trained_length * frequency / (2 * math.pi)
        if turns < slow:
            shares.append(0.0)
        elif turns > fast:
            shares.append(1.0)
        else:
            shares.append((turns - slow) / (fast - slow))
    return shares


def blend(frequencies: list[float], kept: list[float], factor: float) -> list[float]:
    return [(1 - keep) * f / factor + keep * f for f, keep in zip(frequencies, kept, strict=True)]


def revised_blend(frequencies: list[float], kept: list[float], factor: float) -> list[float]:
    """PoSE's and CREAM's: the ramp acts on what the frequency is divided by."""
    return [f / ((1 - keep) * factor + keep) for f, keep in zip(frequencies, kept, strict=True)]


def llama3(
    head_dim: int, base: float, trained_length: int, factor: float, low_turns: float, high_turns: float
) -> list[float]:
    """Meta's three branches over wavelengths."""
    result = []
    for frequency in plain(head_dim, base):
        wavelength = 2 * math.pi / frequency
        if wavelength < trained_length / high_turns:
            result.append(frequency)
        elif wavelength > trained_length / low_turns:
            result.append(frequency / factor)
        else:
            smooth = (trained_length / wavelength - low_turns) / (high_turns - low_turns)
            result.append((1 - smooth) * frequency / factor + smooth * frequency)
    return result
