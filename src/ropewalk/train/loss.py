"""Next-token loss that never holds the logits of a whole window.

Only supervised tokens reach the output head, and torch's `linear_cross_entropy` walks through them in chunks. A model
whose logits are more than `head(hidden)` (soft-capped, scaled) is found out by comparing both ways once, and keeps
its own forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils import checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORED = -100
CHUNK = 512
_FUSED_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Reading:
    """What a model made of a batch: its last hidden states and its output head, or its logits and no head.

    Attributes:
        states: `[batch, window, width]`, or logits `[batch, window, vocabulary]`.
        head: Weight of the output head, `[vocabulary, width]`, or None.
    """

    states: torch.Tensor
    head: torch.Tensor | None

    def cross_entropy(self, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the next-token losses, in nats.

        Args:
            labels: `[batch, window]`, `IGNORED` where nothing is learned.
        """
        targets = labels[:, 1:]
        wanted = targets != IGNORED
        rows = self.states[:, :-1][wanted]
        if self.head is None:
            return functional.cross_entropy(rows.float(), targets[wanted], reduction="sum")
        return linear_cross_entropy(rows, self.head, targets[wanted])


def read(model: PreTrainedModel, batch: dict[str, torch.Tensor], *, fused: bool) -> Reading:
    """One forward over a batch.

    Args:
        model: A causal language model.
        batch: `input_ids`, `position_ids`, `attention_mask`; `labels` are left out.
        fused: The logits are exactly `head(hidden)`; see `head_is_linear`.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    if not fused:
        return Reading(model(**inputs, use_cache=False).logits, None)
    hidden = model.base_model(**inputs, use_cache=False).last_hidden_state
    return Reading(hidden, model.get_output_embeddings().weight)


def summed_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor], *, fused: bool) -> torch.Tensor:
    """Sum of the next-token losses of a batch, in nats; see `read`."""
    return read(model, batch, fused=fused).cross_entropy(batch["labels"])


def linear_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed cross entropy of `hidden @ weight.T`, in chunks of rows.

    Args:
        hidden: `[tokens, width]`.
        weight: `[vocabulary, width]`.
        targets: int64 `[tokens]`.
    """
    # Under autocast torch's own multiplies in float32 all the same, which on a processor takes half as long again.
    if hasattr(functional, "linear_cross_entropy") and not torch.is_autocast_enabled(hidden.device.type):
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=CHUNK)
        return functional.linear_cross_entropy(hidden, weight, targets, reduction="sum", options=options)
    return _checkpointed_cross_entropy(hidden, weight, targets)


def _checkpointed_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same for autocast, and for torch before 2.13: the backward pass computes each chunk's logits again."""

    def chunk_loss(rows: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(functional.linear(rows, weight).float(), wanted, reduction="sum")

    total = hidden.new_zeros((), dtype=torch.float32)
    for rows, wanted in zip(torch.split(hidden, CHUNK), torch.split(targets, CHUNK), strict=True):
        total = total + checkpoint.checkpoint(chunk_loss, rows, wanted, use_reentrant=False)
    return total


@torch.no_grad()
def head_is_linear(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> bool:
    """Whether the model's logits are its output head applied to its last hidden state, measured on a few tokens."""
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        return False
    small = {name: value[:1, :64] for name, value in batch.items() if value.ndim == 2}
    small["labels"] = small["input_ids"]
    was_training = model.training
    model.eval()
    try:
        plain, fast = summed_loss(model, small, fused=False), summed_loss(model, small, fused=True)
    finally:
        model.train(was_training)
    return bool(torch.isfinite(fast)) and abs(float(plain - fast)) <= _FUSED_TOLERANCE * max(1.0, abs(float(plain)))
