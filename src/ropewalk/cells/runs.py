"""Runs of cells: a packaged run file with entries laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.run.runfile import override, parse_run, read_run

if TYPE_CHECKING:
    from ropewalk.run.runfile import RunFile


def recipe(name: str, **entries: Any) -> RunFile:
    """A run of the package with other entries; a method or sampler that is given replaces the file's whole.

    Args:
        name: Of the packaged run file.
        entries: As in a run file, nested.
    """
    values = read_run(name)
    for section in ("method", "positions"):
        if section in entries:
            values.pop(section, None)
    return parse_run(override(values, entries), where=f"run file {name}.toml")


def seeds(count: int) -> range:
    """The seeds of headline cells; those of single runs begin with the same one."""
    return range(count)
