"""Inference maps on a loaded model, computed plainly: every pair of tokens is scored near and far, one score is taken.

An attention function gets queries and keys that are rotated already. Turning a query on, by the angle between its own
position and its far position, gives what rotating it there at once would have given, so nothing of a family's own code
is repeated here, keys may come from a cache, and partial rotation and normalised queries need no care. Whether a family
turns its heads as this module does is tested on the model before the map is put in place.

Limits: rows without padding, positions that count on by one, a cache that grows by what is read; full attention layers
alone (sliding ones never see far); memory for one block of queries against all keys, where fused attention needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch

from ropewalk.adapters.attention import REPLACEMENT, attention_modules, is_rotary, wrap_attention_functions
from ropewalk.adapters.attention_probe import AttentionCall, listening
from ropewalk.adapters.config import loaded_config
from ropewalk.adapters.families import FULL, supported_family
from ropewalk.analysis import relative_maps
from ropewalk.errors import CarrierError, ModelError, SelfTestError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.analysis.relative_maps import RelativeMap
    from ropewalk.rope import Rope

QUERY_BLOCK = 256
PLAIN = ("sdpa", "eager")  # their masks say for each query which keys it sees
# A wrong layout or speed is off by as much as the queries are large; half precision by a hundredth of that.
TURNING_TOLERANCE = 0.03
TOKENS = 4


class MappedAttention:
    """Attention under an inference map, in the place of transformers' own function.

    Args:
        chosen: The map.
        rope: The trained geometry.
        frequencies: What the model's rotary table holds, radians per token, float64, `[pairs]`.
    """

    def __init__(self, chosen: RelativeMap, rope: Rope, frequencies: Tensor) -> None:
        self.chosen, self.rope, self.frequencies = chosen, rope, frequencies

    def __call__(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **options: Any
    ) -> tuple[Tensor, None]:
        """See transformers' attention interface; queries `[rows, heads, tokens, head_dim]`."""
        if module.training:
            raise ModelError("an inference map changes a model that is read with, not trained; call model.eval().")
        queries, keys = _positions(options.get("position_ids"), query.shape[2], key.shape[2])
        scaling, softcap = options.get("scaling"), options.get("softcap")
        scale = self._values(self.chosen.attention_scale(self.rope, queries), query)[:, None, :, None]
        query = query.float() * scale * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        dtype, key, value = value.dtype, key.float(), value.float()
        far_key = self._moved(key, keys, self.chosen.far_keys(keys))
        blocks = []
        for start in range(0, query.shape[2], QUERY_BLOCK):
            block = slice(start, start + QUERY_BLOCK)
            part, at = query[:, :, block], queries[:, block]
            near = _scores(part, key)
            far = _scores(self._moved(part, at, self.chosen.far_queries(at)), far_key)
            distance = torch.from_numpy(at[:, :, None] - keys[:, None, :]).to(near.device)[:, None]
            scores = torch.where(distance < self.chosen.window, near, far)
            if softcap is not None:
                scores = softcap * torch.tanh(scores / softcap)
            blocks.append(_mixed(_masked(scores, distance, mask, block), value))
        return torch.cat(blocks, dim=2).transpose(1, 2).contiguous().to(dtype), None

    def _moved(self, states: Tensor, positions: Any, to: Any) -> Tensor:
        """Rotated states, turned on from their positions to others."""
        return self.turned(states, self._values(to - positions, states, torch.float64))

    def turned(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Rotated states, turned on by as many tokens, `[rows, tokens]`; halves of the rotated part form pairs."""
        angles = tokens.double()[:, None, :, None] * self.frequencies.to(states.device)
        cosine, sine = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
        pairs = self.frequencies.shape[0]
        first, second, rest = states[..., :pairs], states[..., pairs : 2 * pairs], states[..., 2 * pairs :]
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine, rest], dim=-1)

    def _values(self, numbers: Any, like: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(numbers).to(device=like.device, dtype=dtype)


def apply_map(model: PreTrainedModel, chosen: RelativeMap | str) -> None:
    """Makes a loaded model attend under an inference map, in place.

    Args:
        model: A causal language model of a supported family, as it was trained.
        chosen: The map, or its name with the options that fit the model.

    Raises:
        UnknownNameError: No map has that name.
        ModelError: The model is extended or scaled, has no layer with full attention, or attends in a fused way.
        SelfTestError: The model does not turn its heads as the map needs it.
    """
    config = loaded_config(model)
    supported_family(config.model_type)
    if isinstance(chosen, str):
        chosen = relative_maps.get(chosen).for_rope(config.rope)
    _check_model(model, chosen, config)
    modules = attention_modules(model, range(config.layers))
    wrap_attention_functions()
    mapped = MappedAttention(chosen, config.rope, _table(model))
    check_turning(model, mapped, config)
    for layer in _full_layers(config):
        setattr(modules[layer], REPLACEMENT, mapped)

    def refused(*_: Any, **__: Any) -> NoReturn:
        raise _never_exported(chosen)

    model.save_pretrained = refused  # else a plain model would be saved in silence


def attached_map(model: nn.Module) -> RelativeMap | None:
    """The inference map that a model carries, if it carries one."""
    found = (getattr(module, REPLACEMENT, None) for module in model.modules())
    return next((mapped.chosen for mapped in found if mapped is not None), None)


def refuse_mapped(model: nn.Module) -> None:
    """Raises CarrierError for a model under an inference map: it can be neither saved nor extended."""
    chosen = attached_map(model)
    if chosen is not None:
        raise _never_exported(chosen)


def check_turning(model: PreTrainedModel, mapped: MappedAttention, config: ModelConfig) -> None:
    """Compares queries that the model rotated to later positions with earlier ones that are turned on.

    Raises:
        SelfTestError: They differ, so that far scores would be wrong.
    """
    first, shift = _full_layers(config)[0], config.rope.trained_length // 2
    heard: list[Tensor] = []

    def hear(call: AttentionCall) -> None:
        if call.layer == first:
            heard.append(call.query)

    tokens = (7 * torch.arange(TOKENS, device=model.device) + 3) % min(61, config.vocabulary_size)
    with torch.no_grad(), listening(model, config.layers, hear):
        for start in (0, shift):
            positions = torch.arange(start, start + TOKENS, device=model.device)[None]
            model(input_ids=tokens[None], position_ids=positions, attention_mask=None, use_cache=False)
    early, late = (query.float() for query in heard)
    turned = mapped.turned(early, torch.full((1, TOKENS), shift, device=early.device))
    error = float((turned - late).abs().max() / late.abs().max())
    if not error <= TURNING_TOLERANCE:
        raise SelfTestError(
            f"an inference map turns rotated queries on, so a model must turn halves of its heads against each other "
            f"at the speeds of its rotary table; '{config.model_type}' differs by {error:.3g} of its largest query. "
            "Compare with another method on this model."
        )


def _check_model(model: PreTrainedModel, chosen: RelativeMap, config: ModelConfig) -> None:
    if config.extension is not None or config.declared_scaling is not None:
        raise ModelError(
            f"an inference map must stand on the rotary embedding that the model was trained with, because it keeps "
            f"distances inside the trained window by itself; {config.path} is extended or scaled already. Load the "
            f"unscaled checkpoint with '{chosen.name}'."
        )
    if not _full_layers(config):
        raise ModelError(
            f"an inference map changes what layers with full attention see; all {config.layers} layers of this model "
            f"slide over {config.sliding_window} tokens. There is nothing to map."
        )
    if model.config._attn_implementation not in PLAIN:
        raise ModelError(
            f"an inference map needs masks that say for each query which keys it sees; this model attends by "
            f"'{model.config._attn_implementation}'. Load it with attention='sdpa' or 'eager'."
        )


def _full_layers(config: ModelConfig) -> list[int]:
    return [layer for layer, kind in enumerate(config.layer_types) if kind == FULL]


def _table(model: nn.Module) -> Tensor:
    """Frequencies of the full attention layers as the model holds them, float64, `[pairs]`."""
    rotary: Any = next(module for module in model.modules() if is_rotary(module))
    table: Tensor = getattr(rotary, f"{FULL}_inv_freq") if isinstance(rotary.rope_type, dict) else rotary.inv_freq
    return table.double()


def _positions(position_ids: Tensor | None, queries: int, keys: int) -> tuple[Any, Any]:
    """Positions of queries and of keys, int64 arrays `[rows, tokens]`."""
    if position_ids is not None and position_ids.shape[-1] == queries:
        last = position_ids[:, -1:].cpu()
        of_keys = last - keys + 1 + torch.arange(keys)
        if bool((of_keys[:, 0] >= 0).all()) and torch.equal(position_ids.cpu(), of_keys[:, keys - queries :]):
            return of_keys[:, keys - queries :].numpy(), of_keys.numpy()
    raise ModelError(
        f"an inference map must know the position of every key, so rows must be unpadded, their positions count on by "
        f"one, and the cache hold no more than was read; got {keys} keys for {queries} queries at "
        f"{'unknown positions' if position_ids is None else f'positions {position_ids[0, :8].tolist()}'}. Give the "
        "model one whole text for each row."
    )


def _scores(query: Tensor, key: Tensor) -> Tensor:
    """Products of queries and keys, `[rows, heads, queries, keys]`; several query heads may share one key head."""
    rows, heads, tokens, size = query.shape
    grouped = query.reshape(rows, key.shape[1], -1, size)  # heads that share a key follow one another
    return (grouped @ key.mT).reshape(rows, heads, tokens, -1)


def _masked(scores: Tensor, distance: Tensor, mask: Tensor | None, block: slice) -> Tensor:
    if mask is None:
        return scores.masked_fill(distance < 0, -torch.inf)
    part = mask[:, :, block, : scores.shape[-1]]
    return scores + part if part.is_floating_point() else scores.masked_fill(~part, -torch.inf)


def _mixed(scores: Tensor, value: Tensor) -> Tensor:
    rows, heads, tokens, keys = scores.shape
    weights = scores.softmax(dim=-1).reshape(rows, value.shape[1], -1, keys)
    return (weights @ value).reshape(rows, heads, tokens, -1)


def _never_exported(chosen: RelativeMap) -> CarrierError:
    return CarrierError(
        f"an inference map lives in a loaded model alone, because it scores every pair of tokens twice and no config "
        f"of transformers or of an engine can say so; this model carries '{chosen.describe()}'. To save, export or "
        "extend it, load it without inference_map."
    )
