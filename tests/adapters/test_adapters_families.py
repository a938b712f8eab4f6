"""The oldest families of the table: their defaults are transformers', and they extend exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TARGET, logits, tiny_config, tiny_model, tokens
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from ropewalk.adapters import extend_checkpoint, extend_model, load_model, save_model
from ropewalk.adapters.config import parse_config
from ropewalk.adapters.families import REFUSED, SUPPORTED, assumed_family, supported_family
from ropewalk.errors import ModelError

POSITIONS = np.arange(200, 240)
FAMILIES = (
    "gemma gemma2 gpt_neox granite llama mistral mixtral olmo olmo2 olmo3 olmoe phi phi3 qwen2 qwen2_moe qwen3 "
    "qwen3_moe seed_oss stablelm starcoder2"
).split()
CARRIERS = {"linear": "linear", "yarn": "yarn", "abf": "default", "llama3": "llama3", "ntk": "default"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_defaults_are_those_of_transformers(family):
    assumed = SUPPORTED[family]
    config = CONFIG_MAPPING[family]().to_dict()
    rope = config["rope_parameters"]
    for entry in rope.values() if assumed.rope_per_layer_type else [rope]:
        assert entry["rope_theta"] == assumed.base
        assert entry.get("partial_rotary_factor", 1.0) == assumed.rotated_fraction
    assert assumed.rope_per_layer_type == ("full_attention" in rope)
    derived = config["hidden_size"] // config["num_attention_heads"]
    assert (config.get("head_dim") or derived) == (assumed.head_size or derived)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_silent_config_is_read_as_transformers_reads_it(family):
    config = tiny_config(family).to_dict()
    full = {key: value for key, value in config.items() if key != "rope_parameters"}
    if family == "gpt_neox":
        full |= {"rotary_pct": 0.5}
    if family == "stablelm":
        full |= {"partial_rotary_factor": 0.5}
    assert parse_config(full, Path(family)).rope == parse_config(config, Path(family)).rope


WITH_LAYER_TYPES = [name for name in FAMILIES if tiny_config(name).to_dict().get("layer_types")]


@pytest.mark.parametrize("family", WITH_LAYER_TYPES)
@pytest.mark.parametrize("slides", [False, True])
def test_layer_types_follow_the_rule_of_the_family(family, slides):
    options = {"sliding_window": 32, "use_sliding_window": True, "max_window_layers": 1} if slides else {}
    config = tiny_config(family, **options).to_dict()
    silent = {key: value for key, value in config.items() if key != "layer_types"}
    assert list(assumed_family(family).layer_types(silent, 4)) == config["layer_types"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_extends_in_memory_as_on_disk_and_loads_in_plain_transformers(family, tmp_path):
    save_model(tiny_model(family), None, tmp_path / "base")
    ids = tokens(40)
    for name in ("linear", "yarn", "entropy-abf"):
        folder = tmp_path / name
        report = extend_checkpoint(tmp_path / "base", folder, name, TARGET)
        model = tiny_model(family)
        assert extend_model(model, name, TARGET) == report
        wanted = logits(model, ids, POSITIONS)
        np.testing.assert_allclose(logits(load_model(folder), ids, POSITIONS), wanted, atol=1e-5)
        plain = logits(AutoModelForCausalLM.from_pretrained(folder), ids, POSITIONS)
        if name == "entropy-abf":
            assert not report.exact
            assert np.abs(plain - wanted).max() > 1e-3
        else:
            assert report.exact
            np.testing.assert_allclose(plain, wanted, atol=1e-5)
        shutil.rmtree(folder)


@pytest.mark.parametrize("family", ["mistral", "mixtral", "phi3", "starcoder2", "qwen3_moe"])
def test_families_without_layer_types_slide_in_every_layer_or_in_none(family):
    config = tiny_config(family, sliding_window=32, use_sliding_window=True).to_dict()
    assert set(assumed_family(family).layer_types(config, 4)) == {"sliding_attention"}
    config = tiny_config(family, sliding_window=None).to_dict()
    assert set(assumed_family(family).layer_types(config, 4)) == {"full_attention"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_native_rope_type_is_written_where_the_family_admits_it(family):
    for name, native in CARRIERS.items():
        if family == "olmo3" and native == "default":
            native = "longrope"  # transformers 4 keeps one base for both kinds of layers
        if family == "phi3" and native != "default":
            native = "longrope"
        assert extend_model(tiny_model(family), name, TARGET).carrier == native


@pytest.mark.parametrize("family", [*REFUSED, "gpt_bigcode"])
def test_every_other_family_is_refused_by_name_with_a_reason(family):
    with pytest.raises(ModelError, match=rf"got '{family}': .*docs/families.md lists the {len(SUPPORTED)} that are"):
        supported_family(family)


def test_the_refused_names_are_real_and_disjoint_from_the_supported_ones():
    assert not set(REFUSED) & set(SUPPORTED)
    assert set(REFUSED) | set(SUPPORTED) <= set(CONFIG_MAPPING)


def test_transformers_4_refusals_are_told(tmp_path):
    for family, refuses in (("olmo2", True), ("llama", False)):
        notes = " ".join(extend_model(tiny_model(family), "yarn", TARGET).notes)
        assert ("transformers 4 refuses 'yarn'" in notes) == refuses


def test_an_older_spelling_of_gpt_neox_is_extended_whole(tmp_path):
    """Pythia's own config: rotary_pct and rotary_emb_base, nothing that transformers 5 would write."""
    save_model(tiny_model("gpt_neox"), None, tmp_path / "base")
    file = tmp_path / "base" / "config.json"
    raw = json.loads(file.read_text())
    for key in ("rope_parameters", "rope_theta", "rope_scaling", "partial_rotary_factor"):
        raw.pop(key, None)
    file.write_text(json.dumps({**raw, "rotary_pct": 0.5, "rotary_emb_base": 10000}))
    extend_checkpoint(tmp_path / "base", tmp_path / "long", "yarn", TARGET)
    model, ids = tiny_model("gpt_neox"), tokens(40)
    extend_model(model, "yarn", TARGET)
    np.testing.assert_allclose(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "long"), ids, POSITIONS),
        logits(model, ids, POSITIONS),
        atol=1e-5,
    )
