"""`extend_checkpoint`: the config changes, the weights are never read, and a failure leaves nothing behind."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import TARGET, TRAINED, little_space, logits, tiny_model, tokens
from transformers import AutoModelForCausalLM, GenerationConfig

from ropewalk import methods
from ropewalk.adapters import extend_checkpoint, load_model, read_model_config, save_model
from ropewalk.errors import AlreadyScaledError, CarrierError, ModelError, OptionError, OutputError, SelfTestError

POSITIONS = np.arange(300, 330)


@pytest.fixture
def base(tmp_path):
    """A checkpoint folder with everything that a real one has around it."""
    folder = tmp_path / "base"
    model = tiny_model()
    model.generation_config = GenerationConfig(max_new_tokens=7, pad_token_id=0)
    save_model(model, None, folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": TRAINED, "eos_token": "<end>"}))
    for name in ("LICENSE", "optimizer.pt", "trainer_state.json", "old.gguf", ".gitattributes"):
        (folder / name).write_text(name)
    (folder / "original").mkdir()
    return folder


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_weights_are_copied_and_what_would_be_stale_is_left_behind(base, tmp_path):
    extend_checkpoint(base, tmp_path / "long", "yarn", TARGET)
    kept = ["LICENSE", "config.json", "generation_config.json", "model.safetensors", "tokenizer_config.json"]
    assert names(tmp_path / "long") == kept
    for name in ("model.safetensors", "generation_config.json", "LICENSE"):
        assert (tmp_path / "long" / name).read_bytes() == (base / name).read_bytes()
    tokenizer = json.loads((tmp_path / "long" / "tokenizer_config.json").read_text())
    assert tokenizer == {"model_max_length": TARGET, "eos_token": "<end>"}
    assert names(tmp_path) == ["base", "long"]


@pytest.mark.parametrize(("before", "after"), [(TRAINED, TARGET), (TRAINED - 1, TRAINED - 1), (None, None)])
def test_generation_that_ends_at_the_old_window_ends_at_the_new_one(base, tmp_path, before, after):
    """`generate` refuses a prompt beyond `max_length`; one that somebody chose stays."""
    file = base / "generation_config.json"
    settings = {**json.loads(file.read_text()), **({"max_length": before} if before else {})}
    file.write_text(json.dumps(settings))
    extend_checkpoint(base, tmp_path / "long", "yarn", TARGET)
    written = json.loads((tmp_path / "long" / "generation_config.json").read_text())
    assert written == {**settings, **({"max_length": after} if after else {})}


def test_weights_are_never_read_but_for_their_headers(base, tmp_path):
    header = b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
    content = len(header).to_bytes(8, "little") + header + b"no weights at al"
    (base / "model.safetensors").write_bytes(content)
    extend_checkpoint(base, tmp_path / "long", "entropy-abf", TARGET)
    assert (tmp_path / "long" / "model.safetensors").read_bytes() == content


def test_the_config_holds_both_spellings_and_the_record(base, tmp_path):
    report = extend_checkpoint(base, tmp_path / "long", "yarn", TARGET)
    written = json.loads((tmp_path / "long" / "config.json").read_text())
    scaling = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED}
    assert written["rope_scaling"] == scaling
    assert written["rope_theta"] == 10000.0
    assert written["rope_parameters"] == {**scaling, "rope_theta": 10000.0} == report.rope_parameters
    assert written["max_position_embeddings"] == TARGET
    assert written["ropewalk"] == {
        "format_version": 1,
        "method": "yarn",
        "options": methods.get("yarn")(factor=8.0).options,
        "target_length": TARGET,
        "rope": {"head_dim": 16, "base": 10000.0, "trained_length": TRAINED},
    }
    config = read_model_config(tmp_path / "long")
    assert config.warnings() == ()
    assert (config.rope.trained_length, config.declared_length) == (TRAINED, TARGET)
    untouched = json.loads((base / "config.json").read_text())
    changed = {"rope_parameters", "rope_scaling", "max_position_embeddings", "ropewalk"}
    assert {key: value for key, value in written.items() if key not in changed} == {
        key: value for key, value in untouched.items() if key not in changed
    }


def test_dynamic_keeps_the_declared_window_because_it_starts_there(base, tmp_path):
    extend_checkpoint(base, tmp_path / "long", "dynamic-ntk", TARGET)
    assert read_model_config(tmp_path / "long").declared_length == TRAINED


def test_a_sharded_checkpoint_stays_sharded(tmp_path):
    tiny_model("qwen3").save_pretrained(tmp_path / "base", max_shard_size="50KB")
    extend_checkpoint(tmp_path / "base", tmp_path / "long", "entropy-abf", TARGET)
    shards = [name for name in names(tmp_path / "long") if name.startswith("model-")]
    assert len(shards) > 2
    assert "model.safetensors.index.json" in names(tmp_path / "long")
    ids = tokens(30)
    wanted = logits(load_model(tmp_path / "long"), ids, POSITIONS)
    weights = {k: v for shard in shards for k, v in load_file(tmp_path / "base" / shard).items()}
    model = load_model(tmp_path / "long")
    model.load_state_dict(weights, strict=False)
    np.testing.assert_array_equal(logits(model, ids, POSITIONS), wanted)


def test_linked_weights_take_no_space_and_survive_a_cache_of_symbolic_links(base, tmp_path):
    blob = base / "model.safetensors"
    blob.rename(tmp_path / "blob")
    blob.symlink_to(tmp_path / "blob")
    extend_checkpoint(base, tmp_path / "long", "linear", TARGET, link=True)
    linked = tmp_path / "long" / "model.safetensors"
    assert not linked.is_symlink()
    assert linked.stat().st_ino == (tmp_path / "blob").stat().st_ino


def test_a_file_system_that_cannot_link_is_told_and_nothing_is_left(base, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match=r"linking model.safetensors .* failed .*Copy instead \(link=False\)"):
        extend_checkpoint(base, tmp_path / "long", "linear", TARGET, link=True)
    assert names(tmp_path) == ["base"]


def test_an_output_that_exists_is_refused_unless_it_may_be_overwritten(base, tmp_path):
    target = tmp_path / "long"
    target.mkdir()
    (target / "precious").write_text("keep me")
    with pytest.raises(OutputError, match=r"must not exist yet.* long exists|long exists. Choose another name"):
        extend_checkpoint(base, target, "linear", TARGET)
    assert names(target) == ["precious"]
    extend_checkpoint(base, target, "linear", TARGET, overwrite=True)
    assert "precious" not in names(target)
    assert names(tmp_path) == ["base", "long"]


def test_a_partial_folder_of_another_run_is_not_destroyed_silently(base, tmp_path):
    (tmp_path / "long.partial").mkdir()
    with pytest.raises(OutputError, match=r"long.partial exists"):
        extend_checkpoint(base, tmp_path / "long", "linear", TARGET)
    extend_checkpoint(base, tmp_path / "long", "linear", TARGET, overwrite=True)
    assert names(tmp_path) == ["base", "long"]


def test_an_output_inside_the_source_is_refused(base):
    for target in (base, base / "inside"):
        with pytest.raises(OutputError, match=r"must lie outside the source"):
            extend_checkpoint(base, target, "linear", TARGET, overwrite=True)
    assert "model.safetensors" in names(base)


def test_a_folder_without_weights_is_refused(base, tmp_path):
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"must hold its weights as .safetensors or .bin files; .*base has none"):
        extend_checkpoint(base, tmp_path / "long", "linear", TARGET)
    assert names(tmp_path) == ["base"]


def test_a_config_that_transformers_cannot_read_is_refused(base, tmp_path):
    raw = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**raw, "hidden_act": 7}))
    with pytest.raises(ModelError, match=r"config.json must be one that transformers reads"):
        extend_checkpoint(base, tmp_path / "long", "linear", TARGET)
    assert names(tmp_path) == ["base"]


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [("yarn", TRAINED // 2, OptionError), ("longrope", TARGET, OptionError)],
)
def test_a_refused_request_writes_nothing(base, tmp_path, method, target, error):
    with pytest.raises(error):
        extend_checkpoint(base, tmp_path / "long", method, target)
    assert names(tmp_path) == ["base"]


def test_an_extended_checkpoint_is_not_extended_again(base, tmp_path):
    extend_checkpoint(base, tmp_path / "long", "abf", TARGET)
    with pytest.raises(AlreadyScaledError, match=r"method abf, 64 to 512 tokens"):
        extend_checkpoint(tmp_path / "long", tmp_path / "longer", "abf", 1024)


def test_a_failed_self_test_leaves_nothing(base, tmp_path, monkeypatch):
    for error in (SelfTestError("told to fail"), KeyboardInterrupt()):

        def fail(*arguments, error=error):
            raise error

        monkeypatch.setattr("ropewalk.adapters.selftest.check_folder", fail)
        with pytest.raises(type(error)):
            extend_checkpoint(base, tmp_path / "long", "linear", TARGET)
        assert names(tmp_path) == ["base"]


def test_a_full_disk_in_the_middle_leaves_nothing(base, tmp_path):
    with little_space(), pytest.raises(OutputError, match=r"whole or not at all; .*File too large.*: make room or"):
        extend_checkpoint(base, tmp_path / "long", "linear", TARGET)
    assert names(tmp_path) == ["base"]


def test_when_the_last_rename_fails_the_old_folder_comes_back(base, tmp_path, monkeypatch):
    target = tmp_path / "long"
    extend_checkpoint(base, target, "linear", TARGET)
    before = (target / "config.json").read_bytes()
    rename = type(target).rename

    def fail_on_partial(self, to):
        if self.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(type(target), "rename", fail_on_partial)
    with pytest.raises(OutputError, match="No space left on device"):
        extend_checkpoint(base, target, "yarn", TARGET, overwrite=True)
    assert (target / "config.json").read_bytes() == before
    assert names(tmp_path) == ["base", "long"]


def test_a_model_with_images_that_nobody_checked_is_refused_although_its_language_model_is_known(tmp_path):
    config = {"model_type": "llava", "text_config": tiny_model().config.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(ModelError, match=r"got 'llava': nobody has checked yet"):
        extend_checkpoint(tmp_path, tmp_path.parent / "with-images", "linear", TARGET)


def test_a_window_inside_the_sliding_one_needs_no_scale(tmp_path):
    save_model(tiny_model("mistral", sliding_window=32), None, tmp_path / "base")
    with pytest.raises(CarrierError, match=r"because 4 slide over 32 tokens"):
        extend_checkpoint(tmp_path / "base", tmp_path / "long", "entropy-abf", TARGET)
    report = extend_checkpoint(tmp_path / "base", tmp_path / "long", "yarn", TARGET)
    assert "4 of 4 layers slide over 32 tokens and keep that window" in report.notes


def test_generate_works_from_a_plainly_loaded_folder(base, tmp_path):
    extend_checkpoint(base, tmp_path / "long", "yarn", TARGET)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "long")
    ids = tokens(TRAINED)
    grown = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False)
    assert grown.shape == (1, TRAINED + 7)
