"""What a user allowed for the length of one command: files that can run code when they are read."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PICKLE, REMOTE_CODE = "pickle", "remote code"
_ALLOWED: ContextVar[frozenset[str]] = ContextVar("allowed", default=frozenset())


@contextmanager
def allowing(*, pickle: bool = False, remote_code: bool = False) -> Iterator[None]:
    """Allows weights in pickle files, or a checkpoint's own Python code, inside a `with` block."""
    wanted = {name for name, chosen in ((PICKLE, pickle), (REMOTE_CODE, remote_code)) if chosen}
    token = _ALLOWED.set(_ALLOWED.get() | wanted)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def allowed(what: str) -> bool:
    """Whether the user allowed `PICKLE` or `REMOTE_CODE`; nothing is allowed by default."""
    return what in _ALLOWED.get()
