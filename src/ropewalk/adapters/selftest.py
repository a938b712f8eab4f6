"""Does the extended model compute what the method says? Run after every extension, on short inputs.

Positions are passed explicitly, so a few tokens around the trained window and the target are enough, whatever the
length of the window. A folder is tested on a small random model with its config, so its weights are not read; so is a
model in half precision, whose rounding would hide an error.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.adapters import attention, twin
from ropewalk.adapters.carriers import RELATIVE_TOLERANCE, STANDS_STILL, attention_factor
from ropewalk.adapters.families import FULL
from ropewalk.adapters.spelling import layer_base
from ropewalk.errors import SelfTestError
from ropewalk.method import Method

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from ropewalk.adapters.config import ModelConfig

# Two orders of the same float32 sums differ by about 1e-6 of the largest logit; a wrong scale changes 1e-2 of it.
LOGIT_TOLERANCE = 1e-4
FLAT = 1e-6  # of a scale: attention is even, whatever was learned
TOKENS = 8


def check_model(model: PreTrainedModel, method: Method, config: ModelConfig, target_length: int) -> tuple[str, ...]:
    """Tests a loaded, extended model on itself.

    Returns:
        What was checked, one phrase each.

    Raises:
        SelfTestError: Which number is not what the method says.
    """
    with _evaluating(model):
        checked = [check_tables(model, method, config, target_length)]
        exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
        if exact:
            return (*checked, *_check_logits(model, method, config, target_length))
    return (*checked, *_check_twin(model.config, method, config, target_length))


def check_folder(folder: Path, method: Method, config: ModelConfig, target_length: int) -> tuple[str, ...]:
    """Tests an extended checkpoint folder on a small random model with its config."""
    return _check_twin(twin.load_config(folder), method, config, target_length)


def check_read(model: nn.Module, config: ModelConfig) -> None:
    """Raises SelfTestError where a model's tables, before anything is changed, are not what its config was read as."""
    check_tables(model, Method(), config, config.rope.trained_length)


def check_source(folder: Path, config: ModelConfig) -> None:
    """The same for a checkpoint folder, on a small random model with its config."""
    full = config.layer_types.index(FULL) if FULL in config.layer_types else 0
    check_read(twin.random_model(twin.load_config(folder), min(config.layers, max(2, full + 1))), config)


def _check_twin(written: Any, method: Method, config: ModelConfig, target_length: int) -> tuple[str, ...]:
    scaled = attention.scaled_layers(method, config, target_length) if method.scale_varies else ()
    # Hybrid families must have a layer of full attention, and their caches count tokens there.
    full = config.layer_types.index(FULL) if FULL in config.layer_types else 0
    layers = min(config.layers, max(2, full + 1, scaled[0] + 1 if scaled else 0))
    small = dataclasses.replace(config, layers=layers, layer_types=config.layer_types[:layers])
    model = twin.random_model(written, layers)
    if method.scale_varies:
        attention.attach(model, method, small, target_length)
    return check_model(model, method, small, target_length)


def check_tables(model: nn.Module, method: Method, config: ModelConfig, target_length: int) -> str:
    """Cosines and sines of the rotary modules, against the method's frequencies, inside and beyond the window."""
    rotaries: list[Any] = attention.rotary_modules(model)
    if not rotaries:
        raise SelfTestError(
            f"a model must turn its heads by a table that transformers builds from rope_parameters; "
            f"'{config.model_type}' has no such module. ropewalk cannot extend this model."
        )
    factor = attention_factor(method, config.rope, target_length, config.layers)
    inside, beyond = config.rope.trained_length - 1, target_length - 1
    for rotary in rotaries:
        kinds = list(rotary.rope_type) if isinstance(rotary.rope_type, dict) else [None]
        for kind in kinds:
            for last in (inside, beyond):
                if kind is None or kind == FULL:
                    _compare_table(rotary, kind, last, method.at(last + 1).frequencies(config.rope), factor)
                else:
                    _compare_table(rotary, kind, last, _left_alone(config, rotary, kind), 1.0)
            # A length-dependent table keeps what the longest call needed; a short call sets it back.
            _cosines(rotary, kind, torch.zeros(1, 1, dtype=torch.long))
    return "rotary tables equal the method's frequencies and scale, inside the old window and at the new one"


def _left_alone(config: ModelConfig, rotary: Any, kind: str) -> Any:
    """The frequencies of layers that slide, `[pairs]`: those of the config before the extension."""
    pairs = len(getattr(rotary, f"{kind}_inv_freq"))
    return layer_base(config.text, kind) ** (-np.arange(pairs) / pairs)


def _cosines(rotary: Any, kind: str | None, positions: Tensor) -> tuple[Tensor, Tensor]:
    device = next(rotary.buffers()).device
    probe = torch.zeros(1, dtype=torch.float32, device=device)
    arguments = (probe, positions.to(device)) if kind is None else (probe, positions.to(device), kind)
    turned = rotary(*arguments)
    cosine, sine = (turned.real, turned.imag) if isinstance(turned, torch.Tensor) else turned
    return cosine.cpu(), sine.cpu()


def _compare_table(rotary: Any, kind: str | None, last: int, wanted: Any, factor: float) -> None:
    positions = torch.tensor([[max(0, last - 3), last]])
    cosine, sine = _cosines(rotary, kind, positions)
    table = getattr(rotary, f"{kind}_inv_freq" if kind else "inv_freq").double().cpu().numpy()
    if table.shape != wanted.shape or not np.allclose(table, wanted, rtol=RELATIVE_TOLERANCE, atol=STANDS_STILL):
        raise SelfTestError(
            f"the rotary table must hold the method's frequencies; {_difference(table, wanted)} "
            f"(layers: {kind or 'all'}, call of {last + 1:,} tokens). Report this model family as a bug."
        )
    angles = positions[..., None].float() * torch.from_numpy(table).float()
    for name, got, expected in (("cosines", cosine, angles.cos()), ("sines", sine, angles.sin())):
        error = min(float((got.double() - factor * layout).abs().max()) for layout in _layouts(expected, got.shape[-1]))
        if error > 1e-4 * factor:
            raise SelfTestError(
                f"the {name} must be those of the method times {factor:.6g}; they differ by up to {error:.3g} "
                f"(layers: {kind or 'all'}, call of {last + 1:,} tokens). Report this model family as a bug."
            )


def _layouts(pairs: Tensor, channels: int) -> Iterator[Tensor]:
    """The two orders in which families give a pair's cosine to its two channels, or each pair's once."""
    times = max(1, channels // pairs.shape[-1])
    yield pairs.double().repeat(1, 1, times)
    yield pairs.double().repeat_interleave(times, dim=-1)


def _difference(table: Any, wanted: Any) -> str:
    if table.shape != wanted.shape:
        return f"it has {table.shape[0]} pairs, the method {wanted.shape[0]}"
    worst = int(np.argmax(np.abs(table - wanted) / np.maximum(np.abs(wanted), 1e-12)))
    return f"pair {worst} turns {table[worst]:.9g} radians per token, the method says {wanted[worst]:.9g}"


def _check_logits(model: PreTrainedModel, method: Method, config: ModelConfig, target_length: int) -> Iterator[str]:
    if method.depends_on_length:
        yield "cached decoding not compared: the method's frequencies depend on the length"
        return
    yield check_cache(model, config, target_length)
    if method.scale_varies:
        yield check_inside(model, method, config)
        if target_length > config.rope.trained_length:
            yield check_scale(model, method, config, target_length - 1)


def check_cache(model: PreTrainedModel, config: ModelConfig, target_length: int) -> str:
    """Token-by-token decoding with a cache, against one forward call, across the border of the trained window."""
    border = (
        config.rope.trained_length if target_length > config.rope.trained_length else config.rope.trained_length - 4
    )
    positions = _positions(border - TOKENS // 2)
    whole = _logits(model, positions)
    cache, parts = None, []
    for index in range(TOKENS):
        output = _forward(model, positions[index : index + 1], start=index, cache=cache)
        cache = output.past_key_values
        parts.append(output.logits[0].double().cpu())
    _compare(
        torch.cat(parts), whole, "cached decoding must give the logits of one forward call", "the cache goes stale"
    )
    return "cached decoding equals the full forward across the border of the trained window"


def check_inside(model: PreTrainedModel, method: Method, config: ModelConfig) -> str:
    """Where the method's scale is 1 up to the trained window, it changes nothing at all there."""
    inside = np.arange(TOKENS - 1, config.rope.trained_length)
    scales = np.stack([method.attention_scale(config.rope, inside, layer) for layer in range(config.layers)])
    if (scales != 1).any():
        # Near the end of the window such a scale passes through 1, where nobody could tell it from none.
        return check_scale(model, method, config, int(inside[np.abs(scales - 1).max(axis=0).argmax()]))
    positions = _positions(config.rope.trained_length - TOKENS)
    with attention.without_scale(model):
        plain = _logits(model, positions)
    if not torch.equal(_logits(model, positions), plain):
        raise SelfTestError(
            "the attention scale must be exactly 1 up to the trained window, as the method says; the logits differ "
            "there. Check that the model is told 0-based positions."
        )
    return "the attention scale changes no logit up to the trained window"


def check_scale(model: PreTrainedModel, method: Method, config: ModelConfig, position: int) -> str:
    """The logits at one position, against the softmax scale of each layer multiplied by the method's number.

    One query has one scale, so multiplying the layer's own softmax scale is a second way to the same number: it finds
    a scale that is ignored, squared, halved, applied to keys, or applied to an exempt layer. Where attention is so
    sharp that the method's number changes no logit, next to none shows whether the model heeds any.
    """
    positions = _positions(position + 1 - TOKENS)
    with attention.without_scale(model):
        prefix = _forward(model, positions[:-1], start=0, cache=None).past_key_values
        plain = _last(model, positions, prefix)
        with _softmax_scaled(model, method, config, int(positions[-1])):
            wanted = _last(model, positions, prefix)
        with _softmax_scaled(model, method, config, int(positions[-1]), times=FLAT):
            flat = _last(model, positions, prefix)
    got = _last(model, positions, prefix)
    _compare(got, wanted, f"logits at position {position:,} must carry the method's scale once", "the scale is wrong")
    if not _differ(flat, plain):
        raise SelfTestError(
            f"a scale on attention must change the logits at position {position:,}; they are the same with a "
            "millionth of the method's and without any. This model ignores the scale: choose a method without one."
        )
    if not _differ(wanted, plain):
        return f"at position {position:,} attention is so sharp that the scale changes no logit"
    return f"at position {position:,} the logits carry the attention scale exactly once"


def _last(model: PreTrainedModel, positions: Tensor, prefix: Any) -> Tensor:
    """Logits of the last position after a cached prefix, which stays as it is."""
    output = _forward(model, positions[-1:], start=len(positions) - 1, cache=copy.deepcopy(prefix))
    last: Tensor = output.logits[0].double().cpu()
    return last


@contextmanager
def _softmax_scaled(
    model: nn.Module, method: Method, config: ModelConfig, position: int, *, times: float = 1.0
) -> Iterator[None]:
    layers = attention.scaled_layers(method, config, position + 1)
    modules = attention.attention_modules(model, layers)
    touched = {
        modules[layer]: float(method.attention_scale(config.rope, np.array([position]), layer)[0]) for layer in layers
    }
    before: dict[Any, float] = {module: float(module.scaling) for module in touched}  # type: ignore[arg-type]
    try:
        for module, scale in touched.items():
            module.scaling = before[module] * scale * times  # type: ignore[assignment]
        yield
    finally:
        for module, scaling in before.items():
            module.scaling = scaling


def _positions(first: int) -> Tensor:
    return max(0, first) + torch.arange(TOKENS)


def _logits(model: PreTrainedModel, positions: Tensor) -> Tensor:
    logits: Tensor = _forward(model, positions, start=0, cache=None).logits[0].double().cpu()
    return logits


def _forward(model: PreTrainedModel, positions: Tensor, *, start: int, cache: Any) -> Any:
    tokens = (7 * torch.arange(start, start + len(positions)) + 3) % min(
        61, int(model.config.get_text_config().vocab_size)
    )
    # The mask keeps transformers from reading a jump of positions as a document border.
    mask = torch.ones(1, start + len(positions), dtype=torch.long)
    return model(
        input_ids=tokens[None].to(model.device),
        position_ids=positions[None].to(model.device),
        attention_mask=mask.to(model.device),
        past_key_values=cache,
        use_cache=True,
    )


def _compare(got: Tensor, wanted: Tensor, law: str, otherwise: str) -> None:
    error = float((got - wanted).abs().max())
    if not math.isfinite(error) or error > LOGIT_TOLERANCE * _size(wanted):
        raise SelfTestError(
            f"{law}; they differ by up to {error:.3g} (largest logit {float(wanted.abs().max()):.3g}): {otherwise}. "
            "Choose another method for this model, or report it."
        )


def _differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) > LOGIT_TOLERANCE * _size(other)


def _size(logits: Tensor) -> float:
    return max(1e-3, float(logits.abs().max()))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(before)
