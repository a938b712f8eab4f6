"""The sizes that memory depends on, read from a checkpoint without its weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

from ropewalk import adapters
from ropewalk.adapters.shape import shape_of
from ropewalk.analysis.memory import Shape

LLAMA = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 64}


def saved(config, folder):
    with torch.random.fork_rng():
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return model, shape_of(adapters.read_model_config(folder))


@pytest.mark.parametrize("tied", [False, True])
def test_a_llama_is_read_as_it_is(tied, tmp_path):
    config = LlamaConfig(**LLAMA, intermediate_size=80, num_key_value_heads=2, head_dim=16, tie_word_embeddings=tied)
    model, shape = saved(config, tmp_path)
    assert shape == Shape(2, 48, 80, 4, 2, 16, 64, tied, model.num_parameters())


def test_weights_that_a_llama_does_not_have_are_counted_in_the_files(tmp_path):
    rope = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
    config = GPTNeoXConfig(**LLAMA, intermediate_size=96, max_position_embeddings=64, rope_parameters=rope)
    model, shape = saved(config, tmp_path)
    assert (shape.intermediate, shape.heads, shape.kv_heads, shape.head_dim) == (96, 4, 4, 12)
    assert shape.parameters == model.num_parameters()


def test_without_weight_files_the_weights_of_a_llama_are_taken(tmp_path):
    config = LlamaConfig(**LLAMA, intermediate_size=80)
    config.save_pretrained(tmp_path)
    shape = shape_of(adapters.read_model_config(tmp_path))
    sizes = dataclasses.asdict(shape)
    parameters = sizes.pop("parameters")
    assert parameters == Shape.dense(**sizes).parameters == AutoModelForCausalLM.from_config(config).num_parameters()
