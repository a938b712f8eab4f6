"""The studies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.errors import unknown_name
from ropewalk.reproduce.compositions.study import compositions
from ropewalk.reproduce.cream.study import cream
from ropewalk.reproduce.entropy_abf import entropy_abf
from ropewalk.reproduce.pi.study import position_interpolation, scaling_of_interpolation

if TYPE_CHECKING:
    from collections.abc import Callable

    from ropewalk.reproduce.study import Study

STUDIES: dict[str, Callable[..., Study]] = {
    "pi": position_interpolation,
    "pi-scaling": scaling_of_interpolation,
    "entropy-abf": entropy_abf,
    "cream": cream,
    "compositions": compositions,
}


def study(name: str, *, quick: bool = False) -> Study:
    """A study by its name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in STUDIES:
        raise unknown_name("study", name, [*STUDIES, "bridge"])
    return STUDIES[name](quick=quick)
