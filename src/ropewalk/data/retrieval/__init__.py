"""All retrieval tasks: one file, one task. Found by looking, listed nowhere."""

from __future__ import annotations

import importlib
import pkgutil
from importlib import metadata
from typing import TYPE_CHECKING

from ropewalk.data.retrieval_task import TASKS
from ropewalk.errors import unknown_name

if TYPE_CHECKING:
    from ropewalk.data.retrieval_task import RetrievalTask

ENTRY_POINTS = "ropewalk.retrieval"


def discover() -> None:
    """Imports every file of this folder, and every module that another package offers as an entry point."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        entry.load()


discover()


def names() -> tuple[str, ...]:
    """Registered names, sorted."""
    return tuple(sorted(TASKS))


def get(name: str) -> type[RetrievalTask]:
    """The task of a name.

    Raises:
        UnknownNameError: No task has that name.
    """
    if name not in TASKS:
        raise unknown_name("retrieval task", name, TASKS)
    return TASKS[name]
