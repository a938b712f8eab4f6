"""Token stores that are kept: in a folder named after everything that their tokens depend on.

`ROPEWALK_CACHE/tokens/NAME` holds the Arrow file and `store.json`, which is written last. A store is written under
another name and renamed: one that was cut off is never read, and of two processes that write the same one the second
throws its own away. One whose bytes are not those that were written is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ropewalk.data.store import SCHEMA, StoreWriter, TokenStore
from ropewalk.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS = "tokens.arrow"
ABOUT = "store.json"
ABANDONED_SECONDS = 24 * 3600  # after so long nobody is writing any more

Facts = dict[str, Any]


def cache_folder() -> Path:
    """Where stores are kept: `ROPEWALK_CACHE`, else `~/.cache/ropewalk`."""
    return Path(os.environ.get("ROPEWALK_CACHE") or Path.home() / ".cache" / "ropewalk") / "tokens"


def find_store(name: str) -> tuple[TokenStore, Facts] | None:
    """A kept store and what was said about it, or None if there is none, or none that is whole."""
    folder = cache_folder() / name
    if not folder.exists():
        return None
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        if about["sha256"] != _digest(folder / TOKENS):
            raise ValueError("the bytes are not those that were written")
        return TokenStore.open(folder / TOKENS), about["facts"]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        _discard(folder)
        return None


def keep_store(fill: Callable[[StoreWriter], tuple[str, Facts]]) -> tuple[TokenStore, Facts]:
    """Writes a store.

    Args:
        fill: Writes the rows, and gives the store's name and what is to be said about it.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(folder)
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        try:
            with (
                pa.OSFile(str(partial / TOKENS), "wb") as file,
                pa.ipc.new_stream(file, SCHEMA) as stream,
                StoreWriter(stream.write_batch) as writer,
            ):
                name, facts = fill(writer)
            about = {"sha256": _digest(partial / TOKENS), "facts": facts}
            (partial / ABOUT).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from error
        return _put_in_place(partial, name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, name: str) -> tuple[TokenStore, Facts]:
    """Renames a store, unless another process was faster: a folder that is not empty is never replaced."""
    why = OSError("what was written cannot be read again")
    for _ in range(2):  # a second time where a damaged one stood
        try:
            partial.rename(partial.parent / name)
        except OSError as error:
            why = error
        found = find_store(name)
        if found:
            return found
    raise _unwritable(partial.parent, why)


def _discard(folder: Path) -> None:
    """Takes a damaged store away; under a name of its own first, because others may be at it as well."""
    with suppress(OSError):  # it may be gone already, or lie where nothing can be written
        aside = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        folder.rename(aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)


def _clear_abandoned(folder: Path) -> None:
    """Removes what killed processes left."""
    for partial in folder.glob("partial-*"):
        with suppress(FileNotFoundError):  # its process has just ended
            newest = max((file.stat().st_mtime for file in [partial, *partial.rglob("*")]), default=0.0)
            if time.time() - newest > ABANDONED_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"tokens of large training data are kept on disk while they are trained on; '{folder}' cannot be written: "
        f"{error.strerror or error}. Make room there, or set ROPEWALK_CACHE to a folder that has it."
    )
