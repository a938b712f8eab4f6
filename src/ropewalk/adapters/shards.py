"""Copies of safetensors files in which some tensors are changed, in the memory of a few blocks of rows.

The layout (huggingface/safetensors, README): eight bytes with the length of a header, the header as JSON with the
dtype, shape and byte range of each tensor, then the bytes of all tensors. A change alters neither dtype nor shape, so
the header stays as it is, and one pass over the file reads and writes every byte once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import torch

from ropewalk.adapters.safetensors_header import StoredTensor as StoredTensor
from ropewalk.adapters.safetensors_header import read_header as read_header
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Bytes in hand at a time: fits the caches of a processor, which makes a copy with changes about as fast as a plain one.
BLOCK = 1 << 20
_FORMATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Change(Protocol):
    """What happens to one stored tensor."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape can be changed."""

    def apply(self, stored: torch.Tensor, first: int) -> torch.Tensor:
        """The new values of some rows.

        Args:
            stored: Consecutive rows, float32 (float64 where they are stored so); may be overwritten.
            first: Index of their first row in the whole tensor.
        """


@dataclass(frozen=True)
class LowRank:
    """W + scale * B @ A, an adapter of Hu et al. (arXiv:2106.09685).

    Attributes:
        a: `[rank, columns]`.
        b: `[rows, rank]`.
        scale: alpha / rank.
    """

    a: torch.Tensor
    b: torch.Tensor
    scale: float

    def fits(self, shape: tuple[int, ...]) -> bool:
        """A matrix of as many rows as B and as many columns as A."""
        return shape == (self.b.shape[0], self.a.shape[1])

    def apply(self, stored: torch.Tensor, first: int) -> torch.Tensor:
        """The rows with the update added."""
        rows = self.b[first : first + len(stored)].to(stored.dtype)
        # NumPy's product of so few columns takes a third of the time of torch's on one thread of a processor.
        update = rows.numpy() @ self.a.to(stored.dtype).numpy()
        return stored.add_(torch.from_numpy(update), alpha=self.scale)


@dataclass(frozen=True)
class RowScale:
    """Each row times a factor of its own, `[rows]`."""

    factors: torch.Tensor

    def fits(self, shape: tuple[int, ...]) -> bool:
        """A tensor of as many rows as factors."""
        return shape[:1] == tuple(self.factors.shape)

    def apply(self, stored: torch.Tensor, first: int) -> torch.Tensor:
        """The rows times their factors."""
        factors = self.factors[first : first + len(stored)].to(stored.dtype)
        return stored.mul_(factors.reshape(-1, *[1] * (stored.ndim - 1)))


@dataclass(frozen=True)
class Replacement:
    """Other values, whatever is stored."""

    value: torch.Tensor

    def fits(self, shape: tuple[int, ...]) -> bool:
        """A tensor of the same shape, with rows."""
        return bool(shape) and shape == tuple(self.value.shape)

    def apply(self, stored: torch.Tensor, first: int) -> torch.Tensor:
        """The rows of the new values."""
        return self.value[first : first + len(stored)].to(stored.dtype)


def copy_changed(origin: Path, target: Path, changes: Mapping[str, Change]) -> None:
    """Copies a safetensors file; the named tensors are changed in float32 and rounded once to their stored format.

    Args:
        origin: The file, which stays as it is.
        target: The new file.
        changes: What happens to tensors, by their names in the file.

    Raises:
        ModelError: The file is broken, or a tensor is stored in a format without arithmetic.
    """
    header = read_header(origin)
    longest = max((_row_bytes(header[name]) for name in changes), default=0)
    buffer = bytearray(max(BLOCK, longest))
    with origin.open("rb", buffering=0) as source, target.open("wb", buffering=0) as sink:
        for name, tensor in header.items():
            if name in changes:
                _copy(source, sink, tensor.first - source.tell(), buffer)
                _change(source, sink, buffer, tensor, changes[name], _format_of(tensor, name, origin))
        _copy(source, sink, origin.stat().st_size - source.tell(), buffer)


def _format_of(tensor: StoredTensor, name: str, file: Path) -> torch.dtype:
    if tensor.format not in _FORMATS:
        raise ModelError(
            f"a weight must be stored as {', '.join(_FORMATS)} to be changed, because others are rounded by groups; "
            f"'{name}' in {file} is {tensor.format}. Start from the checkpoint that it was quantised from."
        )
    return _FORMATS[tensor.format]


def _copy(source: BinaryIO, sink: BinaryIO, size: int, buffer: bytearray) -> None:
    with memoryview(buffer) as view:
        while size:
            part = view[: min(size, len(view))]
            _read(source, part)
            _write(sink, part)
            size -= len(part)


def _row_bytes(tensor: StoredTensor) -> int:
    return tensor.size // max(1, tensor.shape[0])


def _change(
    source: BinaryIO, sink: BinaryIO, buffer: bytearray, tensor: StoredTensor, change: Change, dtype: torch.dtype
) -> None:
    rows, row = tensor.shape[0], tensor.shape[1:]
    step = max(1, len(buffer) // max(1, _row_bytes(tensor)))
    for first in range(0, rows, step):
        count = min(step, rows - first)
        with memoryview(buffer) as view:
            _read(source, view[: count * _row_bytes(tensor)])
        stored = torch.frombuffer(buffer, dtype=dtype, count=count * math.prod(row)).view(count, *row)
        exact = stored if dtype == torch.float64 else stored.float()
        new = change.apply(exact, first).to(dtype).contiguous()
        _write(sink, new.reshape(-1).view(torch.uint8).numpy().data)


def _read(source: BinaryIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        got = source.readinto(view[done:])  # type: ignore[attr-defined]  # typeshed: BinaryIO has none
        if not got:
            raise OSError("the weight file ended early")
        done += got


def _write(sink: BinaryIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += sink.write(view[done:])
