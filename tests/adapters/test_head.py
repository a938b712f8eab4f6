"""What stands between hidden states and logits is found for every family, or not claimed to be known."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_models import tiny_model, tokens

from ropewalk.adapters import head
from ropewalk.errors import MeasurementError

KNOWN = {
    "llama": {},
    "cohere": {"logit_scale": 0.3},
    "gemma2": {"final_logit_softcapping": 3.0},
    "gpt_neox": {},
    "granite": {"logits_scaling": 4.0},
    "hyperclovax": {"logits_scaling": 4.0},
    "mixtral": {},
    "nanochat": {"final_logit_softcapping": 5.0},
    "phi": {},
    "qwen3": {},
    "seed_oss": {},
    "stablelm": {},
}


@pytest.mark.parametrize("family", KNOWN)
def test_the_formula_gives_the_models_own_logits(family):
    model = tiny_model(family, **KNOWN[family])
    with torch.no_grad():
        states = model.base_model(tokens(20)).last_hidden_state
        own = model(tokens(20)).logits
    assert head.head_is_known(model)
    torch.testing.assert_close(head.head_of(model).logits(states), own, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("family", "wrong"),
    [("cohere", {"scale": 1.0}), ("granite", {"scale": 4.0}), ("gemma2", {"softcap": None}), ("phi", {"bias": None})],
)
def test_a_wrong_formula_is_not_taken_for_the_model(family, wrong, precision, monkeypatch):
    """Bite: a scale that is left out or upside down, a cap or a bias that is left out."""
    model = tiny_model(family, **KNOWN[family]).to(precision)
    if model.get_output_embeddings().bias is not None:
        torch.nn.init.ones_(model.get_output_embeddings().bias)
    assert head.head_is_known(model)
    right = head.head_of
    monkeypatch.setattr(head, "head_of", lambda model: dataclasses.replace(right(model), **wrong))
    assert not head.head_is_known(model)


def test_a_cap_that_no_setting_names_is_seen_although_small_logits_hide_it(monkeypatch):
    model = tiny_model("gemma2", final_logit_softcapping=100.0)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1e-3)
    assert head.head_is_known(model)
    monkeypatch.setattr(head, "CAPS", ())
    assert not head.head_is_known(model)


def test_a_head_that_is_more_than_its_weights_is_not_known():
    model = tiny_model("llama")
    model.lm_head = torch.nn.Sequential(model.lm_head)
    assert not head.head_is_known(model)


def test_looking_leaves_the_model_as_it_was():
    model = tiny_model("gemma2").train()
    assert head.head_is_known(model)
    assert model.training
    assert "forward" not in vars(model.base_model)


def test_a_model_without_a_body_is_refused():
    body = tiny_model("llama").base_model
    with pytest.raises(MeasurementError, match="scoring needs a model with a body below its language-model head"):
        head.model_body(body)


def test_a_model_that_does_not_call_its_body_is_refused_and_not_known():
    model = tiny_model("llama")
    other = tiny_model("llama")
    model.forward = other.forward
    with torch.no_grad():
        output = model.base_model(tokens(4))
        with (
            head.own_head(model, model.base_model, output) as own,
            pytest.raises(MeasurementError, match="must know what LlamaForCausalLM does after its body"),
        ):
            own(output.last_hidden_state[0])
    assert not head.head_is_known(model)
