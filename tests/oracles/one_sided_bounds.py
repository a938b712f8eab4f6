"""Bounds in plain Python: exact fractions for the binomial, one sample at a time for the bets."""

from __future__ import annotations

import math
from fractions import Fraction


def binomial_at_least(successes: int, trials: int, share: Fraction) -> Fraction:
    """Probability of so many successes or more."""
    return sum(
        (math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(successes, trials + 1)),
        Fraction(0),
    )


def capital(scores: list[float], mean: float, *, alpha: float, aim: int) -> list[float]:
    """Capital after each bet that scores exceed `mean`; the stake before a score knows only the scores before it."""
    money, so_far = 1.0, []
    for t, score in enumerate(scores):
        before = scores[:t]
        squares = 0.25 + sum((before[i] - (0.5 + sum(before[: i + 1])) / (i + 2)) ** 2 for i in range(t))
        stake = math.sqrt(2 * math.log(1 / alpha) / (aim * squares / (t + 1)))
        money *= 1 + min(stake, 0.5 / mean) * (score - mean)
        so_far.append(money)
    return so_far


def cluster_t(values: list[float], clusters: list[str], quantile: float) -> float:
    """Upper end of Student's interval for the mean, from the residual sum of each cluster."""
    residuals = _residuals(values, clusters)
    variance = len(residuals) / (len(residuals) - 1) * sum(r * r for r in residuals) / len(values) ** 2
    return sum(values) / len(values) + quantile * math.sqrt(variance)


def cluster_hall(values: list[float], clusters: list[str], quantile: float) -> float:
    """The mean at which Hall's cubic of (mean of the values - mean) / spread equals -quantile / sqrt(n)."""
    residuals = [r * len(set(clusters)) / len(values) for r in _residuals(values, clusters)]
    n, mean = len(residuals), sum(values) / len(values)
    spread = math.sqrt(sum(r * r for r in residuals) / (n - 1))
    skewness = sum(r**3 for r in residuals) * n / ((n - 1) * (n - 2)) / spread**3
    low, high = mean - 50 * spread, mean + 50 * spread
    for _ in range(100):
        middle = (low + high) / 2
        w = (mean - middle) / spread
        cubic = w + skewness * w**2 / 3 + skewness**2 * w**3 / 27 + skewness / (6 * n)
        low, high = (low, middle) if cubic < -quantile / math.sqrt(n) else (middle, high)
    return low


def _residuals(values: list[float], clusters: list[str]) -> list[float]:
    mean = sum(values) / len(values)
    return [sum(v - mean for v, c in zip(values, clusters, strict=True) if c == name) for name in sorted(set(clusters))]
