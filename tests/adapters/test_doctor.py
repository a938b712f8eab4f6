"""Every rule of the doctor finds what it is about, a sound checkpoint breaks none, and repairs are certain."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ropewalk.adapters import read_model_config
from ropewalk.adapters.config import parse_config
from ropewalk.adapters.doctor import NOT_VISIBLE, examine, require_sound, rules
from ropewalk.adapters.doctor.repair import write_repaired
from ropewalk.adapters.trust import allowing
from ropewalk.errors import ModelError, OutputError

CONFIG = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def folder(tmp_path):
    """A sound checkpoint of two shards."""
    place = tmp_path / "model"
    place.mkdir()
    write(place, "config.json", CONFIG)
    write(place, "tokenizer_config.json", {"model_max_length": 4096})
    for number, shard in enumerate(SHARDS):
        save_file({f"layer.{number}": np.ones((4, 4), np.float32)}, place / shard)
    index = {"metadata": {}, "weight_map": {f"layer.{number}": shard for number, shard in enumerate(SHARDS)}}
    write(place, "model.safetensors.index.json", index)
    return place


def write(place, name, content):
    (place / name).write_text(json.dumps(content))


def change(place, **entries):
    write(place, "config.json", {**json.loads((place / "config.json").read_text()), **entries})


def cut(file):
    file.write_bytes(file.read_bytes()[:-5])


def pickles(place):
    for file in [*place.glob("*.safetensors"), place / "model.safetensors.index.json"]:
        file.unlink()
    (place / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")


def index_of_another(place):
    index = json.loads((place / "model.safetensors.index.json").read_text())
    index["weight_map"]["lm_head.weight"] = SHARDS[1]
    write(place, "model.safetensors.index.json", index)


REMOTE = {"model_type": "nobody", "auto_map": {"AutoModelForCausalLM": "modeling_nobody.Nobody"}}
LONG = {"rope_type": "longrope", "original_max_position_embeddings": 4096, "factor": 4.0}
BROKEN = {
    "unknown-type": lambda p: change(p, rope_scaling={"type": "magic", "factor": 2.0}),
    "two-settings": lambda p: change(
        p, rope_scaling=YARN, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    ),
    "factor-count": lambda p: change(p, rope_scaling={**LONG, "short_factor": [1.0], "long_factor": [1.0] * 16}),
    "shards-missing": lambda p: (p / SHARDS[0]).unlink(),
    "shard-broken": lambda p: cut(p / SHARDS[1]),
    "tensors-missing": index_of_another,
    "pickle-only": pickles,
    "remote-code": lambda p: change(p, **REMOTE),
    "json-broken": lambda p: (p / "generation_config.json").write_text("{"),
}
MISLEADING = {
    "original-missing": lambda p: change(p, rope_scaling={"type": "yarn", "factor": 4.0}),
    "factor-mismatch": lambda p: change(p, rope_scaling=YARN, max_position_embeddings=32768),
    "window-left": lambda p: change(p, rope_scaling=YARN),
    "linear-window": lambda p: change(p, rope_scaling={"type": "linear", "factor": 2.0}),
    "dynamic-raised": lambda p: change(
        p,
        rope_scaling={"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 4096},
        max_position_embeddings=8192,
    ),
    "length-dependent": lambda p: change(
        p, rope_scaling={**LONG, "short_factor": [1.0] * 16, "long_factor": [2.0] * 16}
    ),
    "scaling-in-one-spelling": lambda p: change(p, rope_parameters={**YARN, "rope_theta": 1e4}),
    "two-bases": lambda p: change(p, rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
    "base-in-one-spelling": lambda p: change(
        p, rope_theta=None, rope_parameters={"rope_type": "default", "rope_theta": 5e5}
    ),
    "flat-for-nested": lambda p: change(p, model_type="olmo3", rope_parameters={"rope_theta": 5e5}),
    "nested-truncate": lambda p: change(
        p, model_type="olmo3", rope_parameters={"full_attention": {**YARN, "truncate": False}}
    ),
    "sliding-everywhere": lambda p: change(p, model_type="mistral", sliding_window=1024),
    "attention-factor": lambda p: change(p, rope_scaling={**YARN, "attention_factor": 1.0}),
    "entropy-abf-release": lambda p: change(p, rope_scaling={"type": "eabf", "factor": 4.0}),
    "two-sets-of-weights": lambda p: save_file({"a": np.ones(2, np.float32)}, p / "model.safetensors"),
    "own-code-unused": lambda p: change(p, auto_map=REMOTE["auto_map"]),
    "quantized": lambda p: change(p, quantization_config={"quant_method": "awq"}),
    "tokenizer-window": lambda p: write(p, "tokenizer_config.json", {"model_max_length": 2048}),
    "generation-window": lambda p: write(p, "generation_config.json", {"max_length": 8192}),
}


def found(place, **told):
    return {finding.rule: finding for finding in examine(read_model_config(place), told=told)}


def test_a_sound_checkpoint_breaks_no_rule(folder):
    assert found(folder) == {}
    require_sound(read_model_config(folder))


@pytest.mark.parametrize("name", [*BROKEN, *MISLEADING])
def test_a_broken_rule_is_found_with_a_fix(folder, name):
    (BROKEN | MISLEADING)[name](folder)
    finding = found(folder)[name]
    assert finding.message
    assert finding.fix.endswith(".")
    assert (finding.severity == "error") == (name in BROKEN)


def test_every_rule_has_a_case_a_law_and_a_source():
    assert sorted(rule.name for rule in rules()) == sorted([*BROKEN, *MISLEADING])
    for rule in rules():
        assert rule.law.endswith(".")
        assert rule.source


@pytest.mark.parametrize("name", BROKEN)
def test_an_error_refuses_the_checkpoint_and_names_the_rule(folder, name):
    BROKEN[name](folder)
    with pytest.raises(ModelError, match=rf"a checkpoint must be whole and say one thing; .*\(rule {name}\)"):
        require_sound(read_model_config(folder))


@pytest.mark.parametrize("length", [0, 8, 2**62])
def test_a_header_that_lies_about_its_length_is_found(folder, length):
    file = folder / SHARDS[0]
    file.write_bytes(struct.pack("<Q", length) + file.read_bytes()[8:])
    assert "shard-broken" in found(folder)


def test_pickles_and_remote_code_pass_where_the_user_allows_them(folder):
    pickles(folder)
    change(folder, **REMOTE)
    with allowing(pickle=True):
        assert set(found(folder)) == {"remote-code"}
    with allowing(pickle=True, remote_code=True):
        assert found(folder) == {}
    assert set(found(folder)) == {"remote-code", "pickle-only"}


def test_missing_weights_of_a_hub_id_are_no_fault_of_its_config(folder):
    (folder / SHARDS[0]).unlink()
    assert examine(read_model_config(folder), settings_only=True) == ()


def test_the_trained_window_is_taken_from_the_tokenizer_where_the_factor_agrees(folder, tmp_path):
    change(folder, rope_scaling={"type": "yarn", "factor": 4.0}, max_position_embeddings=16384)
    repaired = write_repaired(read_model_config(folder), tmp_path / "out")
    assert [finding.rule for finding in repaired] == ["original-missing"]
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["rope_parameters"]["original_max_position_embeddings"] == 4096
    assert written["rope_scaling"]["rope_type"] == written["rope_parameters"]["rope_type"] == "yarn"
    assert read_model_config(tmp_path / "out").rope.trained_length == 4096
    for shard in SHARDS:
        assert (tmp_path / "out" / shard).samefile(folder / shard)


def test_the_trained_window_is_not_guessed(folder):
    change(folder, rope_scaling={"type": "yarn", "factor": 4.0}, max_position_embeddings=16384)
    write(folder, "tokenizer_config.json", {"model_max_length": 5000})
    assert found(folder)["original-missing"].repair is None
    assert found(folder, trained_length=4096)["original-missing"].repair is not None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("original-missing", {"trained_length": 4096}),
        ("window-left", {}),
        ("linear-window", {"trained_length": 4096}),
        ("dynamic-raised", {}),
        ("scaling-in-one-spelling", {}),
        ("base-in-one-spelling", {}),
        ("entropy-abf-release", {"exempt_layers": 0}),
    ],
)
def test_a_repaired_copy_breaks_the_rule_no_more_and_leaves_the_source(folder, tmp_path, name, told):
    MISLEADING[name](folder)
    before = (folder / "config.json").read_text()
    assert name in {finding.rule for finding in write_repaired(read_model_config(folder), tmp_path / "out", told=told)}
    assert name not in found(tmp_path / "out")
    assert (folder / "config.json").read_text() == before


def test_the_tokenizer_of_a_scaled_model_is_told_the_new_window(folder, tmp_path):
    change(folder, rope_scaling=YARN, max_position_embeddings=16384)
    write_repaired(read_model_config(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text()) == {"model_max_length": 16384}
    assert found(tmp_path / "out") == {}


def test_generation_of_a_scaled_model_is_told_the_new_window(folder, tmp_path):
    """Left at the old one, it refuses prompts that the model was made for; a smaller one was chosen by somebody."""
    change(folder, rope_scaling=YARN, max_position_embeddings=16384)
    write(folder, "generation_config.json", {"max_length": 2048})
    assert "generation-window" not in found(folder)
    write(folder, "generation_config.json", {"max_length": 4096, "top_p": 0.5})
    assert "`generate` refuses longer prompts" in found(folder)["generation-window"].message
    write_repaired(read_model_config(folder), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert written == {"max_length": 16384, "top_p": 0.5}
    assert found(tmp_path / "out") == {}


def test_nothing_is_written_where_nothing_is_certain_or_an_error_remains(folder, tmp_path):
    with pytest.raises(ModelError, match="only what is certain is repaired, and nothing in"):
        write_repaired(read_model_config(folder), tmp_path / "out")
    change(folder, rope_scaling=YARN)
    cut(folder / SHARDS[0])
    with pytest.raises(ModelError, match="rule shard-broken"):
        write_repaired(read_model_config(folder), tmp_path / "out")
    (folder / "x").mkdir()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_repaired_copy_does_not_land_inside_its_source(folder):
    change(folder, rope_scaling=YARN)
    with pytest.raises(OutputError, match="must lie outside the source"):
        write_repaired(read_model_config(folder), folder / "out")


def test_the_doctor_imports_neither_torch_nor_transformers(folder):
    code = (
        "import sys; from ropewalk.adapters import read_model_config as r; from ropewalk.adapters.doctor import *; "
        "examine(r(sys.argv[1])); print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_config_alone_can_be_examined():
    assert examine(parse_config(CONFIG, Path("nowhere"))) == ()
    assert len(NOT_VISIBLE) == 7
