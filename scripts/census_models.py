"""A tiny random model of every causal language model class of transformers, for `census.py` and its tests.

Sizes come from `ropewalk.adapters.twin.narrowed`, as for the self-test of a real checkpoint; here heads are small, too,
the window is 64 tokens and the base is 500, so that pairs of every speed exist inside and beyond the window.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ropewalk.adapters import families
from ropewalk.adapters.twin import fill, narrowed

TRAINED = 64
BASE = 500.0
SLIDING_BASE = 300.0
HEAD_SIZE = 32
LAYERS = (4, 6, 8, 12)
ATTENDS = {"full_attention", "hybrid", "indexed_attention"}
PARTS = {  # of images and sound, which text never reaches
    "depth": 1, "num_hidden_layers": 1, "hidden_size": 32, "embed_dim": 32, "intermediate_size": 32,
    "num_attention_heads": 2, "num_heads": 2, "num_key_value_heads": 2, "out_hidden_size": 64,
}  # fmt: skip
WINDOWS = {
    "max_position_embeddings": TRAINED, "max_seq_len": TRAINED, "sliding_window": 32, "attention_chunk_size": 32,
    "local_attention": 32, "attention_window_size": 32, "index_topk": 512, "keep_window_size": 512,
    "original_max_position_embeddings": TRAINED, "max_window_layers": 3,
}  # fmt: skip
LATENT = {"qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32, "qk_head_dim": 48, "index_head_dim": 32}
LINEAR_AND_FULL = ["linear_attention", "full_attention"] * 2
# What the class cannot work out by itself from the sizes above.
SPECIAL: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"layer_types": LINEAR_AND_FULL},
    "bamba": {"attn_layer_indices": [1, 3]},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "gemma2": {"query_pre_attn_scalar": HEAD_SIZE},
    "gemma3_text": {"query_pre_attn_scalar": HEAD_SIZE},
    "gemma3n_text": {"num_kv_shared_layers": 0, "intermediate_size": 64, "activation_sparsity_pattern": None},
    "granitemoehybrid": {"layer_types": LINEAR_AND_FULL, "num_key_value_heads": 2, "position_embedding_type": "rope"},
    "hunyuan_v1_dense": {"head_dim": HEAD_SIZE},
    "hunyuan_v1_moe": {"head_dim": HEAD_SIZE},
    "jetmoe": {"kv_channels": HEAD_SIZE},
    "lfm2": {"full_attn_idxs": [1, 3], "layer_types": None},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"num_layers": 2, "num_hidden_layers": 4, "head_dim": 16},
    "minimax": {"block_size": 16},
    "moshi": {"ffn_dim": 64},
    "ministral": {"head_dim": HEAD_SIZE, "layer_types": ["full_attention"] * 4},
    "nemotron": {"head_dim": HEAD_SIZE, "num_key_value_heads": 2},
    "qwen2": {"use_sliding_window": False, "sliding_window": None},
    "vaultgemma": {"query_pre_attn_scalar": HEAD_SIZE},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_mem_blocks": 1, "use_mem_rope": True},
    "zaya": {"num_experts_per_tok": 1},
}


def causal_types() -> tuple[str, ...]:
    """The model types of all causal language models of the installed transformers."""
    return tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def default_numbers(model_type: str) -> dict[str, Any]:
    """What the language model's config class says when it is told nothing."""
    numbers: dict[str, Any] = text_of(CONFIG_MAPPING[model_type]()).to_dict()
    return numbers


def text_of(config: Any) -> Any:
    """The language model's part of a config."""
    return getattr(config, "text_config", None) or config


def tiny_config(model_type: str, **changes: Any) -> Any:
    """A config of that family with a few narrow layers and a plain rotary embedding."""
    default = CONFIG_MAPPING[model_type]()
    text = text_of(default)
    for layers in LAYERS:
        small = {**_small(text, layers), **changes}
        parts = {
            name: _part(getattr(default, name))
            for name in getattr(default, "sub_configs", {})
            if name != "text_config" and getattr(default, name, None) is not None and _part(getattr(default, name))
        }
        config = type(default)(**parts, **(small if text is default else {"text_config": small}))
        kinds = getattr(text_of(config), "layer_types", None)
        if not kinds or ATTENDS & set(kinds[2:]):  # Entropy-ABF leaves two layers alone
            break
    return config


def tiny_model(model_type: str, **changes: Any) -> Any:
    """A float32 model of that config whose matrices have unit gain: attention is far from uniform."""
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(tiny_config(model_type, **changes), dtype=torch.float32)
    fill(model)
    return model.eval()


def _small(text: Any, layers: int) -> dict[str, Any]:
    model_type, numbers = text.model_type, text.to_dict()
    latent = numbers.get("kv_lora_rank") is not None
    if not latent and "head_dim" in numbers:
        numbers["head_dim"] = HEAD_SIZE
    heads = numbers.get("num_attention_heads") or 2
    numbers["hidden_size"] = HEAD_SIZE * heads
    numbers.setdefault("num_attention_heads", heads)
    numbers.setdefault("num_hidden_layers", layers)
    small = narrowed({**numbers, "head_dim": numbers.get("head_dim") if not latent else HEAD_SIZE}, model_type, layers)
    small = {key: value for key, value in small.items() if key in numbers and not isinstance(value, list)}
    small |= {key: value for key, value in WINDOWS.items() if numbers.get(key) is not None}
    if latent:
        small |= {key: value for key, value in LATENT.items() if numbers.get(key) is not None}
    elif "head_dim" in numbers and text.to_dict()["head_dim"] is not None:
        small["head_dim"] = HEAD_SIZE
    if families.SUPPORTED.get(model_type, families.Family()).sliding == "all":
        small["sliding_window"] = None  # nothing would be left that a scale by position may change
    small["rope_parameters"] = plain_rope(numbers.get("rope_parameters") or {})
    return {**small, **SPECIAL.get(model_type, {})}


def plain_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """The rope setting of a class without any scaling that it brings along, with a base for short windows."""
    if any(isinstance(entry, dict) or entry is None for entry in rope.values()):
        return {
            kind: None
            if entry is None
            else {**plain_rope(entry), **({"rope_theta": SLIDING_BASE} if "sliding" in kind else {})}
            for kind, entry in rope.items()
        }
    kept = {key: rope[key] for key in ("partial_rotary_factor", "mrope_section", "mrope_interleaved") if key in rope}
    if "llama_4_scaling_beta" in rope:
        kept |= {"llama_4_scaling_beta": rope["llama_4_scaling_beta"], "original_max_position_embeddings": TRAINED}
    kind = "proportional" if rope.get("rope_type") == "proportional" else "default"
    return {"rope_type": kind, "rope_theta": BASE, **kept}


def _part(config: Any) -> dict[str, Any]:
    numbers = config.to_dict()
    return {key: value for key, value in PARTS.items() if isinstance(numbers.get(key), int)}
