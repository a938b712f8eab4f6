"""Next-token loss that never holds the logits of a whole window.

Only supervised tokens reach the output head, a chunk of rows at a time: torch's `linear_cross_entropy` walks through
plain and scaled heads and makes their gradients on the way, and where it does not serve (capped logits, autocast on a
processor, torch before 2.13) the backward pass computes each chunk's logits again. A model whose head is not known to
`ropewalk.adapters.head` keeps its own forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils import checkpoint

from ropewalk.adapters.head import Head, head_of
from ropewalk.data.collate import IGNORED, SHIFT_WEIGHTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Float32 logits of a chunk of rows. On a processor few gain nothing by more; a GPU wants more rows for its speed.
CHUNK_BYTES, GPU_CHUNK_BYTES = 16 * 2**20, 512 * 2**20
FEWEST_ROWS, MOST_ROWS = 64, 512
TARGETS = ("labels", "shift_labels", SHIFT_WEIGHTS)


@dataclass(frozen=True)
class Reading:
    """What a model made of a batch: its last hidden states and its output head, or its logits and no head.

    Attributes:
        states: `[batch, window, width]`, or logits `[batch, window, vocabulary]`.
        head: The output head, or None.
    """

    states: torch.Tensor
    head: Head | None

    def cross_entropy(self, shift_labels: torch.Tensor, shift_weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sum of the next-token losses, in nats.

        Args:
            shift_labels: What each place predicts, `[batch, window]`, `IGNORED` where nothing is learned.
            shift_weights: For how much the loss of each place counts, `[batch, window]`; None where all count alike.
        """
        wanted = shift_labels != IGNORED
        rows, targets = self.states[wanted], shift_labels[wanted]
        weights = None if shift_weights is None else shift_weights[wanted].float()
        if self.head is not None:
            return head_cross_entropy(rows, self.head, targets, weights)
        return _summed(rows.float(), targets, weights)


def read(model: PreTrainedModel, batch: dict[str, torch.Tensor], *, fused: bool) -> Reading:
    """One forward over a batch.

    Args:
        model: A causal language model.
        batch: `input_ids`, `position_ids`, `attention_mask`; labels are left out.
        fused: The head is known; see `ropewalk.adapters.head.head_is_known`.
    """
    inputs = {name: value for name, value in batch.items() if name not in TARGETS}
    if not fused:
        return Reading(model(**inputs, use_cache=False).logits, None)
    return Reading(model.base_model(**inputs, use_cache=False).last_hidden_state, head_of(model))


def summed_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor], *, fused: bool) -> torch.Tensor:
    """Sum of the next-token losses of a batch with `shift_labels`, in nats; see `read`."""
    return read(model, batch, fused=fused).cross_entropy(batch["shift_labels"], batch.get(SHIFT_WEIGHTS))


def head_cross_entropy(
    states: torch.Tensor, head: Head, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Summed cross entropy of a head's logits, in chunks of rows.

    Args:
        states: `[tokens, width]`.
        head: The output head.
        targets: int64 `[tokens]`.
        weights: For how much each token counts, float32 `[tokens]`; None where all count alike.
    """
    if weights is not None:  # torch's own sums rows alike, and without a sum it makes all logits at once
        return _checkpointed_cross_entropy(states, head, targets, weights)
    # Under autocast torch's own multiplies in float32 all the same, which on a processor takes half as long again.
    linear = head.softcap is None and not torch.is_autocast_enabled(states.device.type)
    if not linear or not hasattr(functional, "linear_cross_entropy"):
        return _checkpointed_cross_entropy(states, head, targets)
    bias = head.bias
    if head.scale != 1.0:
        states, bias = states * head.scale, None if bias is None else bias * head.scale
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk_rows(head))
    return functional.linear_cross_entropy(
        states, head.weight, targets, linear_bias=bias, reduction="sum", options=options
    )


def chunk_rows(head: Head) -> int:
    """Rows whose logits exist at one time."""
    vocabulary, allowed = len(head.weight), CHUNK_BYTES if head.weight.device.type == "cpu" else GPU_CHUNK_BYTES
    return min(MOST_ROWS, max(FEWEST_ROWS, allowed // (4 * vocabulary)))


def _checkpointed_cross_entropy(
    states: torch.Tensor, head: Head, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The same for every head, with weights and under autocast: the backward pass makes each chunk's logits again."""

    def chunk_loss(rows: torch.Tensor, wanted: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
        return _summed(head.logits(rows), wanted, counted)

    size, total = chunk_rows(head), states.new_zeros((), dtype=torch.float32)
    parts = [torch.split(states, size), torch.split(targets, size)]
    shares = [None] * len(parts[0]) if weights is None else torch.split(weights, size)
    for rows, wanted, counted in zip(*parts, shares, strict=True):
        total = total + checkpoint.checkpoint(chunk_loss, rows, wanted, counted, use_reentrant=False)
    return total


def _summed(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Summed cross entropy of rows, each counted by its weight if there are any."""
    if weights is None:
        return functional.cross_entropy(logits, targets, reduction="sum")
    return (weights * functional.cross_entropy(logits, targets, reduction="none")).sum()
