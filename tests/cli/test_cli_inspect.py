"""`ropewalk inspect` on configs in both spellings, without weights."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from ropewalk.cli.inspect import byte_text

if TYPE_CHECKING:
    from collections.abc import Callable

GEOMETRY = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "vocab_size": 128_256,
}
VERSION_5: dict[str, Any] = {
    **GEOMETRY,
    "model_type": "llama",
    "max_position_embeddings": 8192,
    "dtype": "bfloat16",
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}
VERSION_4: dict[str, Any] = {
    **GEOMETRY,
    "model_type": "llama",
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
    "rope_theta": 500_000.0,
    "rope_scaling": None,
}
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257}
NEOX: dict[str, Any] = {
    **GEOMETRY,
    "model_type": "gpt_neox",
    "max_position_embeddings": 2048,
    "torch_dtype": "float16",
    "rotary_emb_base": 10_000,
    "rotary_pct": 0.25,
}


@pytest.mark.parametrize("config", [VERSION_4, VERSION_5], ids=["transformers 4", "transformers 5"])
def test_both_spellings_of_a_config_give_the_same_numbers(
    run: Callable[..., Any], model: Callable[..., str], config: dict[str, Any]
) -> None:
    outcome = run("inspect", model(**config), "--json")
    assert outcome.exit_code == 0
    found = json.loads(outcome.out)
    assert found["trained_length"] == found["declared_length"] == 8192
    assert found["base"] == 500_000
    assert found["pairs"] == 64
    assert found["declared_scaling"] is None
    assert found["trained_pair_fraction"] == pytest.approx(math.log(8192 / (2 * math.pi)) / math.log(500_000))
    # Independent: 2 pi base^(2 i / d) > L exactly for the pairs named.
    assert found["incomplete_pairs"] == [i for i in range(64) if 2 * math.pi * 500_000 ** (i / 64) > 8192]
    assert found["key_value_bytes_per_token"] == 32 * 8 * 128 * 2 * 2  # layers, heads, head size, key and value, bytes
    assert found["key_value_bytes_at_window"] == 8192 * found["key_value_bytes_per_token"]
    assert found["refused_because"] is None


def test_the_text_says_window_base_pairs_and_cache(run: Callable[..., Any], model: Callable[..., str]) -> None:
    out = run("inspect", model(**VERSION_4)).out
    for words in (
        "8,192 tokens",
        "500,000",
        "0.55 of all",
        "pairs 35 to 63 (slowest 29 of 64)",
        "128 KiB per token, 1 GiB",
    ):
        assert words in out


def test_a_partly_rotated_head_shows_its_share(run: Callable[..., Any], model: Callable[..., str]) -> None:
    assert "16 (32 of 128 dimensions of a head)" in run("inspect", model(**NEOX)).out


def test_a_model_whose_pairs_all_complete_a_turn_says_so(run: Callable[..., Any], model: Callable[..., str]) -> None:
    config = {**VERSION_4, "rope_theta": 100.0}
    assert "none: every pair has met all its angles" in run("inspect", model(**config)).out


def test_a_model_without_rope_ends_with_code_2(run: Callable[..., Any], model: Callable[..., str]) -> None:
    outcome = run("inspect", model(**GPT2))
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert "a model must have a rotary position embedding" in outcome.paragraph


def test_a_scaled_checkpoint_shows_its_scaling_and_why_extend_would_refuse_it(
    run: Callable[..., Any], model: Callable[..., str]
) -> None:
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}
    config = {**VERSION_4, "max_position_embeddings": 32_768, "rope_scaling": scaling}
    outcome = run("inspect", folder := model(**config))
    assert outcome.exit_code == 0
    words = " ".join(outcome.out.split())
    assert "8,192 tokens trained, 32,768 declared (4 x)" in words
    assert "yarn, factor 4, original_max_position_embeddings 8192" in words
    assert "Can be extended no, see below" in words
    assert "Why not: an extension must start from a checkpoint whose rotary embedding is as it was trained" in words
    assert json.loads(run("inspect", folder, "--json").out)["declared_scaling"]["factor"] == 4.0


def test_a_contradictory_config_is_warned_about(run: Callable[..., Any], model: Callable[..., str]) -> None:
    config = {
        **VERSION_4,
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
        "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10_000.0},
    }
    folder = model(**config)
    found = json.loads(run("inspect", folder, "--json").out)
    assert any("disagree" in warning for warning in found["warnings"])
    outcome = run("inspect", folder)
    shown = " ".join(outcome.out.split())
    for finding in found["findings"]:
        words = " ".join(f"{finding['message']}. {finding['fix']}".split())
        assert f"{finding['severity'].capitalize()}: {words}" in shown
    assert outcome.exit_code == 2  # which of two settings counts cannot be told
    assert "rope_parameters and rope_scaling disagree on factor, rope_type" in outcome.paragraph


@pytest.mark.parametrize("config", [VERSION_4, VERSION_5, NEOX], ids=["4", "5", "neox"])
def test_the_text_fits_the_terminal(run: Callable[..., Any], model: Callable[..., str], config: dict[str, Any]) -> None:
    assert max(map(len, run("inspect", model(**config)).out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (131_072, "128 KiB"),
        (3 * 2**29, "1.5 GiB"),
        (2**52, "4,096 TiB"),
    ],
)
def test_bytes_are_shown_in_the_largest_binary_unit(count: int, text: str) -> None:
    assert byte_text(count) == text
