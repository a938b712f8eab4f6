"""Looks at attention from inside, while a model computes exactly as it always does.

A listener stands where ropewalk's position scale stands (see `adapters.attention`): after the rotation and the scale,
before transformers' own attention function. It hears queries, keys and the mask, and changes none of them, so the
model's outputs stay the same to the last bit. From what it hears, the logits of a few queries and one head can be made
again, as the family makes them: grouped key heads, sliding windows, capped logits (Gemma 2), any mask.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention.flex_attention import BlockMask

from ropewalk.adapters.attention import LISTENER, attention_modules, wrap_attention_functions
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

# What a family may add to the logits or to the softmax besides queries, keys and the mask.
_ADDITIONS = ("s_aux", "position_bias")


@dataclass(frozen=True)
class AttentionCall:
    """What one layer multiplies in one forward call without a cache.

    Attributes:
        layer: 0-based layer.
        query: After rotation and position scale, `[rows, heads, tokens, head_dim]`.
        key: After rotation, `[rows, key/value heads, tokens, head_dim]`.
        mask: As the attention function gets it: True or 0 where a query sees a key, `[rows or 1, 1, tokens, tokens]`;
            flex attention's block mask; or None for every key up to the query.
        scaling: What products of queries and keys are multiplied by.
        softcap: Logits are bent into (-softcap, softcap) by a hyperbolic tangent; None leaves them.
        sliding_window: Keys that a query sees at most, when there is no mask to say so; None for all.
    """

    layer: int
    query: Tensor
    key: Tensor
    mask: Tensor | BlockMask | None
    scaling: float
    softcap: float | None
    sliding_window: int | None

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.query.shape[1]

    def logits(self, head: int, queries: Tensor, multipliers: Tensor) -> Tensor:
        """What goes into the softmax of one head, -inf (or nearly) where a key is not seen.

        Args:
            head: 0-based query head.
            queries: Increasing 0-based places in the call, int64, `[queries]`.
            multipliers: Further factors on each query, where a position scale would be applied, float32, `[queries]`.

        Returns:
            float32, `[rows, queries, keys]`; keys behind the last query may be left out.
        """
        keys = self.key.shape[2] if self.mask is not None else int(queries[-1]) + 1
        shared = self.heads // self.key.shape[1]
        query = self.query[:, head, queries].float() * (self.scaling * multipliers)[:, None]
        logits = query @ self.key[:, head // shared, :keys].float().mT
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        if isinstance(self.mask, torch.Tensor) and self.mask.is_floating_point():
            return logits + self.mask[:, 0, queries, :keys]
        return logits.masked_fill_(~self._seen(head, queries, keys), -torch.inf)

    def _seen(self, head: int, queries: Tensor, keys: int) -> Tensor:
        """Which keys each query sees, bool, `[rows or 1, queries, keys]`."""
        if isinstance(self.mask, torch.Tensor):
            return self.mask[:, 0, queries, :keys]
        places = torch.arange(keys, device=queries.device)
        if isinstance(self.mask, BlockMask):
            rows = torch.arange(self.query.shape[0], device=queries.device)[:, None, None]
            seen: Tensor = self.mask.mask_mod(rows, torch.full_like(rows, head), queries[:, None], places)
            return seen
        back = queries[:, None] - places
        return ((back >= 0) & (back < (self.sliding_window or keys)))[None]


@contextmanager
def listening(model: nn.Module, layers: int, listener: Callable[[AttentionCall], None]) -> Iterator[None]:
    """Tells a listener of every attention layer's call for the length of a `with` block.

    Args:
        model: A causal language model whose forward calls build no cache.
        layers: Number of its layers.
        listener: Called once for each layer of each forward call, before the layer's own attention.

    Raises:
        ModelError: The attention modules cannot be told apart; or, during a call, a layer adds something to its
            logits that is made neither of queries and keys nor of a mask.
    """

    def hear(module: Any, query: Tensor, key: Tensor, _: Tensor, mask: Any = None, **options: Any) -> None:
        _check_ordinary(module, mask, options)
        scaling = options.get("scaling")
        listener(
            AttentionCall(
                layer=int(module.layer_idx),
                query=query,
                key=key,
                mask=mask,
                scaling=float(query.shape[-1] ** -0.5 if scaling is None else scaling),
                softcap=options.get("softcap"),
                sliding_window=options.get("sliding_window"),
            )
        )

    modules = attention_modules(model, range(layers)).values()
    wrap_attention_functions()
    for module in modules:
        setattr(module, LISTENER, hear)
    try:
        yield
    finally:
        for module in modules:
            delattr(module, LISTENER)


def _check_ordinary(module: Any, mask: Any, options: dict[str, Any]) -> None:
    added = [name for name in _ADDITIONS if options.get(name) is not None]
    if added or getattr(module, "sinks", None) is not None:
        raise ModelError(
            "attention can be looked at where logits are products of queries and keys alone; layer "
            f"{module.layer_idx} of this model also has {', '.join(added) or 'attention sinks'}. "
            "Its attention cannot be measured."
        )
    whole = isinstance(mask, BlockMask) or (isinstance(mask, torch.Tensor) and mask.dim() == 4 and mask.shape[1] == 1)
    if mask is not None and not whole:
        given = list(mask.shape) if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ModelError(
            "attention can be looked at when its mask says for each query which keys it sees; layer "
            f"{module.layer_idx} was given {given}. Load the model with attention='sdpa' or 'eager', and give it "
            "unpadded rows."
        )
