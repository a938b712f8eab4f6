"""The self-test after an extension finds every wrong implementation that was ever seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import TARGET, TRAINED, tiny_model
from torch import nn

from ropewalk import methods
from ropewalk.adapters import extend_model, selftest
from ropewalk.adapters.attention import PositionScale
from ropewalk.adapters.config import parse_config
from ropewalk.errors import SelfTestError


def prepared(name="entropy-abf", family="llama"):
    """A correctly extended model with what its self-test needs."""
    model = tiny_model(family)
    config = parse_config(model.config.to_dict(), Path("tiny"))
    method = methods.get(name).for_target(config.rope, TARGET)
    extend_model(model, method, TARGET)
    return model, method, config


def test_a_right_extension_passes_and_says_what_was_checked():
    phrases = " | ".join(selftest.check_model(*prepared(), TARGET))
    for law in ("rotary tables equal", "cached decoding equals", "no logit up to", "exactly once"):
        assert law in phrases


WRONG_SCALES = {
    "ignored": lambda self, query, positions, layer: query,
    "squared": lambda self, query, positions, layer: query * self.values(positions, layer)[:, None, :, None] ** 2,
    "root": lambda self, query, positions, layer: query * self.values(positions, layer)[:, None, :, None] ** 0.5,
    "by-row-number": lambda self, query, positions, layer: (
        query * self.values(torch.arange(query.shape[2])[None], layer)[:, None, :, None]
    ),
    "other-layer": lambda self, query, positions, layer: query * self.values(positions, layer - 2)[:, None, :, None],
}


@pytest.mark.parametrize("wrong", WRONG_SCALES)
def test_a_wrong_scale_is_found(monkeypatch, wrong):
    model, method, config = prepared()

    def apply(self, query, positions, layer):
        return WRONG_SCALES[wrong](self, query, positions, layer) if self.active else query

    monkeypatch.setattr(PositionScale, "apply", apply)
    with pytest.raises(SelfTestError, match="must carry the method's scale once"), torch.no_grad():
        selftest.check_model(model, method, config, TARGET)


def test_a_scale_inside_the_trained_window_is_found(monkeypatch):
    model, method, config = prepared()
    monkeypatch.setattr(PositionScale, "apply", lambda self, query, positions, layer: query * (1 + 1e-6 * self.active))
    with pytest.raises(SelfTestError, match="exactly 1 up to the trained window"):
        selftest.check_model(model, method, config, TARGET)


def test_a_missing_exemption_is_found():
    model, method, config = prepared()
    for block in model.model.layers:
        block.self_attn.ropewalk_position_scale = PositionScale(
            methods.get("entropy-abf")(base=method.base or 5e5, exempt_layers=0), config.rope, TARGET
        )
    with pytest.raises(SelfTestError, match="must carry the method's scale once"):
        selftest.check_model(model, method, config, TARGET)


class Unread:
    """An attention module whose softmax scale nobody reads."""

    scaling = 1.0


def test_a_model_that_ignores_scales_of_any_kind_is_found(monkeypatch):
    model, method, config = prepared()
    unread = {layer: Unread() for layer in range(4)}
    monkeypatch.setattr(selftest.attention, "attention_modules", lambda model, layers: unread)
    monkeypatch.setattr(PositionScale, "apply", lambda self, query, positions, layer: query)
    with pytest.raises(
        SelfTestError, match=r"change the logits at position 511; they are the same with a millionth.*ignores the scale"
    ):
        selftest.check_scale(model.eval().requires_grad_(False), method, config, TARGET - 1)


@pytest.mark.parametrize("name", ["ssmax", "entropy-abf"])
def test_attention_that_is_too_sharp_to_feel_the_scale_is_no_fault(name):
    model = tiny_model("llama")
    for block in model.model.layers:
        block.self_attn.q_proj.weight.data *= 1e4  # the largest logit takes all the weight, with and without a scale
    report = extend_model(model, name, TARGET)
    assert "attention is so sharp that the scale changes no logit" in " | ".join(report.self_test)


def test_a_scale_that_ends_at_1_is_tested_where_it_is_far_from_it():
    assert "at position 7 the logits carry the attention scale exactly once" in selftest.check_model(
        *prepared("ssmax"), TARGET
    )


@pytest.mark.parametrize("family", ["llama", "olmo3"])
def test_a_wrong_frequency_is_found_and_named(family):
    model, method, config = prepared("yarn", family)
    rotary = model.model.rotary_emb
    table = rotary.full_attention_inv_freq if family == "olmo3" else rotary.inv_freq
    table[3] *= 1.001
    with pytest.raises(SelfTestError, match=r"pair 3 turns 0\.\d+ radians per token, the method says"):
        selftest.check_model(model, method, config, TARGET)


def test_a_stretched_sliding_layer_is_found():
    model, method, config = prepared("linear", "olmo3")
    model.model.rotary_emb.sliding_attention_inv_freq /= 8
    with pytest.raises(SelfTestError, match=r"layers: sliding_attention"):
        selftest.check_model(model, method, config, TARGET)


def test_a_forgotten_root_of_the_constant_scale_is_found():
    model, method, config = prepared("yarn")
    model.model.rotary_emb.attention_scaling **= 2
    with pytest.raises(SelfTestError, match=r"cosines must be those of the method times 1\.2079"):
        selftest.check_model(model, method, config, TARGET)


def test_a_table_of_another_width_is_found():
    model, method, config = prepared("linear")
    model.model.rotary_emb.inv_freq = torch.ones(3)
    with pytest.raises(SelfTestError, match="it has 3 pairs, the method 8"):
        selftest.check_model(model, method, config, TARGET)


def test_a_table_that_switches_with_the_length_is_found():
    model, method, config = prepared("dynamic-ntk")
    with pytest.raises(SelfTestError, match=r"call of 512 tokens"):
        selftest.check_model(model, method.at(TRAINED), config, TARGET)


def test_a_cache_that_goes_stale_is_found():
    model, _, config = prepared("dynamic-ntk")
    with pytest.raises(SelfTestError, match="the cache goes stale"), torch.no_grad():
        selftest.check_cache(model, config, TARGET)


def test_a_model_without_a_rotary_module_is_found():
    _, method, config = prepared("linear")
    with pytest.raises(SelfTestError, match="'llama' has no such module"):
        selftest.check_tables(nn.Linear(2, 2), method, config, TARGET)


def test_a_long_window_is_tested_with_a_few_tokens():
    model = tiny_model(max_position_embeddings=131_072)
    report = extend_model(model, "entropy-abf", 1_048_576)
    assert report.target_length == 1_048_576
