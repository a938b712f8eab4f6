"""What logits are multiplied by, in plain `math`, written from the papers."""

from __future__ import annotations

import math


def yarn(factor: float) -> float:
    """cos and sin both carry 0.1 ln s + 1, so that query times key carries it twice."""
    on_query = on_key = 1.0 if factor <= 1 else 0.1 * math.log(factor) + 1
    return on_query * on_key


def longrope(factor: float, trained_length: int) -> float:
    on_query = on_key = math.sqrt(1 + math.log(factor) / math.log(trained_length)) if factor > 1 else 1.0
    return on_query * on_key


def entropy_abf(position: int, layer: int, trained_length: int, exempt_layers: int) -> float:
    """The query alone carries t, once; positions count from 1 in the paper."""
    if layer < exempt_layers:
        return 1.0
    return max(math.log(position + 1) / math.log(trained_length), 1.0)


def staircase(position: int, beta: float, step_length: float, offset: int) -> float:
    """One more window behind the query is one more in the logarithm."""
    windows = 1
    while windows * step_length <= position + offset:
        windows += 1
    return 1 + beta * math.log(windows)


def scalable_softmax(keys: int, strength: float) -> float:
    return math.log(keys) * strength
