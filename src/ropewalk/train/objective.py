"""What is minimised, computed inside the model's own forward.

DDP, FSDP and DeepSpeed wrap a model's forward: what is computed outside it misses their gathering of weights and their
averaging of gradients, and accelerate's autocast with it. So for the time of the training the model's forward is ours:
a batch with targets gives losses. Everything else still reaches the forward that transformers wrote.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any

from ropewalk.data.collate import SHIFT_WEIGHTS
from ropewalk.train.loss import Reading, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from transformers import PreTrainedModel

    from ropewalk.train.restoration import Restoration

TARGETS = "shift_labels"


class Objective:
    """The losses of a batch.

    Attributes:
        plain: The forward that transformers wrote, bound to its model.
        fused: Logits are made in chunks; see `ropewalk.train.loss`.
        restoration: What the original model teaches besides, or None.
    """

    def __init__(self, plain: Callable[..., Any], *, fused: bool, restoration: Restoration | None) -> None:
        self.plain, self.fused, self.restoration = plain, fused, restoration

    def losses(self, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the next-token losses of a batch, in nats, and its weighted restoration loss, nats per token.

        Each target's loss is counted by its weight, where a batch has weights.
        """
        targets, weights = batch[TARGETS], batch.get(SHIFT_WEIGHTS)
        told_apart = (TARGETS, SHIFT_WEIGHTS, "labels", "padding")
        inputs = {name: value for name, value in batch.items() if name not in told_apart}
        if self.fused:
            reading = read(model, inputs, fused=True)
        else:
            reading = Reading(self.plain(**inputs, use_cache=False).logits, None)
        summed = reading.cross_entropy(targets, weights)
        if self.restoration is None:
            return summed, summed.new_zeros(())
        return summed, self.restoration.loss(reading, inputs, padding=batch.get("padding"), fused=self.fused)


@contextmanager
def training_forward(model: PreTrainedModel, *, fused: bool, restoration: Restoration | None) -> Iterator[None]:
    """Within, `model(**batch)` gives the losses of a batch that has targets; see `Objective.losses`."""
    objective = Objective(model.forward, fused=fused, restoration=restoration)

    def forward(self: PreTrainedModel, *arguments: Any, **batch: Any) -> Any:
        if TARGETS in batch:
            return objective.losses(self, batch)
        return objective.plain(*arguments, **batch)

    before = dict(model.__dict__)
    model.forward = MethodType(forward, model)
    try:
        yield
    finally:  # with what accelerate laid over it
        for name in ("forward", "_original_forward"):
            model.__dict__.pop(name, None)
            if name in before:
                model.__dict__[name] = before[name]
