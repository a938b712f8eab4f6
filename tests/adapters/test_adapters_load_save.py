"""Loading applies the whole method; saving writes both spellings, whole or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny_models import TARGET, little_space, logits, tiny_model, tokens
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from ropewalk.adapters import (
    extend_model,
    hide_progress_bars,
    load_model,
    load_tokenizer,
    read_model_config,
    save_model,
)
from ropewalk.errors import ModelError, OutputError, UnknownNameError

POSITIONS = np.arange(300, 330)


def tiny_tokenizer():
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", model_max_length=64)


@pytest.mark.parametrize("name", ["yarn", "entropy-abf", "abf", "dynamic-ntk"])
@pytest.mark.parametrize("family", ["llama", "gpt_neox", "olmo3"])
def test_a_saved_extension_loads_with_the_same_logits(tmp_path, family, name):
    model, ids = tiny_model(family), tokens(30)
    extend_model(model, name, TARGET)
    wanted = logits(model, ids, POSITIONS)
    save_model(model, None, tmp_path / "saved")
    np.testing.assert_allclose(logits(load_model(tmp_path / "saved"), ids, POSITIONS), wanted, atol=1e-6)
    if name != "entropy-abf":
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
        np.testing.assert_allclose(logits(plain, ids, POSITIONS), wanted, atol=1e-6)


def test_plain_transformers_save_keeps_the_record(tmp_path):
    model, ids = tiny_model(), tokens(30)
    extend_model(model, "entropy-abf", TARGET)
    model.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    np.testing.assert_allclose(logits(again, ids, POSITIONS), logits(model, ids, POSITIONS), atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "olmo2", "olmo3", "phi"])
def test_a_saved_config_says_the_same_in_both_spellings(tmp_path, family):
    model = tiny_model(family)
    extend_model(model, "linear", TARGET)
    save_model(model, None, tmp_path / "saved")
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    full = written["rope_parameters"].get("full_attention", written["rope_parameters"])
    base, fraction = (
        ("rotary_emb_base", "rotary_pct") if family == "gpt_neox" else ("rope_theta", "partial_rotary_factor")
    )
    assert written[base] == full["rope_theta"]
    assert written.get(fraction, 1.0) == full.get("partial_rotary_factor", 1.0)
    kind = "type" if family == "olmo2" else "rope_type"  # transformers 4 admits nothing else there
    assert written["rope_scaling"] == {kind: "linear", "factor": 8.0}
    assert read_model_config(tmp_path / "saved").warnings()[1:] == ()


def test_an_unextended_model_is_saved_in_both_spellings_too(tmp_path):
    save_model(tiny_model(rope_parameters={"rope_type": "default", "rope_theta": 123.0}), None, tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["rope_theta"], written["rope_scaling"]) == (123.0, None)
    assert read_model_config(tmp_path).rope.base == 123.0


def test_the_tokenizer_is_saved_with_the_new_window_and_loads(tmp_path):
    model = tiny_model()
    extend_model(model, "dynamic-ntk", TARGET)
    save_model(model, tiny_tokenizer(), tmp_path / "saved")
    tokenizer = load_tokenizer(tmp_path / "saved")
    assert tokenizer.model_max_length == TARGET
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [1]


def test_a_model_stored_in_half_precision_is_computed_in_float32(tmp_path):
    save_model(tiny_model().to(torch.bfloat16), None, tmp_path)
    assert read_model_config(tmp_path).dtype == "bfloat16"
    assert load_model(tmp_path).dtype == torch.float32
    assert load_model(tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_the_attention_implementation_and_the_device_can_be_chosen(tmp_path):
    save_model(tiny_model(), None, tmp_path)
    model = load_model(tmp_path, attention="eager", device="cpu")
    assert model.config._attn_implementation == "eager"
    assert not model.training
    with pytest.raises(ModelError, match=r"must load in transformers; .* does not .*Check that its files"):
        load_model(tmp_path, attention="no_such_attention")


def test_broken_weights_are_refused_by_folder(tmp_path):
    save_model(tiny_model(), None, tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model.safetensors is not a whole safetensors file .*Fetch the file again"):
        load_model(tmp_path)


def test_a_folder_without_a_tokenizer_says_what_to_copy(tmp_path):
    save_model(tiny_model(), None, tmp_path)
    with pytest.raises(ModelError, match=r"needs a tokenizer to read text with; .* Copy the tokenizer files"):
        load_tokenizer(tmp_path)


def test_a_recorded_method_that_is_not_installed_is_named(tmp_path):
    model = tiny_model()
    extend_model(model, "entropy-abf", TARGET)
    model.config.ropewalk["method"] = "entropy-abff"
    save_model(model, None, tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'entropy-abf'"):
        load_model(tmp_path)


def test_saving_beside_other_files_leaves_them(tmp_path):
    (tmp_path / "run.toml").write_text("mine")
    save_model(tiny_model(), None, tmp_path)
    save_model(tiny_model(seed=5), None, tmp_path)
    assert (tmp_path / "run.toml").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "run.toml",
    ]


def test_older_weights_do_not_survive_beside_newer_ones(tmp_path):
    tiny_model(seed=3).save_pretrained(tmp_path, max_shard_size="50KB")
    model, ids = tiny_model(seed=4), tokens(20)
    save_model(model, None, tmp_path)
    assert [file.name for file in tmp_path.glob("model*")] == ["model.safetensors"]
    np.testing.assert_allclose(logits(load_model(tmp_path), ids), logits(model, ids), atol=1e-6)


def test_progress_bars_of_transformers_can_be_hidden(monkeypatch):
    hidden = []
    monkeypatch.setattr("transformers.utils.logging.disable_progress_bar", lambda: hidden.append(True))
    hide_progress_bars()
    assert hidden == [True]


@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path, existed):
    folder = tmp_path / "saved"
    if existed:
        save_model(tiny_model(seed=3), None, folder)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with little_space(), pytest.raises(OutputError, match=r"must be saved whole or not at all.* make room or choose"):
        save_model(tiny_model(), None, folder)
    if existed:
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    else:
        assert not folder.exists()


def test_an_interrupted_save_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    model = tiny_model()

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "save_pretrained", interrupt)
    (tmp_path / "run.toml").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        save_model(model, None, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.toml"]


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"saving .*file failed"):
        save_model(tiny_model(), None, tmp_path / "file")
    assert (tmp_path / "file").is_file()


def test_weights_can_be_read_by_whoever_can_read_the_config(tmp_path):
    save_model(tiny_model(), None, tmp_path / "saved")
    modes = {file.stat().st_mode for file in (tmp_path / "saved").iterdir()}
    assert len(modes) == 1
