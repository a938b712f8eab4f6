"""Number formats of training, and which of them is fast here."""

from __future__ import annotations

import time
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.run.plan import Plan

PRECISIONS: Mapping[str, torch.dtype] = MappingProxyType({"float32": torch.float32, "bfloat16": torch.bfloat16})
# Attention and everything element by element gain little, so products alone must be this much faster for a training
# step to be: measured on two processors with bfloat16 instructions (docs/LOG.md).
WORTHWHILE = 3.0
_SIZES = (2048, 512, 512)
_ROUNDS = 25


def precision_of(plan: Plan) -> torch.dtype:
    """The number format of a run, in which its weights are saved and its models are compared."""
    return PRECISIONS[plan.run.train.precision]


@cache
def fastest_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """`bfloat16` where the device multiplies matrices at least `WORTHWHILE` times as fast in it, else `float32`.

    Measured, because what a processor says of itself does not tell: some have the instructions and gain nothing, some
    take many times as long. Once in a process, so that what checks a run and what trains it find the same.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other would tell how busy the machine is
    try:
        seconds = {name: _product_seconds(dtype, device) for name, dtype in PRECISIONS.items()}
    finally:
        torch.set_num_threads(threads)
    return "bfloat16" if seconds["float32"] >= WORTHWHILE * seconds["bfloat16"] else "float32"


def product_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of one matrix product large enough to keep the device busy, measured."""
    size = 1024 if device.type == "cpu" else 8192
    return float(2 * size**3 / _product_seconds(dtype, device, (size, size, size), rounds=3))


def _product_seconds(
    dtype: torch.dtype, device: torch.device, sizes: tuple[int, int, int] = _SIZES, *, rounds: int = _ROUNDS
) -> float:
    """Seconds of one matrix product, the shortest of a few."""
    rows, inner, columns = sizes
    left = torch.ones(rows, inner, dtype=dtype, device=device)
    right = torch.ones(inner, columns, dtype=dtype, device=device)

    def once() -> float:
        started = time.perf_counter()
        (left @ right).sum().item()  # the sum waits for an accelerator to finish
        return time.perf_counter() - started

    once()
    return min(once() for _ in range(rounds))
