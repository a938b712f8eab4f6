"""Low-rank adapters beside the weights of linear layers (Hu et al., arXiv:2106.09685), by peft.

peft puts them into the model where it stands, so the model keeps its class: whatever reads hidden states, scales
queries or tiles an MLP works with them as without.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ropewalk.adapters.shards import LowRank
from ropewalk.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from ropewalk.train.settings import LoraSettings

ALL = "all"
_ADAPTER = "default"
_STREAM = 0x10FA  # keeps these draws apart from others of the same seed


def add_adapters(model: PreTrainedModel, settings: LoraSettings, seed: int) -> None:
    """Puts adapters into a model, in place; they change nothing before they are trained.

    B is zero. A is uniform within 1 / sqrt(columns) as in peft, but drawn from the seed and the place of the layer, so
    that neither other draws nor the number of devices change it.

    Args:
        model: A loaded model; the weights that get adapters may be in any format.
        settings: Rank, alpha, dropout and targets.
        seed: Keys the draws.

    Raises:
        OptionError: peft is not installed.
        UnknownNameError: A target that no linear layer has.
    """
    if find_spec("peft") is None:
        raise OptionError(
            "adapters need peft, which is an extra; it is not installed. Install it with: "
            "pip install 'ropewalk[adapters]'"
        )
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=linear_layers(model, settings.targets),
    )
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator, whose state is the caller's
        inject_adapter_in_model(config, model)
    for index, layer in enumerate(_adapted(model).values()):
        _start(layer, np.random.default_rng([_STREAM, seed, index]))


@torch.no_grad()
def _start(layer: Any, rng: np.random.Generator) -> None:
    a, b = layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER]
    a.float(), b.float()
    bound = 1 / math.sqrt(a.in_features)
    a.weight.copy_(torch.from_numpy(rng.uniform(-bound, bound, tuple(a.weight.shape))))
    b.weight.zero_()


def linear_layers(model: PreTrainedModel, targets: Sequence[str]) -> list[str]:
    """Full names of the linear layers that the targets name; the output head is none of them.

    Args:
        model: A loaded model.
        targets: Last parts of names, such as `q_proj` or `mlp.up_proj`, or `all`.

    Raises:
        UnknownNameError: A target that no linear layer has.
    """
    head = model.get_output_embeddings()
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    if ALL in targets:
        return names
    for target in targets:
        if not any(_is_named(name, target) for name in names):
            kind = f"linear layer of {type(model).__name__}"
            raise unknown_name(kind, target, {ALL, *(name.rpartition(".")[2] for name in names)})
    return [name for name in names if any(_is_named(name, target) for target in targets)]


def _is_named(name: str, target: str) -> bool:
    return name == target or name.endswith("." + target)


def _adapted(model: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def adapter_changes(model: nn.Module) -> dict[str, LowRank]:
    """What the adapters add to the weights beside them, by the weights' names in the model without adapters."""
    return {
        f"{name}.weight": LowRank(
            layer.lora_A[_ADAPTER].weight.detach().cpu(),
            layer.lora_B[_ADAPTER].weight.detach().cpu(),
            float(layer.scaling[_ADAPTER]),
        )
        for name, layer in _adapted(model).items()
    }
