"""Settings of training from the plainest to the leanest, and what each needs on a device."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ropewalk.analysis.memory import BFLOAT16, FLOAT32, Step, estimate
from ropewalk.result import MemoryPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ropewalk.analysis.hardware import Device
    from ropewalk.analysis.memory import Shape

TILE = 2048  # tokens, as training takes by default
LORA_RANK = 8
HOST_BYTES = 512 * 2**30  # of a host that offloading may count on


@dataclass(frozen=True)
class Setting:
    """One way to train.

    Attributes:
        words: What it is called.
        entries: Of a run file.
        changes: Of the step.
        lora: Low-rank adapters are trained alone.
    """

    words: str
    entries: Mapping[str, str | int] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    lora: bool = False

    @property
    def checkpoints(self) -> bool:
        """Whether the layers' forward pass is made twice."""
        return "activation_checkpointing" in self.changes


def settings() -> Iterator[Setting]:
    """The settings in the order in which they are tried: first what costs no time, then all weights, then adapters."""
    saved: tuple[tuple[str, dict[str, str | int], dict[str, Any]], ...] = (
        ("", {}, {}),
        (
            ", activation checkpointing",
            {"train.activation_checkpointing": "on"},
            {"activation_checkpointing": "on"},
        ),
        (
            ", activation checkpointing, tiled MLPs",
            {"train.activation_checkpointing": "on", "train.tile": TILE},
            {"activation_checkpointing": "on", "tile": TILE},
        ),
        (
            ", activations offloaded to the host, tiled MLPs",
            {"train.activation_checkpointing": "offload", "train.tile": TILE},
            {"activation_checkpointing": "offload", "tile": TILE},
        ),
    )
    for kind, chosen, lora in (("all weights", {}, False), ("LoRA", {"train.trainable": "lora"}, True)):
        for words, entries, changes in saved:
            yield Setting(kind + words, {**chosen, **entries}, changes, lora)
    quantized = {"train.trainable": "lora", "train.lora.quantize": "true"}
    yield Setting(
        "4-bit LoRA" + saved[-1][0], {**quantized, **saved[-1][1]}, {**saved[-1][2], "frozen_bytes": 0.5}, True
    )


def memory_plan(
    shape: Shape, window: int, setting: Setting, *, device: Device | None, devices: int, packed: bool
) -> MemoryPlan:
    """What a training step of one window a device needs.

    Args:
        shape: The model.
        window: Tokens of a training window.
        setting: How it is trained.
        device: Where; None asks for no fit.
        devices: Weights, gradients and optimizer states are spread over so many.
        packed: Windows of several documents carry a mask.
    """
    trained = shape.lora_parameters(LORA_RANK) if setting.lora else None
    step = Step(
        window,
        activation_bytes=BFLOAT16,
        residual_bytes=BFLOAT16 if setting.lora else FLOAT32,
        trained=trained,
        packed=packed,
        shards=devices,
    )
    found = estimate(shape, replace(step, **setting.changes))
    fits = None
    if device is not None:
        fits = found.total <= device.usable_bytes and found.host_bytes * devices <= HOST_BYTES
    return MemoryPlan(
        setting=setting.words,
        entries=dict(setting.entries),
        total_bytes=found.total,
        host_bytes=found.host_bytes,
        parts=dict(found.parts),
        fits=fits,
    )


def first_that_fits(
    shape: Shape, window: int, *, device: Device | None, devices: int, packed: bool, lora: bool = False
) -> tuple[Setting, MemoryPlan]:
    """The first setting that fits, or the leanest of all; without a device the second: checkpointing.

    Args:
        shape: The model.
        window: Tokens of a training window.
        device: Where; None asks for no fit.
        devices: How many.
        packed: Windows of several documents carry a mask.
        lora: The recipe trains adapters alone.
    """
    tried = [
        (one, memory_plan(shape, window, one, device=device, devices=devices, packed=packed))
        for one in settings()
        if one.lora or not lora
    ]
    if device is None:
        return tried[1]
    return next(((one, plan) for one, plan in tried if plan.fits), min(tried, key=lambda pair: pair[1].total_bytes))
