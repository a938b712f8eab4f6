"""Reading config.json in both spellings, what is derived from it, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ropewalk.adapters import read_model_config, resolve_source
from ropewalk.errors import AlreadyScaledError, ModelError, NoRopeError
from ropewalk.rope import Rope

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}


@pytest.fixture
def read(tmp_path):
    def write_and_read(**changes):
        config = {key: value for key, value in {**LLAMA, **changes}.items() if value is not ...}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return read_model_config(tmp_path)

    return write_and_read


def test_the_older_and_the_newer_spelling_give_the_same_rope(read):
    wanted = Rope(head_dim=128, base=500000.0, trained_length=4096)
    assert read(rope_theta=500000.0).rope == wanted
    assert read(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}).rope == wanted


def test_a_config_that_names_no_base_has_the_family_default(read):
    assert read().rope.base == 10000.0
    assert read(model_type="mixtral").rope.base == 1_000_000.0


@pytest.mark.parametrize(
    ("changes", "dimensions", "base"),
    [
        ({"model_type": "gpt_neox", "rotary_pct": 0.25, "rotary_emb_base": 5000}, 32, 5000.0),
        ({"model_type": "gpt_neox"}, 32, 10000.0),
        ({"model_type": "stablelm", "rope_parameters": {"partial_rotary_factor": 0.5}}, 64, 10000.0),
        ({"model_type": "gptj", "rotary_dim": 64}, 64, 10000.0),
        ({"model_type": "qwen3"}, 128, 10000.0),
        ({"model_type": "qwen3", "head_dim": 64}, 64, 10000.0),
        ({"model_type": "gemma2"}, 256, 10000.0),
    ],
)
def test_only_rotated_dimensions_count(read, changes, dimensions, base):
    rope = read(**changes).rope
    assert (rope.head_dim, rope.base) == (dimensions, base)


def test_an_odd_number_of_rotated_dimensions_is_refused_with_the_file(read):
    with pytest.raises(ModelError, match=r"numbers in .*config.json must describe.* even and at least 2.*got 51"):
        read(model_type="phi", partial_rotary_factor=0.4)


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_a_scaled_config_tells_the_window_before_the_scaling(read, spelling):
    config = read(max_position_embeddings=16384, rope_theta=1e6, **{spelling: {**YARN, "rope_theta": 1e6}})
    assert config.rope == Rope(head_dim=128, base=1e6, trained_length=4096)
    assert (config.declared_length, config.declared_scaling["factor"]) == (16384, 4.0)


def test_the_original_window_may_stand_at_the_top_level_as_in_phi3(read):
    scaling = {"type": "longrope", "short_factor": [1.0] * 64, "long_factor": [2.0] * 64}
    config = read(
        model_type="phi3",
        max_position_embeddings=131072,
        original_max_position_embeddings=4096,
        rope_scaling=scaling,
    )
    assert config.rope.trained_length == 4096


def test_layers_with_ropes_of_their_own_are_read_from_the_full_attention_ones(read):
    nested = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        "full_attention": {"rope_type": "default", "rope_theta": 5e5},
    }
    config = read(model_type="olmo3", rope_parameters=nested, sliding_window=4096, rope_theta=1e4)
    assert (config.rope.base, config.declared_scaling) == (5e5, None)
    assert config.layer_types[:4] == ("sliding_attention",) * 3 + ("full_attention",)


def test_the_language_part_of_a_model_with_images_is_read(read):
    config = read(model_type="some_vlm", text_config={**LLAMA, "rope_theta": 2e4}, hidden_size=7)
    assert (config.model_type, config.rope.base) == ("llama", 2e4)


def test_cache_bytes_follow_heads_layers_and_format(read):
    assert read().key_value_bytes_per_token == 2 * 32 * 8 * 128 * 2
    assert read(num_key_value_heads=None, torch_dtype="float32").key_value_bytes_per_token == 2 * 32 * 32 * 128 * 4
    assert read(dtype="float16", torch_dtype=...).dtype == "float16"
    assert read(kv_lora_rank=512, qk_rope_head_dim=64).key_value_bytes_per_token == 32 * (512 + 64) * 2


def test_sliding_layers_stop_growing_the_cache(read):
    config = read(model_type="gemma2", sliding_window=1024, head_dim=128)
    one_layer = 2 * 8 * 128 * 2
    assert config.key_value_bytes(512) == 32 * 512 * one_layer
    assert config.key_value_bytes(4096) == 16 * (4096 + 1024) * one_layer


def test_a_hybrid_counts_its_attention_layers_alone(read):
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 8
    assert read(layer_types=kinds).key_value_bytes_per_token == 8 * 2 * 8 * 128 * 2


def test_what_ropewalk_recorded_is_the_truth_about_the_trained_rope(read):
    record = {
        "format_version": 1,
        "method": "abf",
        "options": {},
        "target_length": 32768,
        "rope": {"head_dim": 128, "base": 1e4, "trained_length": 4096},
    }
    config = read(ropewalk=record, rope_theta=5e5, max_position_embeddings=32768)
    assert (config.rope, config.extension) == (Rope(128, 1e4, 4096), record)
    with pytest.raises(AlreadyScaledError, match=r"method abf, 4,096 to 32,768 tokens\). Extend the checkpoint that"):
        config.require_unscaled()
    with pytest.raises(ModelError, match=r"must have format_version 1; .* has 7. Use the ropewalk version"):
        read(ropewalk={**record, "format_version": 7})


def test_a_scaled_config_is_refused_for_extension_with_type_factor_and_way_out(read):
    with pytest.raises(AlreadyScaledError, match=r"'yarn' with factor 4 already \(window 16,384 tokens\).*unscaled"):
        read(rope_parameters=YARN, max_position_embeddings=16384).require_unscaled()
    assert read().require_unscaled() is None


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 1024, "vocab_size": 9},
        {
            "model_type": "bert",
            "position_embedding_type": "absolute",
            **{k: v for k, v in LLAMA.items() if "y" not in k},
        },
        {**LLAMA, "model_type": "falcon", "alibi": True},
    ],
    ids=["gpt2", "bert", "falcon-alibi"],
)
def test_a_model_without_rotary_positions_is_refused_by_its_name(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(NoRopeError, match=rf"is a '{config['model_type']}' without one .* Choose a rotary model"):
        read_model_config(tmp_path)


def test_what_is_no_config_is_refused_with_the_file_name(tmp_path):
    with pytest.raises(ModelError, match=r"must hold config.json; .* has none. Name the folder"):
        read_model_config(tmp_path)
    file = tmp_path / "config.json"
    file.write_text("{'single': quotes}")
    with pytest.raises(
        ModelError, match=r"config.json must be JSON text; .*config.json is not .* Fetch the file again"
    ):
        read_model_config(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="must be JSON text"):
        read_model_config(tmp_path)
    file.write_text("[1]")
    with pytest.raises(ModelError, match=r"must hold a JSON object; .* holds a list"):
        read_model_config(tmp_path)


@pytest.mark.parametrize("key", ["num_attention_heads", "hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_config_without_a_needed_number_says_which(read, key):
    with pytest.raises(ModelError, match=rf"config.json must say {key}; .* does not. Write the number"):
        read(**{key: ...})


def test_builtin_names_the_folder_inside_the_package():
    assert resolve_source("builtin").parts[-3:] == ("ropewalk", "assets", "builtin")


def test_a_missing_path_is_refused_without_asking_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked the network"))
    for missing in (tmp_path / "nothing", str(tmp_path / "nothing"), "./nothing", "a/b/c"):
        with pytest.raises(ModelError, match=r"there is no folder .*nothing|a/b/c.*. Check the path"):
            resolve_source(missing)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"got the file .*file. Name its folder"):
        resolve_source(tmp_path / "file")


def test_a_hub_id_that_cannot_be_had_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"no folder 'nobody/no-such-model', and the hub gave no model of that name \("
    ):
        resolve_source("nobody/no-such-model")


def test_a_hub_id_asks_for_json_alone_when_only_the_config_is_read(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **k: asked.update(k, name=name) or tmp_path)
    assert resolve_source("org/name", config_only=True) == tmp_path
    assert asked == {"name": "org/name", "allow_patterns": ["*.json"]}
    resolve_source("org/name")
    assert "*.safetensors" in asked["allow_patterns"]


def test_reading_a_config_imports_neither_torch_nor_transformers(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    code = (
        "import sys, ropewalk.adapters as a; a.read_model_config(sys.argv[1]).warnings(); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import ropewalk.adapters

    with pytest.raises(AttributeError, match="no attribute 'extend_everything'"):
        ropewalk.adapters.extend_everything  # noqa: B018


def test_a_path_object_and_a_string_are_the_same_source(read):
    config = read()
    assert read_model_config(str(config.path)) == read_model_config(Path(config.path))
