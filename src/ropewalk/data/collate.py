"""Windows become a batch, always with an attention mask.

transformers takes any jump in `position_ids` for the border of a packed document when it gets no mask and has no
cache, and then attends within fragments only. Positions that skip on purpose (CREAM, PoSE, RandPos) would train on
isolated fragments, silently. So borders are told by `segment_ids`, never read off positions: one document gets a mask
of ones, several get a block mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

IGNORED = -100
PADDING = -1  # segment of the places that no token of a document fills
WEIGHTS, SHIFT_WEIGHTS = "weights", "shift_weights"


def collate(windows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks windows of one length; places at the end that are padding in all of them are cut off.

    Returns:
        `input_ids`, `labels`, `position_ids`, int64 `[batch, window]`; `shift_labels`, the label of each *next* token,
        so that a device which holds a part of a window knows the target of its last token; `attention_mask`: int64
        ones `[batch, window]` where each window is one document, else additive float32 `[batch, 1, window, window]`;
        and, where there is any, `padding`, bool `[batch, window]`. Padding stands behind all else, where a causal model
        sees none of it: a mask without zeros then keeps attention on its fast path. Where some targets do not count as
        1, `shift_weights`, float32 `[batch, window]`, says for how much the loss of each `shift_label` counts.
    """
    batch = {name: torch.stack([window[name] for window in windows]) for name in windows[0]}
    used = int((batch["segment_ids"] != PADDING).any(0).nonzero().max()) + 1
    batch = {name: rows[:, :used].contiguous() for name, rows in batch.items()}
    segments = batch.pop("segment_ids")
    single = bool(((segments == segments[:, :1]) | (segments == PADDING)).all())
    batch["attention_mask"] = torch.ones_like(segments) if single else block_mask(segments)
    if bool((segments == PADDING).any()):
        batch["padding"] = segments == PADDING
    batch["shift_labels"] = torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
    weights = batch.pop(WEIGHTS, None)
    if weights is not None and bool((weights[batch["labels"] != IGNORED] != 1).any()):
        batch[SHIFT_WEIGHTS] = torch.nn.functional.pad(weights[:, 1:], (0, 1), value=1.0)
    return batch


def block_mask(segments: torch.Tensor) -> torch.Tensor:
    """Additive mask: 0 where query and key are of one document and the key is not later, else the lowest float32.

    Args:
        segments: Document numbers, `[batch, window]`.

    Returns:
        float32 `[batch, 1, window, window]`.
    """
    same = segments[:, :, None] == segments[:, None, :]
    earlier = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    lowest = torch.finfo(torch.float32).min
    return torch.zeros(same.shape, dtype=torch.float32).masked_fill(~(same & earlier), lowest)[:, None]
