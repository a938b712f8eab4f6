"""Every contradiction that a config can hold is named, and a clean config has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropewalk.adapters.config import parse_config

BASE = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "vocab_size": 100,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
LINEAR = {"rope_type": "linear", "factor": 2.0}


def warnings(**changes):
    return " | ".join(parse_config({**BASE, **changes}, Path("model")).warnings())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rope_theta": 5e5},
        {"rope_scaling": YARN, "max_position_embeddings": 16384},
        {"rope_scaling": YARN},
        {"rope_parameters": {**YARN, "rope_theta": 1e4}, "rope_scaling": YARN, "max_position_embeddings": 16384},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        {
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
            "max_position_embeddings": 131072,
        },
        {"model_type": "mistral", "sliding_window": None},
    ],
)
def test_a_consistent_config_has_no_warning(changes):
    assert warnings(**changes) == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rope_scaling": {"rope_type": "magic"}}, "rope type 'magic' is not one that transformers knows"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "yarn without original_max_position_embeddings"),
        (
            {"rope_scaling": YARN, "max_position_embeddings": 32768},
            "factor 4 x original_max_position_embeddings 4,096 = 16,384, but max_position_embeddings says 32,768",
        ),
        ({"rope_scaling": LINEAR}, "linear scaling does not say whether max_position_embeddings (4,096)"),
        (
            {
                "rope_scaling": {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 4096},
                "max_position_embeddings": 8192,
            },
            "starts beyond max_position_embeddings (8,192), which was raised above the trained window (4,096)",
        ),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "depends on the longest position of a call"),
        (
            {"rope_scaling": {**LINEAR, "factor": 8.0}, "rope_parameters": {**LINEAR, "rope_theta": 1e4}},
            "rope_parameters and rope_scaling disagree on factor: transformers 5 takes rope_scaling",
        ),
        ({"rope_parameters": {**YARN, "rope_theta": 1e4}}, "in rope_parameters alone: transformers 4 does not read it"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            "rope_parameters says base 500000, the top level says 10000",
        ),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": None},
            "base 500000 is in rope_parameters alone",
        ),
        (
            {"model_type": "olmo3", "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            "the flat rope_parameters in this config is ignored",
        ),
        (
            {"model_type": "olmo3", "rope_parameters": {"full_attention": {**YARN, "truncate": False}}},
            "'truncate' inside a per-layer-type entry is not read",
        ),
        (
            {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0] * 16}},
            "short_factor has 1 numbers, but the heads have 16 rotated pairs",
        ),
        (
            {"model_type": "mistral", "sliding_window": 1024},
            "every layer slides over 1,024 tokens: whatever the rotary embedding",
        ),
    ],
)
def test_a_contradiction_is_named_with_its_numbers(changes, sentence):
    assert sentence in warnings(**changes)
