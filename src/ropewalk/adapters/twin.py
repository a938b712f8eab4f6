"""A small random model with a checkpoint's config: same positions, head size and quirks, few and narrow layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from ropewalk.adapters.families import assumed_family
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

HEADS = 2
EXPERTS = 4
VOCABULARY = 64
# Sizes that positions do not depend on, under every name that a config class of transformers gives them.
NARROW = {
    **dict.fromkeys(("intermediate_size", "ffn_hidden_size", "intermediate_size_mlp", "dense_intermediate_size"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    **dict.fromkeys(("expert_ffn_hidden_size", "shared_experts_intermediate_size", "router_hidden_size"), 32),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), EXPERTS),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "zero_expert_num"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group"), 1),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "ngram_vocab_size_base"), VOCABULARY),
    **dict.fromkeys(("hidden_size_per_layer_input", "laurel_rank", "adapter_rank", "gated_norm_rank"), 8),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 24),
    **dict.fromkeys(("index_n_heads", "linear_num_key_heads", "mamba_n_heads", "n_mamba_heads"), HEADS),
    **dict.fromkeys(("linear_num_value_heads", "linear_num_heads"), 2 * HEADS),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim"), 16),
    **dict.fromkeys(("mamba_d_state", "mamba_chunk_size", "chunk_size"), 16),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), HEADS),
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
    """A float32 language model of `layers` layers with weights of unit gain, so that attention is far from uniform.

    Raises:
        ModelError: transformers cannot build a model of that family in a small size.
    """
    text = config.get_text_config()
    changes = narrowed(text.to_dict(), text.model_type, layers)
    # transformers draws first weights from the global generator; the caller's state must survive that.
    try:
        small = type(text).from_dict({**text.to_dict(), **changes})
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(small, dtype=torch.float32)
    except (ValueError, TypeError, AttributeError, ImportError, RuntimeError, StrictDataclassError) as error:
        raise ModelError(
            f"an extension is tested on a small model of the same family; transformers cannot build one of "
            f"'{text.model_type}' from this config ({error}). Extend the loaded model instead."
        ) from error
    fill(model)
    return model.eval()


def narrowed(numbers: Mapping[str, Any], model_type: str, layers: int) -> dict[str, Any]:
    """What changes in a config, so that its model is small: width, experts, vocabulary and the number of layers.

    Args:
        numbers: The config of a language model, with all entries that its class has.
        model_type: Its family.
        layers: Layers to keep, counted from the first.
    """
    heads, before = int(numbers["num_attention_heads"]), int(numbers["num_hidden_layers"])
    head_size = assumed_family(model_type).size_of_head(numbers, int(numbers["hidden_size"]), heads)
    changes: dict[str, Any] = {key: value for key, value in NARROW.items() if numbers.get(key) is not None}
    changes |= {"num_hidden_layers": layers, "num_attention_heads": HEADS, "hidden_size": HEADS * head_size}
    latent = numbers.get("kv_lora_rank") is not None
    if (numbers.get("num_key_value_heads") or heads) < heads and not latent:
        changes["num_key_value_heads"] = 1
    inner = int(numbers.get("mamba_expand") or 2) * HEADS * head_size
    changes |= {
        key: inner // (HEADS if "head" in key else 1)
        for key in ("mamba_d_head", "mamba_headdim", "mamba_d_ssm")
        if key in numbers
    }
    changes |= {
        key: value[:layers] for key, value in numbers.items() if isinstance(value, list) and len(value) == before
    }
    changes |= {key: 0 for key, value in numbers.items() if key.endswith("_token_id") and value is not None}
    return changes


@torch.no_grad()
def fill(model: PreTrainedModel) -> None:
    """Gives a model the same random weights in every process: unit gain for matrices, the rest as it was made."""
    generator = torch.Generator().manual_seed(20240611)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            gain = 1.0 if "embed" in name else parameter.shape[-1] ** -0.5
            parameter.copy_(gain * torch.randn(parameter.shape, generator=generator))
