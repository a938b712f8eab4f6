"""Tiny models for the training tests."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig


@pytest.fixture
def tiny_llama():
    """Makes a two-layer Llama with a window of 32, always with the same weights."""

    def make(**changes: object):
        values = {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
        }
        with torch.random.fork_rng():
            torch.manual_seed(5)
            return AutoModelForCausalLM.from_config(LlamaConfig(**{**values, **changes}))

    return make
