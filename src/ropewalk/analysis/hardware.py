"""Accelerators by name: what they hold, and how fast they multiply.

Peaks are their makers' data sheets, dense, bfloat16 with float32 sums. What a program reaches of them is assumed and
printed wherever a time is: 0.70 in matrix products and 0.60 in attention, what FlashAttention 3 and cuDNN reach on an
H100; a kernel of the generation before reaches half of that. No time that rests on them was measured by us.
"""

from __future__ import annotations

from dataclasses import dataclass

from ropewalk.errors import unknown_name

GIB = 2**30
RESERVED_BYTES = 2 * GIB  # the driver's context, and what an allocator cannot use


@dataclass(frozen=True)
class Device:
    """An accelerator.

    Attributes:
        name: As one types it.
        memory_bytes: What it holds.
        peak_flops: Operations a second, bfloat16, dense.
        products_share, attention_share: Assumed shares of the peak.
    """

    name: str
    memory_bytes: float
    peak_flops: float
    products_share: float = 0.70
    attention_share: float = 0.60

    @property
    def usable_bytes(self) -> float:
        """What a training may take."""
        return self.memory_bytes - RESERVED_BYTES


DEVICES = {
    device.name: device
    for device in (
        Device("rtx3090", 24 * GIB, 71e12),
        Device("rtx4090", 24 * GIB, 165e12),
        Device("l4", 24e9, 121e12),
        Device("l40s", 48e9, 362e12),
        Device("a100-40", 40 * GIB, 312e12),
        Device("a100-80", 80 * GIB, 312e12),
        Device("h100", 80 * GIB, 989e12),
        Device("h200", 141e9, 989e12),
        Device("b200", 180e9, 2250e12),
        Device("mi300x", 192e9, 1307e12),
    )
}


def device_named(name: str) -> Device:
    """An accelerator by its name, such as `h200`.

    Raises:
        UnknownNameError: None is called so.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    return DEVICES[name]
