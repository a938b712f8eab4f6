"""The built-in text: modules of the standard library that every Python 3.11 to 3.14 installation has.

No download, no licence question, and the same files on every machine of one Python version. The texts differ a
little between Python versions, so a corpus carries a fingerprint, and a result names it.
"""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HELD_OUT_MARK = "* "


@dataclass(frozen=True)
class Corpus:
    """Named documents, sorted by name, with the fingerprint of exactly what was read.

    Attributes:
        documents: Document name (a path relative to the standard library) to text.
        missing: Listed modules that this installation lacks.
    """

    documents: Mapping[str, str]
    missing: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of SHA-256 over names and texts."""
        digest = hashlib.sha256()
        for name, text in self.documents.items():
            digest.update(f"{name}\0{hashlib.sha256(text.encode()).hexdigest()}\n".encode())
        return digest.hexdigest()[:16]


def module_names(*, held_out: bool) -> tuple[str, ...]:
    """The listed modules: those trained on, or those held out for measuring."""
    listing = resources.files("ropewalk.assets").joinpath("corpus.txt").read_text("utf-8")
    lines = [line for line in listing.splitlines() if line and not line.startswith("#")]
    if held_out:
        return tuple(line.removeprefix(HELD_OUT_MARK) for line in lines if line.startswith(HELD_OUT_MARK))
    return tuple(line for line in lines if not line.startswith(HELD_OUT_MARK))


def standard_library(*, held_out: bool, root: Path | None = None) -> Corpus:
    """Reads the training modules, or the held-out ones, of the running Python.

    Args:
        held_out: Which side of the fixed split to read.
        root: The standard library's folder; the running interpreter's own by default.
    """
    folder = root or Path(sysconfig.get_paths()["stdlib"])
    documents: dict[str, str] = {}
    missing = []
    for name in module_names(held_out=held_out):
        path = folder / name
        if path.is_file():
            documents[name] = path.read_text("utf-8")
        else:
            missing.append(name)
    return Corpus(documents, tuple(missing))


def language_reference(*, as_source: bool) -> Corpus:
    """English prose that is never trained on: the language reference which `help()` prints.

    Args:
        as_source: The file `pydoc_data/topics.py` as it stands (string literals in Python), or the texts it holds.
    """
    if as_source:
        path = Path(sysconfig.get_paths()["stdlib"]) / "pydoc_data" / "topics.py"
        return Corpus({"pydoc_data/topics.py": path.read_text("utf-8")})
    from pydoc_data.topics import topics

    return Corpus({f"topics/{name}": topics[name] for name in sorted(topics)})


def python_version() -> str:
    """The interpreter whose standard library is read, as `3.11.7`."""
    return ".".join(str(part) for part in sys.version_info[:3])
