"""Several processes at one study: each makes cells that no other is at, and reads those that others have made.

FOLDER/locks/LABEL   held by the process that makes the cell, or one that goes on from it. It is the operating system's
                     lock, so it ends with its process, however that ends; the next one goes on with the cell where that
                     one stopped.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from ropewalk.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from ropewalk.cells.cell import Cell
    from ropewalk.run.extension import Reporter

LOCKS = "locks"
PAUSE = 2.0  # seconds between two looks at cells that others make


def in_turn(cells: Iterable[Cell], folder: Path, reporter: Reporter) -> Iterator[Cell]:
    """Every cell once, each while no other process can be at it; those that others make come when they are done.

    Args:
        cells: In the order of work.
        folder: The study's folder.
        reporter: Hears that others are waited for.

    Raises:
        OutputError: The folder cannot be written.
    """
    waiting, said = list(cells), False
    while waiting:
        taken = []
        for cell in waiting:
            if not (yield from _if_free(cell, folder)):
                taken.append(cell)
        if len(taken) == len(waiting):
            if not said:
                reporter.stage(f"waiting for {', '.join(cell.label for cell in taken)}: other processes are at it")
            said = True
            time.sleep(PAUSE)
        waiting = taken


@contextmanager
def held(name: str, folder: Path) -> Iterator[None]:
    """Keeps other processes from a part of a study, and waits for one that is at it.

    Args:
        name: Of the part.
        folder: The study's folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    with _lock(name, folder):
        yield


def _if_free(cell: Cell, folder: Path) -> Generator[Cell, None, bool]:
    """Yields the cell under its lock; nothing if another process holds that. Returns whether it was yielded."""
    lock = _lock(cell.shortest.label, folder)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    try:
        yield cell
    finally:
        lock.release()
    return True


def _lock(name: str, folder: Path) -> FileLock:
    try:
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"a study keeps its cells in a folder; '{folder}' cannot be written: {error}. Choose another place with -o."
        ) from error
    return FileLock(folder / LOCKS / name)
