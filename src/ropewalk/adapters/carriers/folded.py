"""A constant scale on the logits, multiplied into the weights that make queries.

An engine that holds frequencies but no factor on cos and sin then computes the same logits: (t q) . k = t (q . k), and
rotation keeps a constant factor. Where the model normalises queries after their projection, the norm would undo a
factor before it, so the norm's own weight carries it. Of a partly rotated head only the rotated dimensions get the
factor, because cos and sin reach no others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from ropewalk.adapters.families import FULL, assumed_family
from ropewalk.adapters.shards import RowScale
from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.adapters.config import ModelConfig

_TENSOR = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:self_attn|attention)\.(\w+)\.(weight|bias)$")
# The last thing that touches a query before its rotation comes first.
_QUERY_MODULES = ("q_norm", "q_proj", "qkv_proj", "query_key_value")


def query_changes(shapes: Mapping[str, tuple[int, ...]], config: ModelConfig, scale: float) -> dict[str, RowScale]:
    """What happens to which tensors so that the logits are multiplied by `scale`.

    Args:
        shapes: Name and shape of every tensor of the checkpoint.
        config: What its config says.
        scale: Multiplier of the logits: the square of a factor on cos and sin.

    Returns:
        Changes by tensor name.

    Raises:
        CarrierError: The layers do not make queries in a way that is known here.
    """
    found: dict[int, dict[str, list[str]]] = {}
    for name in shapes:
        if match := _TENSOR.search(name):
            found.setdefault(int(match[1]), {}).setdefault(match[2], []).append(name)
    nested = assumed_family(config.model_type).rope_per_layer_type
    changes = {}
    for layer, kind in enumerate(config.layer_types):
        if nested and kind != FULL:
            continue
        module = _query_module(found.get(layer, {}), layer, config)
        for name in found[layer][module]:
            changes[name] = RowScale(_factors(module, shapes[name][0], config, scale))
    return changes


def _query_module(modules: Mapping[str, list[str]], layer: int, config: ModelConfig) -> str:
    clipped = config.text.get("clip_qkv") is not None
    known = next((name for name in _QUERY_MODULES if name in modules), None)
    if known is None or clipped or "q_layernorm" in modules:
        why = "queries are clipped" if clipped else f"it has {', '.join(sorted(modules)) or 'no attention tensors'}"
        raise CarrierError(
            f"to fold a scale into the weights, each layer must make its queries by one of {', '.join(_QUERY_MODULES)} "
            f"and leave them as they are; in layer {layer} of this {config.model_type} {why}. Choose another carrier."
        )
    return known


def _factors(module: str, rows: int, config: ModelConfig, scale: float) -> torch.Tensor:
    """The factor of each row: `scale` for rotated dimensions of queries, 1 for everything else."""
    head = torch.ones(config.head_size, dtype=torch.float64)
    head[: config.rope.head_dim] = scale
    other = torch.ones(config.head_size, dtype=torch.float64)
    if module == "query_key_value":  # GPT-NeoX keeps query, key and value of one head together
        factors = torch.cat([head, other, other]).repeat(config.query_heads)
    elif module == "q_norm" and rows == config.head_size:
        factors = head
    else:
        factors = head.repeat(config.query_heads)
    if module == "qkv_proj":
        factors = torch.cat([factors, other.repeat(2 * config.key_value_heads)])
    if len(factors) != rows:
        raise CarrierError(
            f"to fold a scale into the weights, '{module}' must have one row for each dimension of its heads, "
            f"{len(factors)}; it has {rows}. Choose another carrier."
        )
    return factors
