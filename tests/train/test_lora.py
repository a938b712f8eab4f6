"""Adapters start as nothing, are drawn by the seed alone, and stand where they were asked for."""

from __future__ import annotations

import math

import pytest
import torch
from adapters.tiny_models import logits, tiny_model, tokens
from torch import nn

from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.train.lora import adapter_changes, add_adapters, linear_layers
from ropewalk.train.settings import LoraSettings


def adapters(model):
    return {name: value.detach().clone() for name, value in model.named_parameters() if ".lora_" in name}


def adapted(family="llama", seed=0, **settings):
    model = tiny_model(family)
    add_adapters(model, LoraSettings(**settings), seed)
    return model


def test_untrained_adapters_change_no_logit():
    ids = tokens(20)
    assert (logits(adapted(targets=("all",)), ids) == logits(tiny_model(), ids)).all()


def test_the_model_keeps_its_class():
    assert type(adapted()) is type(tiny_model())


def test_adapters_are_drawn_by_the_seed_alone():
    first, again, other = adapters(adapted(seed=1)), adapters(adapted(seed=1)), adapters(adapted(seed=2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "lora_A" in name)
    layers = [value for name, value in first.items() if "lora_A" in name and "q_proj" in name]
    assert not torch.equal(layers[0], layers[1])


def test_adapters_leave_the_global_generator_alone():
    model, before = tiny_model(), torch.get_rng_state()
    add_adapters(model, LoraSettings(), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_adapters_have_the_first_values_of_peft():
    """Uniform within 1 / sqrt(columns), whose standard deviation is that over sqrt(3); B is zero."""
    values = adapters(adapted(rank=64, targets=("down_proj",)))
    for name, value in values.items():
        if "lora_B" in name:
            assert not value.any()
        else:
            bound = 1 / math.sqrt(96)
            assert 0.98 * bound < float(value.abs().max()) <= bound
            assert float(value.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_targets_are_last_parts_of_names_and_all_means_every_linear_layer_but_the_head():
    model = tiny_model()
    assert len(linear_layers(model, ("q_proj", "mlp.up_proj"))) == 8
    everything = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert set(linear_layers(model, ("all",))) == everything - {"lm_head"}


def test_a_name_that_merely_ends_alike_is_no_target():
    model = tiny_model()
    model.model.layers[0].self_attn.extra_q_proj = nn.Linear(4, 4)
    assert len(linear_layers(model, ("q_proj",))) == 4


def test_a_target_that_no_layer_has_is_refused_with_what_there_is():
    with pytest.raises(
        UnknownNameError, match=r"linear layer of GPTNeoXForCausalLM is called 'q_proj'.*query_key_value"
    ):
        adapted("gpt_neox")


def test_the_head_is_no_target():
    with pytest.raises(UnknownNameError, match=r"is called 'lm_head'.*Known: all, down_proj"):
        adapted(targets=("lm_head",))


def test_adapters_without_peft_name_the_extra(monkeypatch):
    monkeypatch.setattr("ropewalk.train.lora.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"adapters need peft.*pip install 'ropewalk\[adapters\]'"):
        adapted()


def test_what_adapters_add_is_what_peft_merges():
    model = adapted(rank=4, alpha=6.0, targets=("all",))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".lora_" in name:
                value.copy_(torch.randn(value.shape, generator=generator))
    changes, weights = adapter_changes(model), dict(tiny_model().named_parameters())
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert set(changes) == {f"{name}.weight" for name in layers}
    for name, layer in layers.items():
        ours = changes[f"{name}.weight"].apply(weights[f"{name}.weight"].detach().clone(), 0)
        layer.merge()
        torch.testing.assert_close(ours, layer.base_layer.weight.detach(), rtol=1e-5, atol=1e-5)
