"""Restoration: inside the old window the original model teaches the one that is extended.

An extension moves the pairs, and what the model knew at short range must be learned again. Next-token labels are a
poor teacher for that: in a window of 2,048 tokens only an eighth of them stand at the first 256 positions, and each
tells one token. The original model knows its whole distribution there. So training adds weight x KL(original ||
extended) over the first tokens of each window, as in the short-to-long distillation of LongReD (Dong et al.,
arXiv:2502.07365). The original reads them as it was trained to: document by document, at positions 0, 1, 2, ... The
extended model reads them at the positions of its sampler, so that where these skip, it learns to read over the gaps as
if there were none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils import checkpoint

from ropewalk.train.loss import MOST_ROWS, Reading, chunk_rows, read

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Restoration:
    """What is taught, and how strongly.

    Attributes:
        teacher: The original model, on the device of the one that trains.
        length: The trained window, in tokens; the first `length` tokens of each training window are taught.
        weight: What a nat of divergence per token counts for, against a nat of next-token loss per token.
    """

    teacher: PreTrainedModel
    length: int
    weight: float

    def loss(
        self, student: Reading, batch: dict[str, torch.Tensor], *, padding: torch.Tensor | None = None, fused: bool
    ) -> torch.Tensor:
        """The weighted mean divergence, nats per taught token.

        Args:
            student: What the extended model made of the batch.
            batch: `input_ids` and `attention_mask`, as `collate` makes them.
            padding: Places that hold no token and teach nothing, bool `[batch, window]`; None where there are none.
            fused: See `read`; holds for the teacher too, which differs in its rope alone.
        """
        with torch.no_grad():
            teacher = read(self.teacher, original_inputs(batch, self.length), fused=fused)
        places = (
            ~padding[:, : self.length]
            if padding is not None
            else torch.ones_like(batch["input_ids"][:, : self.length], dtype=torch.bool)
        )
        return self.weight * divergence(teacher, student, places) / places.sum()


def original_inputs(batch: dict[str, torch.Tensor], length: int) -> dict[str, torch.Tensor]:
    """The first `length` tokens of a batch at the positions that the original model knows.

    In a block mask the number of tokens that a query sees is its place in its document.
    """
    tokens, mask = batch["input_ids"][:, :length], batch["attention_mask"]
    if mask.ndim == 2:
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return {"input_ids": tokens, "position_ids": positions, "attention_mask": mask[:, :length]}
    mask = mask[:, :, :length, :length]
    return {"input_ids": tokens, "position_ids": (mask[:, 0] == 0).sum(-1) - 1, "attention_mask": mask}


def divergence(teacher: Reading, student: Reading, places: torch.Tensor) -> torch.Tensor:
    """Sum of KL(teacher || student) over some of the first tokens of each row, in nats.

    In chunks whose logits are computed again in the backward pass, so that none are kept.

    Args:
        teacher: Of `length` tokens in each row.
        student: Of at least as many.
        places: Which of these tokens count, bool `[batch, length]`.
    """

    def chunk_divergence(known: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        expected, got = (
            functional.log_softmax(states.float() if head is None else head.logits(states), dim=-1)
            for states, head in ((known, teacher.head), (learned, student.head))
        )
        return functional.kl_div(got, expected, reduction="sum", log_target=True)

    known, learned = (reading.states[:, : places.shape[1]][places] for reading in (teacher, student))
    size, total = chunk_rows(student.head) if student.head else MOST_ROWS, learned.new_zeros((), dtype=torch.float32)
    for parts in zip(torch.split(known, size), torch.split(learned, size), strict=True):
        total = total + checkpoint.checkpoint(chunk_divergence, *parts, use_reentrant=False)
    return total
