"""Tiny random models of every supported family, and a plain NumPy Llama to compare with."""

from __future__ import annotations

import math
import resource
from contextlib import contextmanager

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

TRAINED = 64
TARGET = 512
VOCABULARY = 64

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": TRAINED,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SPECIAL = {
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32},
    "gpt_neox": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "mistral": {"sliding_window": None},
    "mixtral": {"num_local_experts": 4},
    "phi": {"num_attention_heads": 2},
    "stablelm": {"num_attention_heads": 2, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    "olmo3": {"sliding_window": 32},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "phi3": {"original_max_position_embeddings": TRAINED},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 32},
    "qwen3": {"head_dim": 16},
    "qwen3_moe": {**EXPERTS, "head_dim": 16},
    "seed_oss": {"head_dim": 16},
}


def tiny_config(family: str = "llama", **changes):
    return CONFIG_MAPPING[family](**{**SMALL, **SPECIAL.get(family, {}), **changes})


def tiny_model(family: str = "llama", *, seed: int = 0, **changes):
    """A float32 model whose matrices have unit gain: attention is far from uniform, so positions matter."""
    config = tiny_config(family, **changes)
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                gain = 1.0 if "embed" in name else parameter.shape[-1] ** -0.5
                parameter.copy_(gain * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@contextmanager
def little_space(byte_limit: int = 50_000):
    """No file may grow beyond the limit: the operating system refuses the write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (byte_limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def tokens(count: int, *, rows: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(3, VOCABULARY, size=(rows, count)))


@torch.no_grad()
def logits(model, ids, positions=None, mask=None, **options) -> np.ndarray:
    """Logits `[batch, tokens, vocabulary]` in float64; every token attends unless a mask says otherwise."""
    mask = torch.ones_like(ids) if mask is None else mask
    positions = None if positions is None else torch.as_tensor(positions).expand(ids.shape)
    output = model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False, **options)
    return output.logits.double().numpy()


@torch.no_grad()
def decoded_logits(model, ids, positions) -> np.ndarray:
    """Logits of token-by-token decoding with a cache."""
    cache, parts = None, []
    for index in range(ids.shape[1]):
        output = model(
            input_ids=ids[:, index : index + 1],
            position_ids=torch.as_tensor(positions)[None, index : index + 1],
            attention_mask=torch.ones_like(ids[:, : index + 1]),
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        parts.append(output.logits.double().numpy())
    return np.concatenate(parts, axis=1)


def reference_logits(
    model, ids, positions, frequencies, factor=1.0, query_scale=None, key_scale=None, score=None
) -> np.ndarray:
    """A Llama in float64 NumPy, written from the equations: logits `[tokens, vocabulary]` of one row.

    Args:
        frequencies: Radians per token, `[pairs]`.
        factor: What cosines and sines are multiplied by.
        query_scale: `(layer, positions) -> [tokens]`, multiplied into rotated queries.
        key_scale: The same for rotated keys (no method wants it: for wrong implementations).
        score: `(queries, keys) -> [heads, tokens, tokens]`, in the place of products of rotated ones; it gets what
            is not rotated, `[tokens, heads, head size]`.
    """
    config = model.config
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    size = config.hidden_size // config.num_attention_heads
    positions = np.asarray(positions, dtype=np.float64)
    angles = np.concatenate([positions[:, None] * frequencies] * 2, axis=1)
    cosine, sine = factor * np.cos(angles)[:, None], factor * np.sin(angles)[:, None]

    def normed(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.rms_norm_eps) * weights[name]

    def turned(x, scale, layer):
        half = size // 2
        turned_x = x * cosine + np.concatenate([-x[..., half:], x[..., :half]], axis=-1) * sine
        return turned_x if scale is None else turned_x * scale(layer, positions)[:, None, None]

    hidden = weights["model.embed_tokens.weight"][ids[0].numpy()]
    count = len(positions)
    for layer in range(config.num_hidden_layers):
        part = f"model.layers.{layer}."
        x = normed(hidden, part + "input_layernorm.weight")
        query, key, value = (
            (x @ weights[f"{part}self_attn.{name}_proj.weight"].T).reshape(count, -1, size) for name in "qkv"
        )
        groups = config.num_attention_heads // config.num_key_value_heads
        key, value = np.repeat(key, groups, axis=1), np.repeat(value, groups, axis=1)
        if score is None:
            query, key = turned(query, query_scale, layer), turned(key, key_scale, layer)
            scores = np.einsum("ihd,jhd->hij", query, key) / math.sqrt(size)
        else:
            scores = score(query, key) / math.sqrt(size)
        scores = np.where(np.tril(np.ones((count, count), dtype=bool)), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), value).reshape(count, -1)
        hidden = hidden + mixed @ weights[part + "self_attn.o_proj.weight"].T
        x = normed(hidden, part + "post_attention_layernorm.weight")
        gate = x @ weights[part + "mlp.gate_proj.weight"].T
        up = x @ weights[part + "mlp.up_proj.weight"].T
        hidden = hidden + (gate / (1 + np.exp(-gate)) * up) @ weights[part + "mlp.down_proj.weight"].T
    return normed(hidden, "model.norm.weight") @ weights["lm_head.weight"].T
