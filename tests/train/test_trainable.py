"""What is trained is what was asked for, all of a checkpoint, and all that differs in the saved model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapters.tiny_models import TARGET, logits, tiny_model, tokens
from transformers import AutoModelForCausalLM

from ropewalk import methods
from ropewalk.adapters import extend_model, load_model, read_model_config
from ropewalk.errors import ModelError, OptionError
from ropewalk.train.checkpoints import set_trained_tensors, trained_tensors
from ropewalk.train.settings import LoraSettings, TrainSettings
from ropewalk.train.trainable import make_trainable, save_trained

IDS, POSITIONS = tokens(24, rows=2), np.arange(50, 74)
KINDS = ["lora", "embeddings-norms", "frequencies"]


def settings(kind, **lora):
    return TrainSettings(trainable=kind, lora=LoraSettings(**lora) if lora else None)


def loss(model):
    positions = torch.arange(IDS.shape[1]).expand_as(IDS)
    mask = torch.ones_like(IDS)
    return model(input_ids=IDS, position_ids=positions, attention_mask=mask, labels=IDS, use_cache=False).loss


def steps(trainable, optimizer, count):
    trainable.model.train()
    for _ in range(count):
        optimizer.zero_grad()
        loss(trainable.model).backward()
        optimizer.step()


def disturbed(trainable, size=0.1):
    """As if it had been trained: every trained number is moved."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in trainable.parameters.values():
            value.add_(size * torch.randn(value.shape, generator=generator))
    return trainable


def test_all_trains_every_weight_as_it_is():
    model = tiny_model()
    before = {name: value.data_ptr() for name, value in model.named_parameters()}
    trainable = make_trainable(model, settings("all"))
    assert set(trainable.parameters) == set(before)
    assert {name: value.data_ptr() for name, value in trainable.parameters.items()} == before
    assert trainable.describe() == "all: 131,648 numbers are trained, 100 % of the model's 131,648 weights"


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "phi", "gpt_neox"])
def test_embeddings_and_norms_are_those_of_longlora(family):
    """LongLoRA's script trains the parameters named `embed` or `norm` somewhere; GPT-NeoX's head is embed_out."""
    trainable = make_trainable(tiny_model(family), settings("embeddings-norms"))
    names = dict(trainable.model.named_parameters())
    assert set(trainable.parameters) == {
        name for name in names if ("embed" in name or "norm" in name) and not name.startswith("embed_out")
    }


def test_lora_trains_adapters_alone_unless_asked():
    plain = make_trainable(tiny_model(), settings("lora"))
    assert all(".lora_" in name for name in plain.parameters)
    assert plain.count == 4 * (4 * 8 * 64 + 2 * 8 * 64 + 2 * 8 * 32)
    both = make_trainable(tiny_model(), settings("lora", embeddings_and_norms=True))
    extra = {name for name in both.parameters if ".lora_" not in name}
    assert extra == set(make_trainable(tiny_model(), settings("embeddings-norms")).parameters)
    assert plain.describe() == "lora: 14,336 numbers are trained, 10.9 % of the model's 131,648 weights"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_gets_no_gradient_and_what_is_trained_gets_one(kind):
    trainable = make_trainable(tiny_model(), settings(kind))
    steps(trainable, torch.optim.SGD(trainable.parameters.values(), lr=1e-3), 2)  # B leaves zero first, then A moves
    for name, value in trainable.model.named_parameters():
        assert (value.grad is not None) == (name in trainable.parameters)
        assert value.grad is None or bool(value.grad.any())


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_what_is_trained_is_float32_and_the_rest_as_asked(kind):
    trainable = make_trainable(tiny_model().bfloat16(), settings(kind), frozen_dtype=torch.bfloat16)
    assert {value.dtype for value in trainable.parameters.values()} == {torch.float32}
    frozen = {value.dtype for value in trainable.model.parameters() if not value.requires_grad}
    assert frozen == (set() if kind == "all" else {torch.bfloat16})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss(trainable.model).backward()
    assert {value.grad.dtype for value in trainable.parameters.values()} == {torch.float32}


def test_adapters_beside_half_precision_weights_need_no_autocast():
    trainable = make_trainable(tiny_model(), settings("lora", targets=("all",)), frozen_dtype=torch.bfloat16)
    loss(trainable.model).backward()
    assert loss(trainable.model).item() == pytest.approx(loss(tiny_model()).item(), abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_under_frozen_embeddings_changes_no_gradient(kind):
    gradients = []
    for checkpointed in (False, True):
        trainable = disturbed(make_trainable(tiny_model(), settings(kind)))
        trainable.model.train()
        if checkpointed:
            trainable.model.activation_checkpointing_enable()
        loss(trainable.model).backward()
        gradients.append({name: value.grad for name, value in trainable.parameters.items()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_a_run_resumed_from_the_trained_tensors_ends_bit_for_bit_the_same(kind):
    def begin():
        trainable = make_trainable(tiny_model(), settings(kind))
        return trainable, torch.optim.AdamW(trainable.parameters.values(), lr=1e-2)

    whole, optimizer = begin()
    steps(whole, optimizer, 4)
    first, optimizer = begin()
    steps(first, optimizer, 2)
    saved, moments = (
        {name: value.clone() for name, value in trained_tensors(first.model).items()},
        optimizer.state_dict(),
    )
    assert set(saved) == set(first.parameters)
    second, optimizer = begin()
    set_trained_tensors(second.model, saved)
    optimizer.load_state_dict(moments)
    steps(second, optimizer, 2)
    assert all(torch.equal(trained_tensors(whole.model)[name], trained_tensors(second.model)[name]) for name in saved)
    assert not all(torch.equal(saved[name], trained_tensors(second.model)[name]) for name in saved)


def test_a_checkpoint_of_other_settings_is_refused():
    trainable = make_trainable(tiny_model(), settings("lora"))
    other = make_trainable(tiny_model(), settings("lora", targets=("q_proj",)))
    with pytest.raises(ModelError, match=r"exactly the 8 tensors that this run trains; this one differs in 24.*Resume"):
        set_trained_tensors(other.model, trained_tensors(trainable.model))
    wider = make_trainable(tiny_model(), settings("lora", rank=9))
    with pytest.raises(ModelError, match=r"differs in 32, .*q_proj.lora_A"):
        set_trained_tensors(wider.model, trained_tensors(trainable.model))


def extended(folder, family, kind, **options):
    tiny_model(family, **options).save_pretrained(folder, max_shard_size="30KB")
    method = methods.get("yarn").for_target(read_model_config(folder).rope, TARGET)
    model = load_model(folder)
    report = extend_model(model, method, TARGET)
    lora = {"targets": ("all",), "embeddings_and_norms": True} if kind == "lora" else {}
    return make_trainable(model, settings(kind, **lora)), method, report


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "qwen3", "olmo2", "gemma2", "phi", "mixtral"])
def test_the_saved_model_computes_what_the_trained_one_does(tmp_path, family, kind):
    source, output = tmp_path / "source", tmp_path / "output"
    output.mkdir()
    (output / "run.toml").write_text("mine")
    trainable, method, report = extended(source, family, kind)
    untrained = logits(trainable.model, IDS, POSITIONS)
    live = logits(disturbed(trainable).model, IDS, POSITIONS)
    report = save_trained(
        trainable, output, source=source, method=method, report=report, tokenizer=None, dtype=torch.float32
    )
    plain = logits(AutoModelForCausalLM.from_pretrained(output), IDS, POSITIONS)
    np.testing.assert_allclose(plain, live, atol=1e-5 * np.abs(live).max())
    assert np.abs(live - untrained).max() > 0.01
    assert trainable.describe() in report.notes
    assert {"run.toml", "config.json"} <= {file.name for file in output.iterdir()}
    assert not (output / "merged").exists()


def test_a_tied_head_is_saved_with_its_embeddings(tmp_path):
    (tmp_path / "output").mkdir()
    trainable, method, report = extended(tmp_path / "source", "llama", "embeddings-norms", tie_word_embeddings=True)
    assert trainable.tied() == {"lm_head.weight": "model.embed_tokens.weight"}
    live = logits(disturbed(trainable).model, IDS, POSITIONS)
    save_trained(
        trainable,
        tmp_path / "output",
        source=tmp_path / "source",
        method=method,
        report=report,
        tokenizer=None,
        dtype=torch.float32,
    )
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "output")
    np.testing.assert_allclose(logits(plain, IDS, POSITIONS), live, atol=1e-5)


def test_a_wholly_trained_model_is_saved_in_the_format_of_the_run(tmp_path):
    trainable, method, report = extended(tmp_path / "source", "llama", "all")
    saved = save_trained(
        trainable,
        tmp_path / "output",
        source=tmp_path / "source",
        method=method,
        report=report,
        tokenizer=None,
        dtype=torch.bfloat16,
    )
    assert saved is report
    assert read_model_config(tmp_path / "output").dtype == "bfloat16"


@pytest.mark.parametrize("kind", ["all", "embeddings-norms", "frequencies"])
def test_a_lora_section_without_lora_is_refused(kind):
    with pytest.raises(
        OptionError, match=rf"\[train\.lora\] belongs to trainable = 'lora'.*trainable = '{kind}'\. Set"
    ):
        make_trainable(tiny_model(), settings(kind, rank=4))


def test_four_bits_without_a_gpu_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="weights in 4 bits need a CUDA device"):
        make_trainable(tiny_model(), settings("lora", quantize=True))


def test_four_bits_beside_a_model_of_whole_weights_are_refused(monkeypatch):
    monkeypatch.setattr("ropewalk.train.trainable.four_bits", lambda dtype, device: {})
    with pytest.raises(
        OptionError, match=r"this model was loaded with its own. Load it with load_model\(..., quantize"
    ):
        make_trainable(tiny_model(), settings("lora", quantize=True))
