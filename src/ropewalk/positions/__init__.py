"""All training-position samplers: one file, one sampler. Found by looking, listed nowhere."""

from __future__ import annotations

import importlib
import pkgutil
from importlib import metadata
from typing import TYPE_CHECKING

from ropewalk.errors import unknown_name
from ropewalk.sampler import SAMPLERS

if TYPE_CHECKING:
    from ropewalk.sampler import Sampler

ENTRY_POINTS = "ropewalk.positions"


def discover() -> None:
    """Imports every file of this folder, and every module that another package offers as an entry point."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        entry.load()


discover()


def names() -> tuple[str, ...]:
    """Registered names without aliases, sorted."""
    return tuple(sorted(name for name, cls in SAMPLERS.items() if name == cls.name))


def get(name: str) -> type[Sampler]:
    """The sampler of a name or alias.

    Raises:
        UnknownNameError: No sampler has that name.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    return SAMPLERS[name]
