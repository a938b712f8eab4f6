"""Checkpoints of real shape with random weights, and a text to train on, for the tests of whole runs."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, Qwen3Config

from ropewalk import adapters
from ropewalk.data.corpus import standard_library

WINDOW = 64


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """A text of about 900 tokens: 13 training windows."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(standard_library(held_out=True).documents["bdb.py"][:3000])
    return path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders by family: a sharded Qwen3-style and a GPT-NeoX-style model, with the built-in tokenizer."""
    tokenizer = adapters.load_tokenizer("builtin")
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": WINDOW,
    }
    configs = {
        "qwen3": Qwen3Config(
            **shape, num_key_value_heads=2, head_dim=32, rope_parameters={"rope_type": "default", "rope_theta": 200.0}
        ),
        "gpt_neox": GPTNeoXConfig(
            **shape,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
        ),
    }
    folders = {}
    for family, config in configs.items():
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = AutoModelForCausalLM.from_config(config)
        folders[family] = tmp_path_factory.mktemp(family) / "model"
        model.save_pretrained(folders[family], max_shard_size="400KB")
        tokenizer.save_pretrained(folders[family])
        assert len(list(folders[family].glob("*.safetensors"))) > 1
    return folders
