"""Negative log-likelihood of tokens, in nats: one core, from hidden states to per-token numbers, and its views.

The core runs the model's body once and the model's *own* head over chunks of positions, so that logits for all
positions never exist together (128,256 words at 32,768 tokens are 16 GiB in float32). Inputs are unpadded and carry
no mask, which keeps attention on the fast causal path; no cache is built.

Views:
    paired     the same target tokens given more and more context: what a longer window is worth
    nested     truncation protocol: the mean over the first L tokens, for every L from one forward
    by place   the same numbers, averaged within stretches of positions

Documents longer than a window, and the protocols of the papers, are in `perplexity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.head import model_body, own_head
from ropewalk.errors import MeasurementError
from ropewalk.evals.static_rope import depends_on_length, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from ropewalk.rope import Floats, Integers

# Float32 logits that exist at one time. On a processor they should stay in its cache; a GPU wants more positions.
HEAD_BYTES = 8 * 2**20
GPU_HEAD_BYTES = 512 * 2**20
# With fewer positions than this the head reads its weights for longer than it computes.
HEAD_POSITIONS = 64


def token_nll(
    model: Any,
    tokens: ArrayLike,
    *,
    scored: int | None = None,
    positions: ArrayLike | None = None,
    head_bytes: int | None = None,
) -> Floats:
    """NLL of some tokens of each row, given everything before them in the row; of all but the first by default.

    Args:
        model: A causal language model of transformers.
        tokens: Token ids, `[rows, length]`, all rows of one length.
        scored: Score the last so many tokens of each row.
        positions: Score the tokens at these places of each row instead, increasing, from 1 on, `[scored]`.
        head_bytes: Bound on the float32 logits that exist at one time; 8 MiB on a processor and 512 MiB on a GPU by
            default, or what 64 positions take.

    Returns:
        Nats, `[rows, scored]`, float64.

    Raises:
        MeasurementError: The row is too short, or the model has no body apart from its head.
    """
    rows = torch.as_tensor(np.asarray(tokens, dtype=np.int64), device=model.device)
    chosen = _chosen_positions(rows.shape[1], scored, positions)
    if depends_on_length(model, rows.shape[1]):
        settle(model, rows)
    with torch.inference_mode():
        body = model_body(model)
        output = body(input_ids=rows, use_cache=False)
        index = torch.as_tensor(chosen, device=rows.device)
        # The hidden state at one place predicts the token at the next.
        hidden, targets = output.last_hidden_state[:, index - 1].flatten(0, 1), rows[:, index].flatten()
        with own_head(model, body, output) as head:
            losses = _chunked_losses(head, hidden, targets, head_positions(model, head_bytes))
    return losses.view(len(rows), len(chosen)).double().cpu().numpy()


def nested_nll(model: Any, tokens: ArrayLike, lengths: Sequence[int]) -> dict[int, Floats]:
    """Truncation protocol: the mean NLL of tokens 1 to L - 1 of each row, for every length L from one forward.

    Exactly what separate forwards over the first L tokens give, because a causal model with a static rope does not
    look ahead.

    Args:
        model: A causal language model.
        tokens: `[rows, length]`, at least the longest length.
        lengths: Context lengths in tokens, each at least 2.

    Returns:
        Length to nats per token, `[rows]`.

    Raises:
        MeasurementError: The rope depends on the length of the call, or the rows are too short.
    """
    rows = np.asarray(tokens, dtype=np.int64)
    longest = max(lengths)
    _check_nesting(model, longest)
    if min(lengths) < 2 or rows.shape[1] < longest:
        raise MeasurementError(
            f"nested lengths lie between 2 and the {rows.shape[1]} tokens given; got {sorted(lengths)}. "
            "Give longer rows or shorter lengths."
        )
    totals = np.cumsum(token_nll(model, rows[:, :longest]), axis=1)
    return {length: totals[:, length - 2] / (length - 1) for length in lengths}


def nll_by_position(model: Any, tokens: ArrayLike, edges: Sequence[int]) -> Floats:
    """Mean NLL of the tokens at positions `[edges[i], edges[i + 1])`, from one forward.

    It confounds the position with the region of the document; use `paired_nll` to say what context is worth.

    Args:
        model: A causal language model.
        tokens: `[rows, length]`.
        edges: Increasing positions from 1 to at most the length (position 0 has no prediction).

    Returns:
        Nats per token, `[rows, len(edges) - 1]`.

    Raises:
        MeasurementError: The rope depends on the length of the call, or the edges are not such positions.
    """
    rows = np.asarray(tokens, dtype=np.int64)
    steps = np.diff(np.asarray(edges))
    if len(edges) < 2 or edges[0] < 1 or edges[-1] > rows.shape[1] or (steps < 1).any():
        raise MeasurementError(
            f"edges must increase from at least 1 to at most the {rows.shape[1]} tokens given; got {list(edges)}."
        )
    _check_nesting(model, edges[-1])
    losses = token_nll(model, rows[:, : edges[-1]])
    return np.add.reduceat(losses, np.asarray(edges[:-1]) - 1, axis=1) / steps


def paired_nll(model: Any, windows: ArrayLike, length: int, *, scored: int) -> Floats:
    """NLL of the last `scored` tokens of each window when the model sees only the window's last `length` tokens.

    The shorter input stands at positions 0 to length - 1, as it would in use. Called with several lengths, this
    scores the same tokens each time, so differences between lengths are paired.

    Args:
        model: A causal language model.
        windows: `[windows, longest]`.
        length: Context in tokens, the scored ones included.
        scored: Target tokens at the end of each window, fewer than `length`.

    Returns:
        Nats, `[windows, scored]`.

    Raises:
        MeasurementError: The windows are shorter than `length`, or see `token_nll`.
    """
    rows = np.asarray(windows, dtype=np.int64)
    if rows.shape[1] < length:
        raise MeasurementError(f"a window must hold the context of {length} tokens; got {rows.shape[1]} tokens.")
    return token_nll(model, rows[:, -length:], scored=scored)


def _chunked_losses(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, targets: torch.Tensor, step: int
) -> torch.Tensor:
    losses = []
    for rows, wanted in zip(torch.split(hidden, step), torch.split(targets, step), strict=True):
        losses.append(torch.nn.functional.cross_entropy(head(rows).float(), wanted, reduction="none"))
    return torch.cat(losses)


def head_positions(model: Any, head_bytes: int | None) -> int:
    """Positions whose float32 logits exist at one time."""
    position_bytes = 4 * int(model.config.get_text_config().vocab_size)
    if head_bytes is not None:
        return max(1, head_bytes // position_bytes)
    default = HEAD_BYTES if model.device.type == "cpu" else GPU_HEAD_BYTES
    return max(HEAD_POSITIONS, default // position_bytes)


def _chosen_positions(length: int, scored: int | None, positions: ArrayLike | None) -> Integers:
    if positions is None:
        count = length - 1 if scored is None else scored
        if not 1 <= count < length:
            raise MeasurementError(
                f"a scored token needs a token before it; asked for {count} scored tokens in rows of {length}. "
                "Score fewer tokens or give longer rows."
            )
        return np.arange(length - count, length)
    chosen = np.asarray(positions, dtype=np.int64)
    if not len(chosen) or chosen[0] < 1 or chosen[-1] >= length or (np.diff(chosen) < 1).any():
        raise MeasurementError(
            f"scored positions must increase from at least 1 to below the row's {length} tokens; got {len(chosen)} "
            f"positions{f' from {chosen[0]} to {chosen[-1]}' if len(chosen) else ''}."
        )
    return chosen


def _check_nesting(model: Any, longest: int) -> None:
    if depends_on_length(model, longest):
        raise MeasurementError(
            f"one forward answers shorter contexts only if the rope does not change with the length of the call; "
            f"this model's does ('dynamic', or 'longrope' across its switch) below {longest} tokens. "
            "Measure each length on its own (paired_nll), or extend with a static method."
        )
