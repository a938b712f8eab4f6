"""The position-dependent logit scale, inside transformers' own attention functions.

A query at position p in layer l is multiplied by `method.attention_scale(p, l)` after its rotation, in float32. Only
the query: the scale belongs to the row of logits, cached keys never go stale, and half of it on each side would give
sqrt(t_i t_j) instead of t_i.

transformers looks its attention function up by name. The names stay as they are (a new name would lose the mask that
belongs to it), and the functions behind them get a wrapper that does nothing unless the attention module carries a
`PositionScale`. `eager` is not in transformers' table: each model file passes its own function as the default, and four
of them under another name, so the wrapper is put around what the look-up returns.
"""

from __future__ import annotations

import functools
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ropewalk.adapters.families import FULL, HYBRID, SLIDING, assumed_family
from ropewalk.errors import CarrierError, ModelError
from ropewalk.method import OverlayMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from torch import Tensor, nn

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Integers, Rope

ATTRIBUTE = "ropewalk_position_scale"
LISTENER = "ropewalk_attention_listener"  # set and taken away by adapters.attention_probe
REPLACEMENT = "ropewalk_attention_replacement"  # set by adapters.inference_map
_MARK = "ropewalk_wraps"


class PositionScale:
    """The scale tables of one model; every attention module that is scaled holds a reference.

    A few families do not tell their attention function which positions it gets; there the scale hears them from the
    rotary module, which is always told (`hear`).

    Args:
        method: Whose `attention_scale` is applied.
        rope: The trained geometry.
        length: Tokens that the tables cover at first; a larger position makes them grow.
    """

    def __init__(self, method: Method, rope: Rope, length: int) -> None:
        self.method, self.rope, self.length = method, rope, length
        self.active = True
        self._tables: dict[tuple[int, torch.device], Tensor] = {}
        self._checked: weakref.ref[Tensor] | None = None
        self._heard: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what can be computed again: weak references cannot be copied to another process."""
        return {**self.__dict__, "_tables": {}, "_checked": None, "_heard": None}

    def hear(self, _: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """A forward pre-hook of a rotary module: notes the positions, `[batch or 1, tokens]`, of the call."""
        self._heard = options["position_ids"] if "position_ids" in options else arguments[1]

    def apply(self, query: Tensor, position_ids: Tensor | None, layer: int) -> Tensor:
        """Multiplies each query by the scale of its position.

        Args:
            query: Rotated queries, `[batch, heads, tokens, head_dim]`.
            position_ids: 0-based positions, `[batch or 1, tokens]`.
            layer: 0-based layer.
        """
        if not self.active:
            return query
        position_ids = self._heard if position_ids is None else position_ids
        if position_ids is None or position_ids.shape[-1] != query.shape[-2]:
            raise ModelError(
                f"attention layers must be told the position of every query, because the scale depends on it; layer "
                f"{layer} was told {None if position_ids is None else list(position_ids.shape)} for {query.shape[-2]} "
                "queries. Pass position_ids of shape [batch, tokens] to the model."
            )
        self._cover(position_ids)
        scale = self._table(layer, query.device)[position_ids.clamp(min=0)][:, None, :, None]
        return (query * scale).to(query.dtype)  # a float32 scale makes the product float32

    def values(self, positions: Tensor, layer: int) -> Tensor:
        """The scale of each position in a layer, float32, same shape."""
        self._cover(positions)
        return self._table(layer, positions.device)[positions]

    def _cover(self, position_ids: Tensor) -> None:
        """Grows the tables to the largest position; asked once per forward call, because it waits for the device."""
        if torch.compiler.is_compiling() or (self._checked is not None and self._checked() is position_ids):
            return
        largest = int(position_ids.max())
        if largest >= self.length:
            self.length = max(largest + 1, 2 * self.length)
            self._tables.clear()
        self._checked = weakref.ref(position_ids)

    def _table(self, layer: int, device: torch.device) -> Tensor:
        key = (layer, device)
        if key not in self._tables:
            scales = self.method.attention_scale(self.rope, np.arange(self.length), layer)
            table = torch.from_numpy(np.asarray(scales, dtype=np.float32)).to(device)
            # Layers of one scale share one table: at a million tokens each takes 4 MB.
            twin = (
                known for (_, where), known in self._tables.items() if where == device and torch.equal(known, table)
            )
            self._tables[key] = next(twin, table)
        return self._tables[key]


def scaled_layers(method: Method, config: ModelConfig, target_length: int) -> tuple[int, ...]:
    """The layers whose logits change somewhere below the target.

    A layer that slides over no more tokens than the trained window is left alone: it never attends to more tokens than
    in training, and more tokens is what the scale answers to.

    Raises:
        CarrierError: The scale varies, but no layer would change; or the method lies over one whose own scale would
            miss layers whose frequencies that one stretches.
    """
    window = config.sliding_window or config.rope.trained_length + 1
    free = [
        layer
        for layer, kind in enumerate(config.layer_types)
        if kind in (FULL, HYBRID) or (kind == SLIDING and window > config.rope.trained_length)
    ]
    positions = np.unique(np.array([0, config.rope.trained_length - 1, config.rope.trained_length, target_length - 1]))
    changed = tuple(layer for layer in free if (method.attention_scale(config.rope, positions, layer) != 1).any())
    if not changed and target_length > config.rope.trained_length:
        raise CarrierError(
            f"'{method.name}' must change the logits of some layer; none of the {config.layers} layers would change, "
            f"because {len(config.layer_types) - len(free)} slide over {config.sliding_window} tokens and the others "
            "are exempt. Choose a method without a position-dependent scale, such as yarn or abf."
        )
    if SLIDING in config.layer_types and window <= config.rope.trained_length:
        _require_whole_scale(method, config, positions)
    return changed


def _require_whole_scale(method: Method, config: ModelConfig, positions: Integers) -> None:
    """Layers that are left alone share the stretched table of the others, and a constant scale is part of that table.

    Raises:
        CarrierError: The method lies over one with such a scale.
    """
    if not isinstance(method, OverlayMethod) or assumed_family(config.model_type).rope_per_layer_type:
        return
    if (method.underlying.attention_scale(config.rope, positions, 0) != 1).any():
        raise CarrierError(
            f"the scale of a method must reach every layer whose frequencies it changes; under '{method.name}' that of "
            f"'{method.over}' would miss the {config.layer_types.count(SLIDING)} of {config.layers} layers that slide "
            f"over {config.sliding_window} tokens, which share their rotary table with the others. Choose "
            f"over = 'ntk-by-parts' (yarn without its scale) or another without one, or '{method.over}' alone."
        )


def attach(model: nn.Module, method: Method, config: ModelConfig, target_length: int) -> PositionScale:
    """Makes a model scale its logits by position; the only owner of the tables is the returned object.

    Raises:
        ModelError: The attention modules of the layers cannot be told apart.
        CarrierError: No layer would change.
    """
    layers = scaled_layers(method, config, target_length)
    modules = attention_modules(model, layers)
    wrap_attention_functions()
    scale = PositionScale(method, config.rope, target_length)
    for layer in layers:
        setattr(modules[layer], ATTRIBUTE, scale)
    if assumed_family(config.model_type).hides_positions:
        for rotary in rotary_modules(model):
            rotary.register_forward_pre_hook(scale.hear, with_kwargs=True)
    return scale


def attached(model: nn.Module) -> PositionScale | None:
    """The scale that a model carries, if it carries one."""
    return next((getattr(module, ATTRIBUTE) for module in model.modules() if hasattr(module, ATTRIBUTE)), None)


def attention_modules(model: nn.Module, layers: Collection[int]) -> dict[int, nn.Module]:
    """The attention module of each of these layers; other layers may have none (linear attention, convolution).

    Raises:
        ModelError: One of the layers has no attention module, or several.
    """
    found: dict[int, list[nn.Module]] = {layer: [] for layer in layers}
    for module in model.modules():
        number = getattr(module, "layer_idx", None)
        if type(module).__name__.endswith("Attention") and number in found and of_language_model(module, model):
            found[int(number)].append(module)
    odd = {layer: len(modules) for layer, modules in found.items() if len(modules) != 1}
    if odd:
        raise ModelError(
            f"a model must have one attention module in each of the layers {sorted(found)}, because the scale is set "
            f"by layer; layers {sorted(odd)} have {sorted(odd.values())}. Extend the causal language model itself."
        )
    return {layer: modules[0] for layer, modules in found.items()}


def rotary_modules(model: nn.Module) -> list[nn.Module]:
    """The rotary tables of the language model that transformers builds from `rope_parameters`; not those of images."""
    return [module for module in model.modules() if is_rotary(module) and of_language_model(module, model)]


def is_rotary(module: nn.Module) -> bool:
    """Whether a module is a rotary table that transformers builds from `rope_parameters`."""
    return hasattr(module, "rope_type") and any(name.endswith("inv_freq") for name, _ in module.named_buffers())


def of_language_model(module: Any, model: Any) -> bool:
    """Whether a module was made from the config of the language model, and not from that of an image or audio part."""
    whole, own = getattr(model, "config", None), getattr(module, "config", None)
    if whole is None or own is None:
        return True
    return bool(own.model_type == whole.get_text_config().model_type)


@contextmanager
def without_scale(model: nn.Module) -> Iterator[None]:
    """Switches a model's position scale off for the length of a `with` block."""
    scale = attached(model)
    if scale is None:
        yield
        return
    before, scale.active = scale.active, False
    try:
        yield
    finally:
        scale.active = before


@contextmanager
def replaced_scale(model: nn.Module, method: Method, config: ModelConfig, length: int) -> Iterator[None]:
    """Puts the scale of another method in the place of a model's own, if it has one, for the length of a `with` block.

    Every layer gets it, also those that the model's own leaves alone; frequencies stay as they are.

    Args:
        model: A causal language model of transformers.
        method: Whose `attention_scale` is applied.
        config: The model's.
        length: Tokens that the tables cover at first.

    Raises:
        ModelError: The attention modules of the layers cannot be told apart.
    """
    modules = attention_modules(model, range(config.layers)).values()
    wrap_attention_functions()
    own = {module: module.__dict__.get(ATTRIBUTE) for module in modules}
    scale = PositionScale(method, config.rope, length)
    try:
        for module in modules:
            setattr(module, ATTRIBUTE, scale)
        yield
    finally:
        for module, before in own.items():
            delattr(module, ATTRIBUTE)
            if before is not None:
                setattr(module, ATTRIBUTE, before)


def wrap_attention_functions() -> None:
    """Puts the wrapper around transformers' attention functions; a second call changes nothing."""
    for key in ALL_ATTENTION_FUNCTIONS.valid_keys():
        AttentionInterface.register(key, _scaled(ALL_ATTENTION_FUNCTIONS[key]))
    look_up = AttentionInterface.get_interface
    if hasattr(look_up, _MARK):
        return

    @functools.wraps(look_up)
    def get_interface(self: Any, attn_implementation: str, default: Callable[..., Any]) -> Callable[..., Any]:
        return _scaled(look_up(self, attn_implementation, default))

    setattr(get_interface, _MARK, look_up)
    AttentionInterface.get_interface = get_interface


def _scaled(function: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(function, _MARK):
        return function

    @functools.wraps(function)
    def scaled(module: nn.Module, query: Tensor, *arguments: Any, **options: Any) -> Any:
        scale: PositionScale | None = getattr(module, ATTRIBUTE, None)
        if scale is not None:
            query = scale.apply(query, options.get("position_ids"), int(module.layer_idx))  # type: ignore[arg-type]
        listener: Callable[..., None] | None = getattr(module, LISTENER, None)
        if listener is not None:
            listener(module, query, *arguments, **options)
        replacement: Callable[..., Any] | None = getattr(module, REPLACEMENT, None)
        return (replacement or function)(module, query, *arguments, **options)

    setattr(scaled, _MARK, function)
    return scaled
