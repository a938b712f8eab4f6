"""Other frequencies in a loaded model for the time of a block: no file, no new module, no self-test.

A search asks hundreds of frequency vectors of one model, each for a few forward passes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ropewalk.adapters import attention
from ropewalk.adapters.carriers import attention_factor
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Floats


@contextmanager
def swapped_frequencies(model: Any, frequencies: Floats, factor: float = 1.0) -> Iterator[None]:
    """Within, every rotary table of a model is computed from these frequencies.

    Args:
        model: A loaded model that is not scaled, so that its tables do not change with the length of a call.
        frequencies: Radians per token, `[pairs]`.
        factor: What cos and sin are multiplied by; logits get its square.

    Raises:
        ModelError: The model has no rotary table, one for each kind of layer, or one of another size.
    """
    modules = [module for module in model.modules() if attention.is_rotary(module)]
    if not modules or any(isinstance(module.rope_type, dict) for module in modules):
        raise ModelError(
            "frequencies are searched for in a model with one rotary table for all its layers; this one has "
            f"{'tables for each kind of layer' if modules else 'none'}. Choose a method by name."
        )
    before = [(module.inv_freq, module.attention_scaling) for module in modules]
    for module, (table, _) in zip(modules, before, strict=True):
        if table.shape != frequencies.shape:
            raise ModelError(
                f"a frequency is needed for each of the {table.shape[0]} pairs of the model; got {len(frequencies)}."
            )
        module.inv_freq = torch.as_tensor(frequencies, dtype=torch.float32, device=table.device)
        module.attention_scaling = float(factor)
    try:
        yield
    finally:
        for module, (table, scaling) in zip(modules, before, strict=True):
            module.inv_freq, module.attention_scaling = table, scaling


@contextmanager
def swapped_method(model: Any, method: Method, config: ModelConfig, target_length: int) -> Iterator[None]:
    """Within, a model computes a static method, its attention scale included.

    Args:
        model: A loaded model that is not scaled.
        method: One that does not depend on the length of a call.
        config: The model's.
        target_length: Tokens of the new window.

    Raises:
        ModelError: See `swapped_frequencies` and `adapters.attention.attach`.
    """
    factor = attention_factor(method, config.rope, target_length, config.layers)
    with swapped_frequencies(model, method.frequencies(config.rope), factor):
        if not method.scale_varies:
            yield
            return
        attention.attach(model, method, config, target_length)
        try:
            yield
        finally:
            for module in model.modules():
                module.__dict__.pop(attention.ATTRIBUTE, None)
