"""The numbers of a training run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """How a model is trained: the `[train]` section of a run file.

    Attributes:
        steps: Optimizer steps; 0 trains nothing.
        batch: Windows per step, over all devices.
        micro_batch: Windows per forward pass of a device; the whole batch by default.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up from zero.
        schedule: After the warm-up: `constant`, or `linear` or `cosine` decay to zero.
        weight_decay: AdamW's.
        beta1, beta2: AdamW's.
        gradient_clip: Largest gradient norm; 0 does not clip.
        precision: Of matrix products and attention, and of the weights that are saved; while they are trained, weights
            and their updates are float32, because bfloat16 loses most small updates. `auto` becomes bfloat16 where
            this machine multiplies it several times as fast, else float32; the resolved run says which.
        restoration: Weight of KL(original || trained) inside the trained window, added to the next-token loss; the
            original model is then held in memory as well.
        activation_checkpointing: Computes activations again in the backward pass instead of keeping them.
        seed: Keys the order of the data, the positions and the tasks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=0, ge=0)
    batch: int = Field(default=32, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0, allow_inf_nan=False)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    restoration: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    activation_checkpointing: bool = False
    seed: int = Field(default=0, ge=0)
