"""A small random model with a checkpoint's config: same positions, head size and quirks, few and narrow layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from ropewalk.adapters.families import assumed_family
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

HEADS = 2
_NARROW = {
    "intermediate_size": 64,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 64,
}


def load_config(folder: Path) -> Any:
    """The transformers config of a folder.

    Raises:
        ModelError: transformers refuses it.
    """
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise ModelError(
            f"config.json must be one that transformers reads; that of {folder} is not ({error}). Fetch it again."
        ) from error


def random_model(config: Any, layers: int) -> PreTrainedModel:
    """A float32 model of `layers` layers with weights of unit gain, so that attention is far from uniform."""
    numbers = config.to_dict()
    family = assumed_family(config.model_type)
    heads = config.num_attention_heads
    head_size = int(numbers.get("head_dim") or family.head_size or config.hidden_size // heads)
    shared = (numbers.get("num_key_value_heads") or heads) < heads
    changes: dict[str, Any] = {key: value for key, value in _NARROW.items() if numbers.get(key) is not None}
    changes |= {
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "hidden_size": HEADS * head_size,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    if "num_key_value_heads" in numbers:
        changes["num_key_value_heads"] = 1 if shared else HEADS
    for key in ("layer_types", "mlp_layer_types"):
        if isinstance(numbers.get(key), list):
            changes[key] = numbers[key][:layers]
    # transformers draws first weights from the global generator; the caller's state must survive that.
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(type(config).from_dict({**numbers, **changes}), dtype=torch.float32)
    _fill(model)
    return model.eval()


@torch.no_grad()
def _fill(model: PreTrainedModel) -> None:
    generator = torch.Generator().manual_seed(20240611)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            gain = 1.0 if "embed" in name else parameter.shape[-1] ** -0.5
            parameter.copy_(gain * torch.randn(parameter.shape, generator=generator))
