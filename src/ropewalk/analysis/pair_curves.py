"""What every method does to every pair of one geometry: stretch and wavelength, for a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk import methods
from ropewalk.analysis.pairs import wavelengths

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.rope import Floats, Rope


@dataclass(frozen=True)
class PairCurve:
    """A method's pairs, fastest first.

    Attributes:
        method: Its name.
        stretch: How many times slower each pair turns than trained, `[pairs]`; infinite where it stands still.
        wavelengths: Tokens of a full turn, `[pairs]`; infinite where it stands still.
    """

    method: str
    stretch: Floats
    wavelengths: Floats


def pair_curves(names: Iterable[str], rope: Rope, target_length: int) -> list[PairCurve]:
    """The curves of methods as they come for a target.

    Args:
        names: Of static methods that can go there; see `ropewalk.choose.suitability`.
        rope: The trained geometry.
        target_length: Tokens of the new window.
    """
    found = ((name, methods.get(name).for_target(rope, target_length)) for name in names)
    return [PairCurve(name, m.stretch(rope), wavelengths(m.frequencies(rope))) for name, m in found]
