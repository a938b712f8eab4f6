"""Which safetensors files hold a model, and their headers, read without torch and without the tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file.

    Attributes:
        format: As safetensors calls it, such as `BF16`.
        shape: Its shape.
        first: Byte of the file where it begins.
        size: Its bytes.
    """

    format: str
    shape: tuple[int, ...]
    first: int
    size: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads from a folder; none if it loads others.

    Raises:
        ModelError: The list of the files is broken.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        return []
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{INDEX} must name the file of each tensor; that of {folder} does not ({error}).") from error


def read_header(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, in the order of their bytes.

    Raises:
        ModelError: The file is not one, or is cut off.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header: dict[str, Any] = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        found = {name: _stored(entry, 8 + length) for name, entry in header.items()}
        whole = file.stat().st_size == 8 + length + sum(tensor.size for tensor in found.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise ModelError(
            f"a weight file must be in the safetensors format; {file} is not ({error}). Fetch it again."
        ) from error
    if not whole:
        raise ModelError(f"a weight file must hold all bytes that its header names; {file} does not. Fetch it again.")
    return dict(sorted(found.items(), key=lambda item: item[1].first))


def _stored(entry: dict[str, Any], start: int) -> StoredTensor:
    first, end = entry["data_offsets"]
    return StoredTensor(entry["dtype"], tuple(entry["shape"]), start + first, end - first)
