"""Key-value caches cut and copied, so that one reading of a context serves many questions.

The layers of a `DynamicCache` replace their tensors when they grow, so a shallow copy of a layer is a layer of its own,
and a token costs a copy of all tokens before it. Where a copy is made anyway, `selected` leaves room behind it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicLayer

if TYPE_CHECKING:
    from collections.abc import Sequence


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """A layer with room for tokens to come, which are written in place.

    When the room is used up, or something else has replaced its tensors, it grows as its parent does.

    Args:
        layer: Holds the keys and values to start from, `[batch, heads, tokens, channels]`; it stays as it is.
        rows: Rows of it to take; they may repeat.
        room: Tokens to come.
    """

    def __init__(self, layer: DynamicLayer, rows: Sequence[int], room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._rooms = {name: _with_room(getattr(layer, name), rows, room) for name in ("keys", "values")}
        self._show(layer.keys.shape[-2])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values; see the parent."""
        size, new = self.keys.shape[-2], key_states.shape[-2]
        ours = self.keys is self._shown[0] and self.values is self._shown[1]
        if not ours or size + new > self._rooms["keys"].shape[-2]:
            grown: tuple[torch.Tensor, torch.Tensor] = super().update(key_states, value_states, *args, **kwargs)
            return grown
        self._rooms["keys"][..., size : size + new, :] = key_states
        self._rooms["values"][..., size : size + new, :] = value_states
        self._show(size + new)
        return self._shown

    def _show(self, size: int) -> None:
        self.keys, self.values = self._shown = (
            self._rooms["keys"][..., :size, :],
            self._rooms["values"][..., :size, :],
        )


def selected(cache: Any, rows: Sequence[int], room: int) -> Any:
    """A cache of its own for the given rows, which may repeat; the original stays as it is.

    Args:
        cache: Any cache made of layers.
        rows: Rows of the original.
        room: Tokens to come; more may come, at the price of a copy.
    """
    chosen = copy.copy(cache)
    chosen.layers = [_selected_layer(layer, rows, room) for layer in cache.layers]
    return chosen


def cropped(cache: Any, tokens: int, total: int) -> Any:
    """The cache of the first `tokens` of `total` tokens, or None if a layer does not hold all of them.

    A new cache whose layers are views of the old ones: the old one stays as it is.
    """
    part = copy.copy(cache)
    part.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in part.layers:
        states = {name for name, value in vars(layer).items() if isinstance(value, torch.Tensor) and value.dim()}
        if states != {"keys", "values"} or layer.keys.shape[-2] != total or layer.values.shape[-2] != total:
            return None
        layer.keys, layer.values = layer.keys[..., :tokens, :], layer.values[..., :tokens, :]
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = tokens
    return part


def cache_bytes(cache: Any) -> int:
    """Bytes of a cache's keys and values, and of whatever else its layers hold."""
    tensors = (t for layer in cache.layers for t in vars(layer).values() if isinstance(t, torch.Tensor))
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _selected_layer(layer: Any, rows: Sequence[int], room: int) -> Any:
    if type(layer) in (DynamicLayer, RoomyLayer) and layer.get_seq_length():
        return RoomyLayer(layer, rows, room)
    chosen = copy.copy(layer)  # a layer that drops keys, or holds more than them: it knows best how to select
    chosen.batch_select_indices(torch.as_tensor(rows))
    return chosen


def _with_room(states: torch.Tensor, rows: Sequence[int], room: int) -> torch.Tensor:
    _, heads, size, channels = states.shape
    roomy = states.new_empty(len(rows), heads, size + room, channels)
    for row, source in enumerate(rows):
        roomy[row, :, :size] = states[source]
    return roomy
