"""Files that are whole or not there."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file beside its place, then moves it there, so that no reader meets half a file.

    Several processes may write the same file; the last one stands.

    Args:
        path: Its folder is made.
        content: Text is written as UTF-8.

    Raises:
        OSError: It cannot be written; an earlier file stays, and nothing is left beside it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    except OSError:
        # A full disk leaves half a file, which may not stay.
        with suppress(OSError):
            beside.unlink()
        raise
