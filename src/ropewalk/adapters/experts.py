"""Mixtures of experts, as their configs spell them. Without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.analysis.memory import Experts

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNT = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_k", "moe_top_k")
WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
SHARED_COUNT = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
SHARED_WIDTH = ("shared_expert_intermediate_size", "shared_intermediate_size")
DENSE_FIRST = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")


def experts_of(text: Mapping[str, Any], layers: int) -> Experts | None:
    """The experts of a model, or None for a dense one.

    Args:
        text: The part of its config that describes the language model.
        layers: Number of layers.
    """
    count, chosen = _number(text, COUNT), _number(text, CHOSEN)
    if count < 2 or not chosen:
        return None
    width = _number(text, WIDTH)
    return Experts(
        count=count,
        chosen=min(chosen, count),
        width=width,
        shared_width=_number(text, SHARED_WIDTH) or _number(text, SHARED_COUNT) * width,
        layers=_layers(text, layers),
    )


def _layers(text: Mapping[str, Any], layers: int) -> int:
    """How many layers hold experts; the others have an MLP."""
    named = text.get("moe_layers")  # Llama 4 may name them
    if isinstance(named, (list, tuple)):
        return len(named)
    step = _number(text, ("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step")) or 1
    dense = set(text.get("mlp_only_layers") or ()) | set(range(_number(text, DENSE_FIRST)))
    return sum((layer + 1) % step == 0 and layer not in dense for layer in range(layers))


def _number(text: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((int(text[name]) for name in names if isinstance(text.get(name), int)), 0)
