"""What a frequency vector is worth in a loaded model: remembered and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.adapters.swap import swapped_frequencies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.choose.needles import Needles
    from ropewalk.rope import Floats

DIGITS = 9  # within which two vectors are the same
SLOWEST = 1e-30  # radians per token; a pair that stands still


@dataclass
class Objective:
    """Needle losses of one model under other frequencies.

    Attributes:
        model: Loaded, and not scaled.
        needles: What is asked.
        remembered: Losses by vector, so that nothing is measured twice; a storage may fill it beforehand.
        evaluations: Vectors that were measured, and not remembered.
        conditions: What the losses depend on, as JSON knows it.
    """

    model: Any
    needles: Needles
    remembered: dict[tuple[float, ...], tuple[float, ...]] = field(default_factory=dict)
    evaluations: int = 0
    conditions: Mapping[str, Any] = field(default_factory=dict)

    def losses(self, frequencies: Floats, attention_factor: float = 1.0) -> Floats:
        """Loss on each context, nats per token, `[contexts]`."""
        key = self.key(frequencies, attention_factor)
        if key not in self.remembered:
            with swapped_frequencies(self.model, frequencies, attention_factor):
                self.remembered[key] = tuple(map(float, self.needles.losses(self.model)))
            self.evaluations += 1
        return np.array(self.remembered[key])

    @staticmethod
    def key(frequencies: Floats, attention_factor: float) -> tuple[float, ...]:
        """What tells a vector from others: logarithms of frequencies, and the factor, rounded."""
        logarithms = np.log(np.maximum(frequencies, SLOWEST))
        return (*(round(float(value), DIGITS) for value in logarithms), round(attention_factor, DIGITS))

    def __call__(self, frequencies: Floats, attention_factor: float = 1.0) -> float:
        """Mean loss over the contexts."""
        return float(self.losses(frequencies, attention_factor).mean())
