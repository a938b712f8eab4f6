"""Plans from configs alone: real shapes that the tests write down, no weights, no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ropewalk.analysis.hardware import device_named
from ropewalk.choose.memory_settings import first_that_fits, memory_plan, settings
from ropewalk.choose.planning import OLD_WINDOW_FACTOR, RECIPES, plan_extension
from ropewalk.choose.suitability import suitable_methods
from ropewalk.errors import AlreadyScaledError, ModelError, OptionError
from ropewalk.report.plan import geometry_facts
from ropewalk.rope import Rope

# layers, width, MLP, heads, key/value heads, vocabulary, window, base, tied, head size, family, billions of parameters
MODELS = {
    "Llama-2-7B": (32, 4096, 11_008, 32, 32, 32_000, 4096, 1e4, False, 128, "llama", 6.738),
    "Llama-2-13B": (40, 5120, 13_824, 40, 40, 32_000, 4096, 1e4, False, 128, "llama", 13.016),
    "Llama-2-70B": (80, 8192, 28_672, 64, 8, 32_000, 4096, 1e4, False, 128, "llama", 68.977),
    "Llama-3-8B": (32, 4096, 14_336, 32, 8, 128_256, 8192, 5e5, False, 128, "llama", 8.030),
    "Mistral-7B": (32, 4096, 14_336, 32, 8, 32_768, 32_768, 1e6, False, 128, "mistral", 7.248),
    "Qwen3-0.6B": (28, 1024, 3072, 16, 8, 151_936, 40_960, 1e6, True, 128, "qwen3", 0.596),
    "Qwen3-8B": (36, 4096, 12_288, 32, 8, 151_936, 40_960, 1e6, False, 128, "qwen3", 8.191),
    "Qwen3-32B": (64, 5120, 25_600, 64, 8, 151_936, 40_960, 1e6, False, 128, "qwen3", 32.762),
}


def write_config(folder, name: str, **changes):
    layers, width, mlp, heads, kv_heads, vocabulary, window, base, tied, head, family, _ = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": family,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
        "max_position_embeddings": window,
        "rope_theta": base,
        "tie_word_embeddings": tied,
        "head_dim": head,
        "sliding_window": None,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_of_real_models_are_counted_from_their_configs(tmp_path, name):
    plan = plan_extension(write_config(tmp_path, name), 2 * MODELS[name][6])
    assert plan.parameters / 1e9 == pytest.approx(MODELS[name][-1], rel=2e-3)


@pytest.mark.parametrize("target_length", [16_384, 131_072, 1_048_576])
@pytest.mark.parametrize("name", ["Llama-2-7B", "Llama-2-70B", "Llama-3-8B"])
def test_a_plan_names_a_recipe_and_a_setting_that_fits_or_says_that_none_does(tmp_path, name, target_length):
    plan = plan_extension(write_config(tmp_path, name), target_length, device=device_named("h200"), devices=8)
    assert {recipe.recipe for recipe in plan.recipes} == set(RECIPES)
    flops = [recipe.petaflops for recipe in plan.recipes]
    assert flops == sorted(flops)
    for recipe in plan.recipes:
        assert (recipe.hours is None) == (not recipe.memory.fits)
        assert recipe.memory.total_bytes == sum(recipe.memory.parts.values())
    chosen = next(recipe for recipe in plan.recipes if recipe.recipe == plan.recommended)
    assert f"--to {target_length} --recipe {chosen.recipe}" in plan.command
    assert "--num_processes 8" in plan.command
    for entry, value in chosen.memory.entries.items():
        assert f"--entry {entry}={value}" in plan.command


@pytest.mark.parametrize(("factor", "recipe"), [(2, "entropy-abf-100"), (4, "entropy-abf-100"), (8, "cream")])
def test_what_is_recommended_was_published_for_so_large_a_factor(tmp_path, factor, recipe):
    plan = plan_extension(write_config(tmp_path, "Llama-2-7B"), factor * 4096)
    assert plan.recommended == recipe
    assert "published for" in plan.because


def test_a_factor_that_nothing_was_published_for_is_said_to_be_so(tmp_path):
    plan = plan_extension(write_config(tmp_path, "Llama-2-7B"), 2 * OLD_WINDOW_FACTOR * 4096)
    assert "more than any of these was published for" in plan.because


def test_a_folder_that_lacks_a_shard_is_refused_with_the_rule_that_says_so(tmp_path):
    folder = write_config(tmp_path, "Llama-2-7B")
    index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="shards-missing"):
        plan_extension(folder, 16_384)


def test_the_recorded_maxima_of_one_h200_come_out_of_the_settings(tmp_path):
    """LoRA of rank 8 on Llama-2-7B with checkpointing and chunked loss: 283 k tokens on one H200, 350 k with tiles."""
    from ropewalk.adapters.config import read_model_config
    from ropewalk.adapters.shape import shape_of

    shape, device = shape_of(read_model_config(write_config(tmp_path, "Llama-2-7B"))), device_named("h200")
    by_words = {one.words: one for one in settings()}
    plain = by_words["LoRA, activation checkpointing"]
    tiled = by_words["LoRA, activation checkpointing, tiled MLPs"]

    def fits(setting, window):
        return memory_plan(shape, window, setting, device=device, devices=1, packed=False).fits

    assert fits(plain, 220_000)
    assert not fits(plain, 320_000)
    assert fits(tiled, 320_000)
    assert not fits(tiled, 480_000)


def test_settings_get_leaner_and_the_first_that_fits_is_taken(tmp_path):
    from ropewalk.adapters.config import read_model_config
    from ropewalk.adapters.shape import shape_of

    shape = shape_of(read_model_config(write_config(tmp_path, "Llama-3-8B")))
    for name, words in (("h200", "LoRA"), ("b200", "all weights"), ("rtx4090", "LoRA, activation checkpointing")):
        setting, plan = first_that_fits(shape, 4096, device=device_named(name), devices=1, packed=False)
        assert setting.words.startswith(words), name
        assert plan.fits
    setting, plan = first_that_fits(shape, 1_000_000, device=device_named("l4"), devices=1, packed=False)
    assert plan.fits is False
    setting, plan = first_that_fits(shape, 4096, device=None, devices=1, packed=False)
    assert (setting.words, plan.fits) == ("all weights, activation checkpointing", None)


def test_methods_that_meet_no_new_angle_and_keep_their_fast_pairs_suit():
    found = {one.method: one for one in suitable_methods(Rope(128, 1e4, 4096), 32_768)}
    assert found["yarn"].suits == "suits"
    assert (found["linear"].suits, found["linear"].fastest_stretch) == ("after training", pytest.approx(8))
    assert found["ntk"].suits == "in part"
    assert found["ntk"].new_angles > 0
    assert "none" not in found
    assert "dynamic-ntk" not in found, "it has no vector of its own"


def test_what_cannot_be_planned_is_refused(tmp_path):
    folder = write_config(tmp_path / "a", "Llama-2-7B")
    with pytest.raises(OptionError, match="at least the trained window of 4,096 tokens"):
        plan_extension(folder, 2048)
    with pytest.raises(OptionError, match="at least 1 device; got 0"):
        plan_extension(folder, 8192, devices=0)
    scaled = write_config(tmp_path / "b", "Llama-2-7B", rope_scaling={"type": "linear", "factor": 4.0})
    with pytest.raises(AlreadyScaledError, match="scaled by 'linear'"):
        plan_extension(scaled, 32_768)
    with pytest.raises(ModelError):
        plan_extension(tmp_path / "nowhere", 8192)


MIXTURES = {
    "Mixtral-8x7B": (
        {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32_000}, 46.7, 12.9,
    ),
    "Qwen3-30B-A3B": (
        {"model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
         "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 48, "num_key_value_heads": 4,
         "vocab_size": 151_936, "max_position_embeddings": 40_960}, 30.5, 3.3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_of_experts_costs_what_a_token_meets(tmp_path, name):
    changes, parameters, active = MIXTURES[name]
    plan = plan_extension(write_config(tmp_path / "m", "Mistral-7B", **changes), 262_144)
    assert plan.parameters / 1e9 == pytest.approx(parameters, rel=0.01)  # as their makers state them
    assert plan.active_parameters / 1e9 == pytest.approx(active, rel=0.02)
    dense = plan_extension(write_config(tmp_path / "d", "Mistral-7B"), 262_144)
    assert (dense.active_parameters, dense.warnings) == (dense.parameters, ())
    assert dict(geometry_facts(plan))["Parameters"].endswith("(a mixture of experts)")
    assert "meets" not in dict(geometry_facts(dense))["Parameters"]


def test_a_plan_imports_neither_torch_nor_transformers(tmp_path):
    folder = write_config(tmp_path, "Llama-2-7B")
    code = (
        "import sys; from ropewalk.choose.planning import plan_extension; "
        f"plan_extension({str(folder)!r}, 32768); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
