"""The samplers' laws by counting, in plain `math`, and the test that draws follow them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def normal_below(x: float, mean: float, sigma: float) -> float:
    return 0.5 * (1 + math.erf((x - mean) / (sigma * math.sqrt(2))))


def cream_half_windows(factor: int, sigma: float) -> dict[int, float]:
    """Probability of each k: the normal cut to [2, 2 f], normalised, mass rounded to the nearest whole number."""
    mean, low, high = 1 + factor, 2, 2 * factor
    whole = normal_below(high, mean, sigma) - normal_below(low, mean, sigma)
    return {
        k: (normal_below(min(k + 0.5, high), mean, sigma) - normal_below(max(k - 0.5, low), mean, sigma)) / whole
        for k in range(low, high + 1)
    }


def cream_half_windows_released(factor: int, sigma: float) -> dict[int, float]:
    """Probability of each k in the repository: mass cut down, both tails collected at the ends."""
    mean, low, high = 1 + factor, 2, 2 * factor
    below = {k: normal_below(k, mean, sigma) for k in range(low, high + 1)}
    law = {k: below[k + 1] - below[k] for k in range(low, high)}
    law[low] += below[low]
    law[high] = 1 - below[high]
    return law


def cream_released_table(uniform: float, factor: float, sigma: float) -> int:
    """The repository's inverse: the whole table of 1000 points, searched from its start, straight lines between."""
    points = [2 + (2 * factor - 2) * entry / 999 for entry in range(1000)]
    below = [normal_below(point, 1 + factor, sigma) for point in points]
    if uniform <= below[0]:
        return int(points[0])
    for entry in range(999):
        if below[entry] <= uniform < below[entry + 1]:
            share = (uniform - below[entry]) / (below[entry + 1] - below[entry])
            return int(points[entry] + share * (points[entry + 1] - points[entry]))
    return int(points[-1])


def cream_ends(window: int, head: int, k: int) -> tuple[int, int]:
    """First and last place of the middle's last token, as the repository computes them."""
    middle = window - 2 * head
    return int(head + (middle - 1) * k / 2), int(k / 2 * window - head - 1)


def cream_violations(positions: Sequence[int], head: int, window: int, target_length: int) -> list[str]:
    """Which parts of CREAM's structure a window breaks."""
    middle = list(positions[head : window - head])
    checks = {
        "window": len(positions) == window,
        "increasing": all(a < b for a, b in itertools.pairwise(positions)),
        "head": list(positions[:head]) == list(range(head)),
        "tail": list(positions[window - head :]) == list(range(target_length - head, target_length)),
        "middle": middle == list(range(middle[0], middle[0] + window - 2 * head)),
        "after the head": middle[0] >= head,
        "before the tail": middle[-1] <= target_length - head - 1,
        "reaches the end": positions[-1] == target_length - 1,
    }
    return [name for name, holds in checks.items() if not holds]


def distances(positions: Iterable[int]) -> set[int]:
    """All distances between two positions, pair by pair."""
    found: set[int] = set()
    seen: list[int] = []
    for position in positions:
        found.update(position - earlier for earlier in seen)
        seen.append(position)
    return found


def surprise(observed: Sequence[int], probabilities: Sequence[float]) -> float:
    """How many standard deviations a chi-square statistic lies above its mean (Wilson and Hilferty's cube root).

    Cells that expect fewer than 5 are put together with the next.
    """
    total = sum(observed)
    cells: list[list[float]] = [[0.0, 0.0]]
    for count, probability in zip(observed, probabilities, strict=True):
        if cells[-1][1] >= 5:
            cells.append([0.0, 0.0])
        cells[-1][0] += count
        cells[-1][1] += total * probability
    if len(cells) > 1 and cells[-1][1] < 5:
        last = cells.pop()
        cells[-1] = [cells[-1][0] + last[0], cells[-1][1] + last[1]]
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    freedom = len(cells) - 1
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
