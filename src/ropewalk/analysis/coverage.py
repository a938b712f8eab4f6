"""Which distances between two tokens a training window shows.

Attention knows positions only through distances. A sampler trains a distance if some pair of tokens of the window
stands that far apart; what no window shows, the model must guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.sampler import sample_generator

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers
    from ropewalk.sampler import Sampler

# Comparing every run with every other is faster than a Fourier transform only while there are few.
MOST_RUNS = 64


@dataclass(frozen=True)
class Coverage:
    """How often distances are covered.

    Attributes:
        probability: Share of the drawn windows that hold two tokens at each distance, `[target_length - 1]`; the first
            entry is distance 1.
        draws: Number of windows drawn.
        seed: Seed of the draws.
    """

    probability: Floats
    draws: int
    seed: int

    @property
    def mean(self) -> float:
        """Share of all distances that one window covers, on average."""
        return float(self.probability.mean())

    @property
    def ever(self) -> float:
        """Share of all distances that at least one of the windows covers."""
        return float((self.probability > 0).mean())

    def bands(self, count: int = 8) -> list[tuple[int, int, float]]:
        """First and last distance of equal bands, and the mean probability in each."""
        parts = np.array_split(np.arange(1, len(self.probability) + 1), min(count, len(self.probability)))
        return [(int(part[0]), int(part[-1]), float(self.probability[part - 1].mean())) for part in parts]


def coverage(sampler: Sampler, *, window: int, target_length: int, draws: int = 1000, seed: int = 0) -> Coverage:
    """Draws windows and counts the distances that each covers.

    Args:
        sampler: The training-position sampler.
        window: Tokens in a training window.
        target_length: Tokens of the extended window.
        draws: How many windows to draw.
        seed: Window n is drawn as sample n of a run with this seed.
    """
    changes = np.zeros(target_length + 1, dtype=np.int64)
    for number in range(draws):
        positions = sampler.positions(sample_generator(seed, number), window=window, target_length=target_length)
        for first, last in covered_intervals(positions):
            changes[first] += 1
            changes[last + 1] -= 1
    return Coverage(np.cumsum(changes)[1:target_length] / draws, draws, seed)


def covered_intervals(positions: Integers) -> list[tuple[int, int]]:
    """First and last distance of each unbroken stretch of distances between two of the positions, ascending.

    Args:
        positions: Strictly increasing, `[window]`.
    """
    breaks = np.flatnonzero(np.diff(positions) != 1)
    firsts = positions[np.concatenate([[0], breaks + 1])]
    lasts = positions[np.concatenate([breaks, [len(positions) - 1]])]
    if len(firsts) > MOST_RUNS:
        return _runs(_differences(positions))
    later, earlier = np.tril_indices(len(firsts), -1)
    between = zip(firsts[later] - lasts[earlier], lasts[later] - firsts[earlier], strict=True)
    inside = (1, int((lasts - firsts).max()))
    return _merged([inside, *((int(first), int(last)) for first, last in between)])


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of intervals of whole numbers, empty ones dropped."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(interval for interval in intervals if interval[0] <= interval[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _differences(positions: Integers) -> Integers:
    """All distances between two of many positions, ascending: where their autocorrelation is not zero."""
    span = int(positions[-1] - positions[0]) + 1
    present = np.zeros(span)
    present[positions - positions[0]] = 1.0
    size = 1 << (2 * span - 1).bit_length()
    spectrum = np.fft.rfft(present, size)
    pairs = np.fft.irfft(spectrum * spectrum.conj(), size)[1:span]
    return np.flatnonzero(pairs > 0.5) + 1


def _runs(numbers: Integers) -> list[tuple[int, int]]:
    """First and last number of each run of consecutive numbers."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts if len(part)]
