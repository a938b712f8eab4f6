"""`extend_model` against an independent Llama, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from tiny_models import TARGET, TRAINED, decoded_logits, logits, reference_logits, tiny_model, tokens
from transformers import GenerationConfig

from ropewalk import methods
from ropewalk.adapters import extend_model, save_model
from ropewalk.errors import AlreadyScaledError, CarrierError, ModelError, OptionError, SelfTestError
from ropewalk.method import Method
from ropewalk.rope import Rope

ROPE = Rope(head_dim=16, base=10000.0, trained_length=TRAINED)
POSITIONS = np.concatenate([np.arange(20), np.arange(TRAINED - 5, TRAINED + 5), np.arange(TARGET - 10, TARGET)])
STATIC = ("none", "linear", "ntk", "ntk-by-parts", "yarn", "abf", "llama3", "cream", "pose")


def expected(model, method, ids, **wrong):
    factor = math.sqrt(method.attention_scale(ROPE, np.array([0]), 0)[0]) if not method.scale_varies else 1.0
    scale = (lambda layer, at: method.attention_scale(ROPE, at.astype(int), layer)) if method.scale_varies else None
    settings = {"factor": factor, "query_scale": scale, **wrong}
    return reference_logits(model, ids, POSITIONS, method.frequencies(ROPE), **settings)


@pytest.mark.parametrize("name", [*STATIC, "entropy-abf"])
def test_an_extended_llama_computes_what_the_equations_say(name):
    model, ids = tiny_model(), tokens(len(POSITIONS))
    method = methods.get(name).for_target(ROPE, TARGET)
    extend_model(model, method, TARGET)
    np.testing.assert_allclose(logits(model, ids, POSITIONS)[0], expected(model, method, ids), atol=2e-4)


@pytest.mark.parametrize("ramp", ["turns", "revised"])
def test_a_static_method_without_a_native_form_is_carried_exactly(ramp):
    model, ids = tiny_model(), tokens(len(POSITIONS))
    method = methods.get("yarn").for_target(ROPE, TARGET, {"ramp": ramp})
    assert extend_model(model, method, TARGET).carrier == "longrope"
    np.testing.assert_allclose(logits(model, ids, POSITIONS)[0], expected(model, method, ids), atol=2e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": 1.0792},  # the scale on logits taken for the factor on cosines: its root is forgotten
        {"factor": 1.0},
    ],
)
def test_the_reference_notices_a_wrong_constant_scale(wrong):
    model, ids = tiny_model(), tokens(len(POSITIONS))
    method = methods.get("yarn").for_target(ROPE, TARGET)
    extend_model(model, method, TARGET)
    difference = np.abs(logits(model, ids, POSITIONS)[0] - expected(model, method, ids, **wrong)).max()
    assert difference > 0.02


def test_the_reference_notices_unextended_frequencies():
    model, ids = tiny_model(), tokens(len(POSITIONS))
    method = methods.get("linear").for_target(ROPE, TARGET)
    extend_model(model, method, TARGET)
    plain = reference_logits(model, ids, POSITIONS, ROPE.frequencies)
    assert np.abs(logits(model, ids, POSITIONS)[0] - plain).max() > 0.02


@pytest.mark.parametrize("name", [*STATIC, "entropy-abf"])
def test_cached_decoding_equals_the_full_forward_across_the_window(name):
    model, ids = tiny_model(), tokens(24)
    extend_model(model, name, TARGET)
    positions = np.arange(TRAINED - 12, TRAINED + 12)
    np.testing.assert_allclose(decoded_logits(model, ids, positions), logits(model, ids, positions), atol=1e-5)


def test_dynamic_ntk_with_rotated_cached_keys_differs_from_the_full_forward():
    model, ids = tiny_model(), tokens(24)
    report = extend_model(model, "dynamic-ntk", TARGET)
    positions = np.arange(TRAINED - 12, TRAINED + 12)
    whole = logits(model, ids, positions)
    assert np.abs(decoded_logits(model, ids, positions) - whole).max() > 1e-3
    assert any("cached keys are not exact" in note for note in report.notes)
    assert model.config.max_position_embeddings == TRAINED


def test_dynamic_ntk_without_a_cache_has_the_base_of_each_length():
    model, ids = tiny_model(), tokens(20)
    extend_model(model, "dynamic-ntk", TARGET)
    for last in (TRAINED - 1, 200, 500):
        positions = np.arange(last - 19, last + 1)
        frequencies = methods.get("dynamic-ntk").for_target(ROPE, TARGET).at(last + 1).frequencies(ROPE)
        wanted = reference_logits(model, ids, positions, frequencies)
        logits(model, ids, np.arange(20))  # a short call sets transformers' table back
        np.testing.assert_allclose(logits(model, ids, positions)[0], wanted, atol=2e-4)


@pytest.mark.parametrize("name", STATIC)
def test_logits_of_static_methods_depend_on_distances_alone(name):
    model, ids = tiny_model(), tokens(16)
    extend_model(model, name, 2048)
    near, far = np.arange(16), np.arange(16) + 777
    np.testing.assert_allclose(logits(model, ids, near), logits(model, ids, far), atol=5e-4)


def test_factor_one_leaves_every_logit_as_it_was():
    model, ids = tiny_model(), tokens(40)
    before = logits(model, ids)
    for name in ("linear", "yarn", "ntk"):
        extended = tiny_model()
        extend_model(extended, name, TRAINED)
        np.testing.assert_array_equal(logits(extended, ids), before)


def test_extending_twice_is_refused_and_names_the_first_method():
    model = tiny_model()
    extend_model(model, "yarn", TARGET)
    with pytest.raises(AlreadyScaledError, match=r"extended by ropewalk already \(method yarn, 64 to 512 tokens\)"):
        extend_model(model, "linear", 1024)


def test_a_model_scaled_elsewhere_is_refused_with_what_can_be_done():
    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    with pytest.raises(AlreadyScaledError, match=r"scaled by 'linear' with factor 4 already .* take rope_scaling out"):
        extend_model(tiny_model(rope_parameters=scaled), "yarn", TARGET)


@pytest.mark.parametrize("target", [TRAINED - 1, 0, -5, 128.0, float("nan"), float("inf"), True])
def test_a_target_that_cannot_be_is_refused_with_both_numbers(target):
    with pytest.raises(OptionError, match=r"at least the trained window of 64 tokens.* got .* the window is 512"):
        extend_model(tiny_model(), "none", target)


def test_a_family_that_ignores_the_setting_is_refused_by_name_with_the_reason():
    with pytest.raises(ModelError, match=r"got 'gptj': its code computes the rotary table itself"):
        extend_model(tiny_model("gptj", n_embd=64, n_head=4, n_layer=2, n_positions=64, rotary_dim=8), "yarn", TARGET)


def test_dynamic_ntk_is_refused_where_the_family_does_not_admit_it():
    with pytest.raises(CarrierError, match=r"'dynamic-ntk' with this model \(its family admits default and longrope\)"):
        extend_model(tiny_model("phi3"), "dynamic-ntk", TARGET)


def test_a_method_whose_constant_scale_is_not_constant_is_refused():
    @dataclass(frozen=True)
    class Undeclared(Method):
        name: ClassVar[str] = "undeclared"

        def attention_scale(self, rope, positions, layer):
            return 1.0 + np.asarray(positions) / 1000.0

    with pytest.raises(CarrierError, match=r"'undeclared' gives 1 to 1.511. Set scale_varies = True"):
        extend_model(tiny_model(), Undeclared(), TARGET)


@pytest.mark.parametrize(("before", "after"), [(TRAINED, TARGET), (TRAINED - 1, TRAINED - 1), (None, None)])
def test_generation_that_ends_at_the_old_window_ends_at_the_new_one(before, after, tmp_path):
    model = tiny_model()
    model.generation_config = GenerationConfig(max_length=before, pad_token_id=0)
    extend_model(model, "yarn", TARGET)
    assert model.generation_config.max_length == after
    save_model(model, None, tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text()).get("max_length") == after
    if after == TARGET:
        assert model.generate(tokens(TARGET - 1)).shape[-1] == TARGET


def test_a_failed_self_test_leaves_the_model_as_it_was(monkeypatch):
    model, ids = tiny_model(), tokens(20)
    before, config = logits(model, ids), model.config.to_dict()

    def fail(*arguments):
        raise SelfTestError("told to fail")

    monkeypatch.setattr("ropewalk.adapters.selftest.check_model", fail)
    with pytest.raises(SelfTestError, match="told to fail"):
        extend_model(model, "entropy-abf", TARGET)
    np.testing.assert_array_equal(logits(model, ids), before)
    np.testing.assert_array_equal(logits(model, ids, np.arange(300, 320)).shape, (1, 20, 64))
    assert model.config.to_dict() == config
    assert not any(hasattr(module, "ropewalk_position_scale") for module in model.modules())


def test_a_model_in_half_precision_is_extended_and_stays_in_it():
    model = tiny_model().to(torch.bfloat16)
    report = extend_model(model, "entropy-abf", TARGET)
    assert len(report.self_test) == 5
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.training is False


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    extend_model(tiny_model().to(torch.bfloat16), "yarn", TARGET)
    assert torch.equal(torch.get_rng_state(), state)
