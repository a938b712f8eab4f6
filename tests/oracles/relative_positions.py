"""The distance that a query is told for one key, in plain arithmetic, from the released code and the papers."""

from __future__ import annotations

import math


def rerope(query: int, key: int, window: int) -> float:
    return min(query - key, window)


def leaky_rerope(query: int, key: int, window: int, leak: float) -> float:
    distance = query - key
    return distance if distance < window else window + (distance - window) / leak


def self_extend(query: int, key: int, window: int, group: int) -> float:
    """Distance in groups, and the offset at which groups take over from neighbours."""
    if query - key < window:
        return query - key
    groups_between = math.floor(query / group) - math.floor(key / group)
    return groups_between + window - math.floor(window / group)


def log_scale(position: int, trained_length: int) -> float:
    return max(1.0, math.log(position + 1) / math.log(trained_length))
