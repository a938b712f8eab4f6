"""The second implementation that `census.py` compares with: rotation by hand, in float64, and a scale from outside.

It shares no step with `ropewalk.adapters`. The model is untouched; only what its rotary modules return is replaced, by
cosines and sines of the method's frequencies. Which channel belongs to which pair is found out from what the untouched
module returns at position 1, where the angle of a pair is its frequency. The scale multiplies queries where torch's own
operations take them, so it does not matter how (or whether) a family calls transformers' attention interface.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


@contextmanager
def rotated_by_hand(
    rotary: Any, before: np.ndarray, after: np.ndarray, factor: float, kind: str | None
) -> Iterator[None]:
    """Lets a rotary module return cosines and sines of other frequencies.

    Args:
        rotary: The module.
        before: Radians per token of the untouched module, `[pairs]`.
        after: The wanted ones.
        factor: What cosines and sines are multiplied by.
        kind: Only calls for layers of this type are changed; None where the module knows no types.
    """
    original = rotary.forward

    def forward(x: Tensor, position_ids: Tensor, *rest: Any, **options: Any) -> Any:
        turned = original(x, position_ids, *rest, **options)
        asked = options.get("layer_type", rest[0] if rest else None)
        if kind is not None and asked != kind:
            return turned
        ones = torch.ones_like(position_ids[..., :1])
        probe = original(x, ones, *rest, **options)
        plain = position_ids if position_ids.dim() == 2 else position_ids[0]  # text has equal rows for mRoPE
        if isinstance(turned, torch.Tensor):
            channels = _channels(probe.imag, before)
            angles = plain.double().cpu()[..., None] * torch.from_numpy(after)[channels]
            return (factor * torch.polar(torch.ones_like(angles), angles)).to(turned.dtype)
        channels = _channels(probe[1], before)
        angles = plain.double().cpu()[..., None] * torch.from_numpy(after)[channels]
        return tuple((factor * f(angles)).to(t.dtype) for f, t in zip((torch.cos, torch.sin), turned, strict=True))

    rotary.forward = forward
    try:
        yield
    finally:
        del rotary.forward


def _channels(sines: Tensor, frequencies: np.ndarray) -> Tensor:
    """The pair of each channel, from the sines at position 1."""
    found = sines.double().reshape(-1, sines.shape[-1])[0].cpu()
    distance = (found[:, None] - torch.from_numpy(np.sin(frequencies))[None]).abs()
    if float(distance.min(dim=1).values.max()) > 1e-6:
        raise ValueError("the untouched model does not turn by base ** (-2 i / d)")
    return distance.argmin(dim=1)


class _ScaledQueries(TorchFunctionMode):
    """Multiplies the first operand of the first product of queries and keys in each marked attention layer."""

    def __init__(self, scale: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.scale, self.layer = scale, None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.layer is not None:
            if func is torch.nn.functional.scaled_dot_product_attention:
                query, rest = args[0], args[1:]
                return func(self._scaled(query), *rest, **kwargs)
            if func in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__) and self._of_keys(args):
                return func(self._scaled(args[0]), *args[1:], **kwargs)
        return func(*args, **kwargs)

    def _of_keys(self, args: Any) -> bool:
        left, right = args[:2]
        return left.dim() == right.dim() == 4 and left.shape[-1] == right.shape[-2] != left.shape[-2]

    def _scaled(self, query: Tensor) -> Tensor:
        return (query.double() * self.scale(self.layer)[None, None, :, None]).to(query.dtype)


@contextmanager
def scaled_from_outside(layers: dict[int, nn.Module], scale: Callable[[int], Tensor]) -> Iterator[None]:
    """Multiplies the queries of some attention modules, without transformers' attention interface.

    Args:
        layers: Attention modules by layer.
        scale: The factor of each token of the call in a layer, float64 `[tokens]`.
    """
    mode = _ScaledQueries(scale)
    handles = []
    for number, module in layers.items():
        handles.append(module.register_forward_pre_hook(lambda *_, number=number: setattr(mode, "layer", number)))
        handles.append(module.register_forward_hook(lambda *_: setattr(mode, "layer", None)))
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        stack.enter_context(mode)
        yield
