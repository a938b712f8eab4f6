"""A merged checkpoint is the model with its weights changed by hand, and everything else of its source."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TARGET, TRAINED, little_space, logits, tiny_model, tokens
from transformers import AutoModelForCausalLM

from ropewalk.adapters import extend_checkpoint, extend_model, load_model
from ropewalk.adapters.merge import merge_checkpoint
from ropewalk.adapters.shards import LowRank, Replacement, RowScale
from ropewalk.adapters.trust import allowing
from ropewalk.errors import ModelError, OutputError

QUERY, EMBEDDING, NORM = "model.layers.1.self_attn.q_proj.weight", "model.embed_tokens.weight", "model.norm.weight"
POSITIONS = np.arange(40, 70)


def draw(*shape, seed=0):
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def changes():
    return {
        QUERY: LowRank(draw(2, 64, seed=1), draw(64, 2, seed=2), 2.0),
        EMBEDDING: Replacement(draw(64, 64, seed=3)),
        NORM: RowScale(1 + draw(64, seed=4).abs()),
    }


def changed_by_hand(model, changes):
    """The same model with every change applied to its whole float32 tensors."""
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, change in changes.items():
            weights[name].copy_(change.apply(weights[name].float().clone(), 0))
    return model


def wanted(model, changes):
    extend_model(changed_by_hand(model, changes), "yarn", TARGET)
    return logits(model, tokens(30), POSITIONS)


def got(folder):
    return logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tokens(30), POSITIONS)


@pytest.mark.parametrize("size", ["30KB", "1GB"])
def test_a_merged_checkpoint_computes_what_the_changed_model_does(tmp_path, size):
    tiny_model().save_pretrained(tmp_path / "source", max_shard_size=size)
    report = merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())
    np.testing.assert_allclose(got(tmp_path / "merged"), wanted(tiny_model(), changes()), atol=1e-5)
    assert "3 tensors were changed in a copy of the weight files, and rounded once as stored" in report.notes
    assert report.exact


def test_the_source_and_what_is_not_changed_stay_byte_for_byte(tmp_path):
    source = tmp_path / "source"
    tiny_model().save_pretrained(source, max_shard_size="30KB")
    before = {file.name: file.read_bytes() for file in source.iterdir()}
    extend_checkpoint(source, tmp_path / "extended", "yarn", TARGET)
    merge_checkpoint(source, tmp_path / "merged", "yarn", TARGET, {QUERY: changes()[QUERY]})
    assert {file.name: file.read_bytes() for file in source.iterdir()} == before
    extended = {file.name: file.read_bytes() for file in (tmp_path / "extended").iterdir()}
    merged = {file.name: file.read_bytes() for file in (tmp_path / "merged").iterdir()}
    index = json.loads(extended["model.safetensors.index.json"])
    assert [name for name in extended if merged[name] != extended[name]] == [index["weight_map"][QUERY]]
    assert set(merged) == set(extended)


def test_half_precision_weights_are_rounded_once(tmp_path):
    model = tiny_model().bfloat16()
    model.save_pretrained(tmp_path / "source")
    stored = model.state_dict()[QUERY]
    merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, {QUERY: changes()[QUERY]})
    update = changes()[QUERY]
    merged = load_file(tmp_path / "merged" / "model.safetensors")[QUERY]
    assert torch.equal(merged, (stored.float() + 2.0 * update.b @ update.a).bfloat16())


def tied_source(folder, *, stored_twice):
    model = tiny_model(tie_word_embeddings=True)
    model.save_pretrained(folder)
    if stored_twice:
        file = folder / "model.safetensors"
        tensors = load_file(file)
        save_file({**tensors, "lm_head.weight": tensors[EMBEDDING].clone()}, file, metadata={"format": "pt"})
    return model


@pytest.mark.parametrize("stored_twice", [False, True])
def test_a_tied_head_learns_with_the_embeddings(tmp_path, stored_twice):
    tied_source(tmp_path / "source", stored_twice=stored_twice)
    tied = {"lm_head.weight": EMBEDDING}
    merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes(), tied=tied)
    np.testing.assert_allclose(
        got(tmp_path / "merged"), wanted(tiny_model(tie_word_embeddings=True), changes()), atol=1e-5
    )


def test_a_head_that_is_forgotten_is_found_out(tmp_path):
    tied_source(tmp_path / "source", stored_twice=True)
    merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())
    by_hand = wanted(tiny_model(tie_word_embeddings=True), changes())
    assert np.abs(got(tmp_path / "merged") - by_hand).max() > 0.1


def test_a_checkpoint_of_the_bare_backbone_is_patched_too(tmp_path):
    model = tiny_model(tie_word_embeddings=True)
    model.base_model.save_pretrained(tmp_path / "source")
    assert "embed_tokens.weight" in load_file(tmp_path / "source" / "model.safetensors")
    report = merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())
    assert "in a copy of the weight files" in report.notes[-1]
    np.testing.assert_allclose(
        got(tmp_path / "merged"), wanted(tiny_model(tie_word_embeddings=True), changes()), atol=1e-5
    )


def test_an_old_weight_format_is_merged_in_memory_and_the_report_says_so(tmp_path):
    source, model = tmp_path / "source", tiny_model()
    model.save_pretrained(source)
    (source / "model.safetensors").unlink()
    torch.save(model.state_dict(), source / "pytorch_model.bin")
    (source / "notes.txt").write_text("mine")
    with allowing(pickle=True):
        report = merge_checkpoint(source, tmp_path / "merged", "yarn", TARGET, changes())
    assert "3 tensors were changed in the loaded model, because its weight files do not hold them" in report.notes[-1]
    np.testing.assert_allclose(got(tmp_path / "merged"), wanted(tiny_model(), changes()), atol=1e-5)
    names = {file.name for file in (tmp_path / "merged").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors", "notes.txt"}


@pytest.mark.parametrize("old_format", [True, False])
def test_generation_of_a_merged_checkpoint_ends_at_the_new_window(tmp_path, old_format):
    model = tiny_model()
    model.generation_config.max_length = TRAINED
    model.save_pretrained(tmp_path / "source")
    if old_format:
        (tmp_path / "source" / "model.safetensors").unlink()
        torch.save(model.state_dict(), tmp_path / "source" / "pytorch_model.bin")
    with allowing(pickle=True):
        merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())
    assert json.loads((tmp_path / "merged" / "generation_config.json").read_text())["max_length"] == TARGET


def test_experts_that_transformers_joins_when_it_loads_are_merged_in_memory(tmp_path):
    """The files hold a matrix for each expert, the model one tensor for all of them."""
    model = tiny_model("mixtral")
    model.save_pretrained(tmp_path / "source")
    name = "model.layers.0.mlp.experts.down_proj"
    value = dict(model.named_parameters())[name].detach() + 0.1
    report = merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, {name: Replacement(value)})
    assert "in the loaded model" in report.notes[-1]
    merged = load_model(tmp_path / "merged")
    torch.testing.assert_close(dict(merged.named_parameters())[name].detach(), value)


def test_weights_that_transformers_would_not_load_are_left_behind(tmp_path):
    """Beside changed weights the unchanged ones of another format would be another model."""
    source = tmp_path / "source"
    tiny_model().save_pretrained(source, max_shard_size="30KB")
    for name in ("consolidated.safetensors", "pytorch_model.bin"):
        (source / name).write_bytes(b"other weights")
    (source / "pytorch_model.bin.index.json").write_text("{}")
    merge_checkpoint(source, tmp_path / "merged", "yarn", TARGET, changes())
    names = {file.name for file in (tmp_path / "merged").iterdir()}
    assert {name for name in names if "consolidated" in name or "bin" in name} == set()
    np.testing.assert_allclose(got(tmp_path / "merged"), wanted(tiny_model(), changes()), atol=1e-5)


@pytest.mark.parametrize("name", ["model.layers.9.self_attn.q_proj.weight", NORM])
def test_a_tensor_that_does_not_fit_is_named(tmp_path, name):
    tiny_model().save_pretrained(tmp_path / "source")
    with pytest.raises(ModelError, match=rf"'{name}' does not fit the model in .*source \(shape there: .*Name the"):
        merge_checkpoint(
            tmp_path / "source", tmp_path / "merged", "yarn", TARGET, {name: Replacement(torch.ones(3, 3))}
        )
    assert not (tmp_path / "merged").exists()


def test_a_broken_list_of_shards_is_named(tmp_path):
    tiny_model().save_pretrained(tmp_path / "source", max_shard_size="30KB")
    (tmp_path / "source" / "model.safetensors.index.json").write_text('{"weight_map": 3}')
    with pytest.raises(ModelError, match=r"index\.json must name the file of each tensor; that of .* does not"):
        merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    tiny_model().save_pretrained(tmp_path / "source")
    with little_space(), pytest.raises(OutputError, match="whole or not at all"):
        merge_checkpoint(tmp_path / "source", tmp_path / "merged", "yarn", TARGET, changes())
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("old_format", [False, True])
def test_the_output_must_lie_outside_the_source(tmp_path, old_format):
    source, model = tmp_path / "source", tiny_model()
    model.save_pretrained(source)
    if old_format:
        (source / "model.safetensors").unlink()
        torch.save(model.state_dict(), source / "pytorch_model.bin")
    with pytest.raises(OutputError, match="must lie outside the source"):
        merge_checkpoint(source, source / "merged", "yarn", TARGET, changes())
