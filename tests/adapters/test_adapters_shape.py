"""The sizes that memory depends on, read from a checkpoint without its weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

from ropewalk import adapters
from ropewalk.adapters.experts import COUNT
from ropewalk.adapters.shape import shape_of
from ropewalk.analysis.memory import Shape
from ropewalk.errors import ModelError

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
    assert sizes.pop("idle") == 0
    assert parameters == Shape.llama(**sizes).parameters == AutoModelForCausalLM.from_config(config).num_parameters()


def test_files_that_transformers_does_not_load_are_not_counted(tmp_path):
    """Makers leave their own format beside the shards, the same weights once more."""
    model, shape = saved(LlamaConfig(**LLAMA, intermediate_size=80), tmp_path)
    save_file(model.state_dict(), tmp_path / "consolidated.safetensors")
    assert shape_of(adapters.read_model_config(tmp_path)) == shape
    model.save_pretrained(tmp_path, max_shard_size="1GB")  # a single file, which is loaded in the place of shards
    assert shape_of(adapters.read_model_config(tmp_path)) == shape


def test_where_some_files_were_not_fetched_the_weights_of_a_llama_are_taken(tmp_path):
    _, shape = saved(LlamaConfig(**LLAMA, intermediate_size=80), tmp_path)
    min(tmp_path.glob("model-*.safetensors")).unlink()
    assert shape_of(adapters.read_model_config(tmp_path)) == shape


def test_a_file_that_only_points_at_the_weights_is_named(tmp_path):
    """What git leaves without git-lfs: its first eight bytes, as the length of a header, are an exabyte."""
    saved(LlamaConfig(**LLAMA, intermediate_size=80), tmp_path)
    pointer = min(tmp_path.glob("model-*.safetensors"))
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError, match=rf"in the safetensors format; .*{pointer.name} is not .*Fetch it again"):
        shape_of(adapters.read_model_config(tmp_path))


MIXTURES = {
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 1},
    "qwen2_moe": {"num_experts": 6, "moe_intermediate_size": 40, "shared_expert_intermediate_size": 72,
                  "num_experts_per_tok": 2, "mlp_only_layers": [1]},
    "qwen3_moe": {"num_experts": 8, "moe_intermediate_size": 24, "num_experts_per_tok": 2, "decoder_sparse_step": 2,
                  "head_dim": 12},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "glm4_moe": {"n_routed_experts": 8, "n_shared_experts": 1, "moe_intermediate_size": 24, "num_experts_per_tok": 2,
                 "first_k_dense_replace": 1, "head_dim": 12},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 12},
}  # fmt: skip


@pytest.mark.parametrize("family", MIXTURES)
def test_experts_are_counted_as_transformers_builds_them(family, tmp_path):
    sizes = LLAMA | {"num_hidden_layers": 4, "intermediate_size": 80, "num_key_value_heads": 2, "pad_token_id": None}
    config = CONFIG_MAPPING[family](**sizes, **MIXTURES[family])
    config.save_pretrained(tmp_path)
    shape = shape_of(adapters.read_model_config(tmp_path))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shape.parameters == pytest.approx(model.num_parameters(), rel=0.03)
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    chosen = MIXTURES[family]["num_experts_per_tok"]
    count = next(value for key, value in MIXTURES[family].items() if key in COUNT)
    assert shape.idle == pytest.approx(experts * (1 - chosen / count), rel=0.03)


def test_a_model_without_experts_has_no_idle_weights(tmp_path):
    LlamaConfig(**LLAMA, intermediate_size=80).save_pretrained(tmp_path)
    shape = shape_of(adapters.read_model_config(tmp_path))
    assert (shape.idle, shape.active) == (0, shape.parameters)
