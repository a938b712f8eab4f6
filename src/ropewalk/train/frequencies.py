"""Only the rotary embedding is trained: how fast each pair turns, and how sharply each head attends.

A model gets one number per pair, shared by all layers, and one per query head and layer:

    frequency_i = (the method's frequency_i) * exp(shift_i)        radians per token
    logits of head h in layer l are multiplied by exp(log_scale_lh)

Both begin at 0, which is the extended model bit for bit, and weight decay pulls them back there. CLEX (Chen et al.,
arXiv:2310.16450) and LongRoPE (arXiv:2402.13753) find frequencies by other means; the scales of heads are a finer form
of the single scale of YaRN (arXiv:2309.00071). After training both vanish into what every reader knows: the frequencies
into the factors of a static `longrope`, the scales into the rows of the query projection.

In families that normalise their queries the scale follows the norm and goes into its weights. Where the norm's weights
are shared by the heads (Qwen3), a layer has one scale.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ropewalk.adapters import attention
from ropewalk.adapters.config import loaded_config
from ropewalk.adapters.shards import RowScale
from ropewalk.errors import CarrierError, ModelError
from ropewalk.methods.longrope import LongRope

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHIFTS, LOG_SCALES = "frequency_shifts", "log_scales"
_UNFOLDABLE = ("q_layernorm",)  # phi's and stablelm's, with biases and lists of their own


def add_frequencies(model: PreTrainedModel) -> list[nn.Parameter]:
    """Makes the frequencies and head scales of an extended model parameters, in place.

    Args:
        model: A model of a supported family, after `extend_model`.

    Returns:
        The new parameters, float32: shifts `[pairs]`, and log scales `[heads]` (or `[1]`) of each layer.

    Raises:
        CarrierError: The scale varies with the position, or the frequencies with the length.
        ModelError: A family whose frequencies or queries cannot be told apart.
    """
    rotary = _only_rotary(model)
    if attention.attached(model) is not None:
        raise CarrierError(
            "trained frequencies are written as one static method, which cannot carry a scale that varies with the "
            "position as well; this model has both. Choose a method of constant scale, such as abf or yarn: the heads "
            "learn their scales themselves."
        )
    if "dynamic" in rotary.rope_type:
        raise CarrierError(
            "trained frequencies must be the same at every length; those of this model change with the length of the "
            "call. Choose a static method, such as ntk, abf or yarn."
        )
    config = loaded_config(model)
    modules = attention.attention_modules(model, range(config.layers))
    scaled = [_query_module(modules[layer], config.model_type) for layer in range(config.layers)]
    groups = [_groups(module, config.query_heads, config.head_size) for module in scaled]
    parameters = [_differentiable(rotary)]
    parameters += [_scaled(module, count) for module, count in zip(scaled, groups, strict=True)]
    return parameters


def learned_method(model: PreTrainedModel, target_length: int) -> LongRope:
    """The trained frequencies and the method's attention factor, as a method that a config carries exactly.

    Args:
        model: A model with trained frequencies.
        target_length: Tokens of the new window.
    """
    rope, rotary = loaded_config(model).rope, _only_rotary(model)
    with torch.no_grad():
        learned = _Shifted(rotary).inv_freq.double().cpu().numpy()
    return LongRope(
        factor=max(1.0, target_length / rope.trained_length),
        factors=tuple((rope.frequencies / learned).tolist()),
        attention_factor=float(rotary.attention_scaling),
    )


def scale_changes(model: nn.Module) -> dict[str, RowScale]:
    """What the trained scales do to weights and biases, by their names in the model."""
    changes = {}
    for name, module in model.named_modules():
        log_scales = getattr(module, LOG_SCALES, None)
        if log_scales is None:
            continue
        scales = log_scales.detach().double().exp().cpu()
        for part, value in module.named_parameters(recurse=False):
            if part != LOG_SCALES:
                changes[f"{name}.{part}"] = RowScale(scales.repeat_interleave(value.shape[0] // len(scales)))
    return changes


class _Shifted:
    """A rotary module as it would be with the trained frequencies."""

    def __init__(self, rotary: Any) -> None:
        self._rotary = rotary

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rotary, name)

    @property
    def inv_freq(self) -> torch.Tensor:
        """Radians per token, `[pairs]`, with a gradient."""
        frequencies: torch.Tensor = self._rotary.inv_freq * getattr(self._rotary, SHIFTS).exp()
        return frequencies


def _only_rotary(model: nn.Module) -> Any:
    found: list[Any] = [module for module in model.modules() if attention.is_rotary(module)]
    if len(found) != 1 or not isinstance(found[0].rope_type, str):
        kinds = sorted(found[0].rope_type) if len(found) == 1 else [type(module).__name__ for module in found]
        raise ModelError(
            "the frequencies of a model are trained through the one table that all its layers share; "
            f"{type(model).__name__} has {len(kinds)} ({', '.join(kinds) or 'none'}). Train adapters instead "
            "(trainable = 'lora')."
        )
    return found[0]


def _differentiable(rotary: Any) -> nn.Parameter:
    """Registers the shifts, and lets gradients through the module's own forward, which transformers closes to them."""
    plain = inspect.unwrap(type(rotary).forward)
    shifts = nn.Parameter(torch.zeros_like(rotary.inv_freq, dtype=torch.float32))
    rotary.register_parameter(SHIFTS, shifts)

    def forward(*arguments: Any, **options: Any) -> Any:
        return plain(_Shifted(rotary), *arguments, **options)

    place = shifts.device
    cosine, _ = forward(torch.zeros(1, device=place), torch.arange(2, device=place)[None])
    if not cosine.requires_grad:
        raise ModelError(
            f"cosines must depend on the trained frequencies; those of {type(rotary).__name__} do not. Train adapters "
            "instead (trainable = 'lora')."
        )
    rotary.forward = forward
    return shifts


def _query_module(layer: Any, family: str) -> Any:
    """The last module before the rotation whose output channels have weights of their own."""
    norm = getattr(layer, "q_norm", None)
    refused = next((name for name in _UNFOLDABLE if getattr(layer, name, None) is not None), None)
    if refused is None and norm is not None and not _is_linear_in_weight(norm):
        refused = "q_norm"
    if refused is not None or not isinstance(getattr(layer, "q_proj", None), nn.Linear):
        raise ModelError(
            "the scale of a head must go into the weights of its query projection; in "
            f"'{family}' it cannot, because {refused or 'a fused projection'} makes the queries. Train adapters "
            "instead (trainable = 'lora')."
        )
    return layer.q_proj if norm is None else norm


@torch.no_grad()
def _is_linear_in_weight(norm: nn.Module) -> bool:
    """Whether twice the weights give twice the output (Gemma's norms add 1 to them)."""
    parameters = dict(norm.named_parameters(recurse=False))
    if set(parameters) != {"weight"}:
        return False
    weight = parameters["weight"]
    probe = torch.linspace(1, 2, len(weight), device=weight.device, dtype=weight.dtype)[None]
    doubled = torch.func.functional_call(norm, {"weight": 2 * weight}, (probe,))
    return torch.allclose(doubled, 2 * norm(probe))


def _groups(module: Any, heads: int, head_size: int) -> int:
    """Scales of a layer: one per head where each head has rows of its own, else one."""
    rows = int(module.weight.shape[0])
    return heads if rows == heads * head_size else 1


def _scaled(module: Any, groups: int) -> nn.Parameter:
    log_scales = nn.Parameter(torch.zeros(groups, device=module.weight.device))
    module.register_parameter(LOG_SCALES, log_scales)

    def scale(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        heads = output.reshape(*output.shape[:-1], groups, -1) * log_scales.exp()[:, None]
        return heads.reshape(output.shape).to(output.dtype)

    module.register_forward_hook(scale)
    return log_scales
