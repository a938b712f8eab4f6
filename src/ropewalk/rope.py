"""The rotary position embedding of a trained model: which pair turns how fast.

A head's rotated dimensions form pairs. Pair i turns by `base ** (-2 i / head_dim)` radians from one token to the next
(Su et al. 2021, arXiv:2104.09864). Everything here is NumPy float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Integers: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True)
class Rope:
    """Geometry of a rotary embedding before any extension.

    Attributes:
        head_dim: Rotated dimensions of one head, even (partial rotary models rotate fewer than the head has).
        base: `rope_theta`, greater than 1.
        trained_length: Tokens of the window that the model was trained with.

    Raises:
        OptionError: A value that no rotary embedding can have.
    """

    head_dim: int
    base: float
    trained_length: int

    def __post_init__(self) -> None:
        if self.head_dim < 2 or self.head_dim % 2:
            raise OptionError(
                f"head_dim must be even and at least 2, because rotation acts on pairs; got {self.head_dim}."
            )
        if not (math.isfinite(self.base) and self.base > 1):
            raise OptionError(f"base must be a finite number above 1; got {self.base}.")
        if self.trained_length < 2:
            raise OptionError(f"trained_length must be at least 2 tokens; got {self.trained_length}.")

    @property
    def pairs(self) -> int:
        """Number of pairs, head_dim / 2."""
        return self.head_dim // 2

    @property
    def frequencies(self) -> Floats:
        """Radians per token, `[pairs]`, fastest pair first."""
        exponents = np.arange(self.pairs, dtype=np.float64) * 2.0 / self.head_dim
        return np.asarray(self.base**-exponents, dtype=np.float64)

    @property
    def wavelengths(self) -> Floats:
        """Tokens per full turn, `[pairs]`."""
        return 2.0 * np.pi / self.frequencies

    @property
    def turns(self) -> Floats:
        """Full turns inside the trained window, `[pairs]`."""
        return self.trained_length / self.wavelengths

    @property
    def trained_pair_fraction(self) -> float:
        """Share of pairs that complete a turn inside the trained window: ln(L / 2 pi) / ln(base), within [0, 1]."""
        return min(1.0, max(0.0, math.log(self.trained_length / (2 * math.pi)) / math.log(self.base)))


def checked_factor(factor: float) -> float:
    """Returns the factor if an extension can have it.

    Raises:
        OptionError: The factor is below 1, infinite or not a number.
    """
    if not is_number(factor) or factor < 1:
        raise OptionError(
            f"factor must be a finite number of at least 1 (1 keeps the trained window); got {factor}. "
            "To go from 4,096 to 32,768 tokens use factor 8."
        )
    return float(factor)


def is_number(value: object) -> bool:
    """Whether a value, perhaps from a run file, is a finite real number (a bool and a string are not)."""
    return not isinstance(value, bool) and isinstance(value, int | float | np.number) and math.isfinite(value)


def checked_positive(name: str, value: float, reason: str) -> float:
    """Returns an option's value if it is a finite number above 0.

    Args:
        name: The option as the user knows it.
        value: What arrived.
        reason: Why it must be positive, for the message.

    Raises:
        OptionError: The value is not a finite number above 0.
    """
    if not is_number(value) or value <= 0:
        raise OptionError(f"{name} must be a finite number above 0, because {reason}; got {value}.")
    return float(value)
