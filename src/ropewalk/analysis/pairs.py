"""Which pairs a model knows: who completes a turn inside a window, and who meets angles that training never showed.

A pair that turns at least once inside the trained window has seen every angle. A slower pair has seen only the first
part of its circle, and a longer text takes it into angles that are new to the model unless it is stretched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Integers, Rope

TURN = 2.0 * np.pi


def wavelengths(frequencies: Floats) -> Floats:
    """Tokens per full turn, `[pairs]`; infinite for a pair that stands still."""
    with np.errstate(divide="ignore"):
        tokens: Floats = TURN / frequencies
    return tokens


def incomplete_pairs(frequencies: Floats, length: int) -> Integers:
    """Indices of the pairs that never complete a turn inside a window.

    Args:
        frequencies: Radians per token, `[pairs]`.
        length: Tokens of the window.
    """
    return np.flatnonzero(frequencies * length < TURN)


def pairs_beyond_training(rope: Rope, frequencies: Floats, target_length: int) -> Integers:
    """Indices of the pairs that reach angles at the target length which training never showed.

    Args:
        rope: The trained geometry.
        frequencies: Radians per token after the extension, `[pairs]`.
        target_length: Tokens of the extended window.
    """
    # Whole windows on both sides: interpolation by exactly the factor maps [0, target) onto [0, trained).
    trained = rope.frequencies * rope.trained_length
    reached = frequencies * target_length
    # Rounding of a stretch must not count as a new angle.
    return np.flatnonzero((rope.turns < 1.0) & (reached > trained * (1.0 + 1e-9)))
