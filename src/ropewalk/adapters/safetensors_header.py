"""The header of a safetensors file, read without torch and without the tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path


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
