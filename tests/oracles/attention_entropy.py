"""Entropy of attention from whole matrices of probabilities, and a plain bisection, in float64."""

from __future__ import annotations

import math

import numpy as np


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """-sum p ln p over the last axis, with 0 ln 0 = 0."""
    p = np.asarray(probabilities, dtype=np.float64)
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(-1)


def sharpened(probabilities: np.ndarray, multiplier: float) -> np.ndarray:
    """softmax(multiplier x logits) from softmax(logits): its power, divided by the sum."""
    p = np.asarray(probabilities, dtype=np.float64) ** multiplier * (np.asarray(probabilities) > 0)
    return p / p.sum(-1, keepdims=True)


def bisect(function, target: float, low: float, high: float) -> float:
    """Where a falling function meets the target, halving the bracket 60 times."""
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if function(middle) > target else (low, middle)
    return math.sqrt(low * high)


def uniform(keys: int) -> float:
    """Entropy of attention that is spread evenly."""
    return math.log(keys)
