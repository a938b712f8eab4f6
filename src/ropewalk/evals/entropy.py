"""Entropy of attention, -sum p ln p over the keys that a query sees, in nats: how widely each layer spreads.

The diagnosis of Entropy-ABF (Zhang, Li, Liu 2024, arXiv:2401.07004, section 3.1 and figure 1): inside the trained
window the first two layers attend nearly evenly, so that their entropy rises with the number of keys, and later layers
keep theirs steady; beyond it they can no longer concentrate, unless the logits grow. Eq. 4 prints the entropy without
its minus sign; the released script takes a softmax of what was a softmax already, one head of many, one query, and the
entropy of a mean distribution, which is larger than the mean entropy. Measured here is the mean over heads of the
entropy of each query's own distribution. ln n is its largest possible value, with n keys seen.

Exact and streamed: a listener (`adapters.attention_probe`) hears queries and keys while the model computes, and the
logits of one head are made again for a block of queries at a time. No matrix of all queries or of all heads exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters.attention_probe import listening
from ropewalk.adapters.head import model_body
from ropewalk.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ropewalk.adapters.attention_probe import AttentionCall
    from ropewalk.rope import Floats

# Bytes of the largest tensor that a measurement makes, the logits of one head and one block of queries in float64;
# about four of this size exist at once.
BLOCK_BYTES = 32 * 2**20


def attention_entropy(
    model: Any, tokens: ArrayLike, *, queries: Sequence[int] | None = None, block_bytes: int = BLOCK_BYTES
) -> Floats:
    """Mean entropy over heads of every layer's attention, by query.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        tokens: Token ids, `[rows, length]`, unpadded.
        queries: Increasing 0-based positions to measure at; all by default.
        block_bytes: Bound on the largest tensor of the measurement; one query's logits are always allowed.

    Returns:
        Nats, `[rows, layers, queries]`, float64. NaN where the model's logits are not finite.

    Raises:
        MeasurementError: Positions outside the rows, or a family whose attention cannot be heard.
        ModelError: See `adapters.attention_probe.listening`.
    """
    chosen = np.arange(np.shape(tokens)[1]) if queries is None else np.asarray(queries, dtype=np.int64)
    ones = np.ones((_layers(model), len(chosen), 1))
    return scaled_entropy(model, tokens, chosen, ones, block_bytes=block_bytes)[..., 0]


def scaled_entropy(
    model: Any, tokens: ArrayLike, queries: ArrayLike, multipliers: Floats, *, block_bytes: int = BLOCK_BYTES
) -> Floats:
    """What the entropy of each query would be if its logits were multiplied once more, all else being as it is.

    A multiplier acts where a position scale acts: on the rotated query, before logits are capped. The hidden states
    that reach a layer are the model's own; nothing multiplies them.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        tokens: Token ids, `[rows, length]`, unpadded.
        queries: Increasing 0-based positions, `[queries]`.
        multipliers: `[layers, queries, points]`; at 0 the entropy is ln n for n keys seen.
        block_bytes: Bound on the largest tensor of the measurement.

    Returns:
        Nats, `[rows, layers, queries, points]`, float64.

    Raises:
        MeasurementError, ModelError: See `attention_entropy`.
    """
    rows = torch.as_tensor(np.asarray(tokens, dtype=np.int64), device=model.device)
    places = torch.as_tensor(np.asarray(queries, dtype=np.int64), device=model.device)
    _check_queries(places, rows.shape[1])
    factors = torch.as_tensor(np.array(multipliers, dtype=np.float32), device=model.device)
    heard: dict[int, torch.Tensor] = {}

    def hear(call: AttentionCall) -> None:
        heard[call.layer] = _mean_over_heads(call, places, factors[call.layer], block_bytes)

    with torch.inference_mode(), listening(model, _layers(model), hear):
        model_body(model)(input_ids=rows, use_cache=False)
    silent = sorted(set(range(_layers(model))) - set(heard))
    if silent:
        raise MeasurementError(
            f"every layer must call transformers' attention functions, because that is where entropy is measured; "
            f"layers {silent} of {type(model).__name__} do not. The entropy of this family cannot be measured."
        )
    return torch.stack([heard[layer] for layer in sorted(heard)], dim=1).cpu().numpy()


def distribution_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of softmax(logits) over the last axis, in nats, float64; -inf is a key that is not seen.

    With w = exp(logit - largest) and Z = sum w, the entropy is ln Z - sum w (logit - largest) / Z: the large logits,
    whose difference would cost digits, never enter.
    """
    below = logits - logits.amax(-1, keepdim=True)
    weights = below.exp()
    total = weights.sum(-1, dtype=torch.float64)
    # Finite instead of -inf, because a weight of 0 must count as 0.
    below = below.clamp_(min=torch.finfo(below.dtype).min)
    return total.log() - (weights * below).sum(-1, dtype=torch.float64) / total


def _mean_over_heads(
    call: AttentionCall, queries: torch.Tensor, multipliers: torch.Tensor, block_bytes: int
) -> torch.Tensor:
    """Entropies `[rows, queries, points]` of one layer."""
    rows, keys = call.query.shape[0], call.key.shape[2]
    step = max(1, block_bytes // (torch.float64.itemsize * rows * keys))
    total = torch.zeros((rows, *multipliers.shape), dtype=torch.float64, device=queries.device)
    for head in range(call.heads):
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            for point in range(multipliers.shape[1]):
                logits = call.logits(head, queries[block], multipliers[block, point])
                total[:, block, point] += distribution_entropy(logits)
    return total / call.heads


def _check_queries(queries: torch.Tensor, length: int) -> None:
    inside = len(queries) > 0 and int(queries[0]) >= 0 and int(queries[-1]) < length
    if not inside or bool((queries.diff() < 1).any()):
        shown = queries.tolist() if len(queries) < 8 else f"{len(queries)} positions up to {int(queries.max())}"
        raise MeasurementError(
            f"entropy is measured at increasing positions from 0 to {length - 1}, the last of the row; got {shown}. "
            "Give longer rows or other positions."
        )


def _layers(model: Any) -> int:
    return int(model.config.get_text_config().num_hidden_layers)
