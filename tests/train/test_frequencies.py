"""Trained frequencies: gradients against a plain NumPy model, and a saved model that any reader computes alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adapters.tiny_models import TARGET, logits, reference_logits, tiny_model, tokens
from torch import nn

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.adapters.attention import is_rotary
from ropewalk.adapters.config import loaded_config
from ropewalk.errors import CarrierError, ModelError
from ropewalk.train.frequencies import LOG_SCALES, SHIFTS, add_frequencies, learned_method, scale_changes

IDS, POSITIONS = tokens(16), np.arange(60, 76)
STEP = 1e-5


def extended(method="yarn", family="llama", **options):
    model = tiny_model(family, **options)
    extend_model(model, method, TARGET)
    return model


def rotary(model):
    return next(module for module in model.modules() if is_rotary(module))


def factor(model):
    return float(rotary(model).attention_scaling)


def plain_loss(model, frequencies) -> float:
    """Mean next-token loss of the float64 NumPy model, nats."""
    scores = reference_logits(model, IDS, POSITIONS, frequencies, factor(model))[:-1]
    targets = IDS[0, 1:].numpy()
    largest = scores.max(-1, keepdims=True)
    log_sums = np.log(np.exp(scores - largest).sum(-1)) + largest[:, 0]
    return float((log_sums - scores[np.arange(len(targets)), targets]).mean())


def loss(model):
    positions = torch.from_numpy(POSITIONS)[None]
    mask = torch.ones_like(IDS)
    return model(input_ids=IDS, position_ids=positions, attention_mask=mask, labels=IDS, use_cache=False).loss


def slopes(function, count):
    """Central differences of a function of `count` numbers at zero."""
    found = []
    for index in range(count):
        change = np.zeros(count)
        change[index] = STEP
        found.append((function(change) - function(-change)) / (2 * STEP))
    return np.array(found)


def test_the_extended_model_is_the_start_bit_for_bit():
    model, ids = extended(), tokens(20)
    before = logits(model, ids, np.arange(300, 320))
    add_frequencies(model)
    assert (logits(model, ids, np.arange(300, 320)) == before).all()


def test_there_is_a_number_for_each_pair_and_for_each_head_of_each_layer():
    assert [list(value.shape) for value in add_frequencies(extended())] == [[8], [4], [4], [4], [4]]


def test_heads_that_share_the_weights_of_a_norm_share_a_scale():
    assert [list(value.shape) for value in add_frequencies(extended(family="qwen3"))] == [[8], [1], [1], [1], [1]]
    assert [list(value.shape) for value in add_frequencies(extended(family="olmo2"))] == [[8], [4], [4], [4], [4]]


def test_gradients_of_the_shifts_are_the_slopes_of_a_plain_model():
    model = extended().double()
    shifts, *_ = add_frequencies(model)
    loss(model).backward()
    frequencies = rotary(model).inv_freq.double().numpy()
    wanted = slopes(lambda change: plain_loss(model, frequencies * np.exp(change)), 8)
    # The angles of the live model are float32: at 75 radians an error of 4e-6.
    np.testing.assert_allclose(shifts.grad.numpy(), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    stretches = slopes(lambda change: plain_loss(model, frequencies * np.exp(-change)), 8)
    assert not np.allclose(shifts.grad.numpy(), stretches, rtol=0.1)


def test_gradients_of_the_scales_are_the_slopes_of_scaled_query_rows():
    model = extended().double()
    _, *log_scales = add_frequencies(model)
    loss(model).backward()
    frequencies = rotary(model).inv_freq.double().numpy()
    query = model.model.layers[1].self_attn.q_proj.weight
    before = query.detach().clone()

    def scaled(change):
        query.data = before * torch.from_numpy(np.exp(change)).repeat_interleave(16)[:, None]
        return plain_loss(model, frequencies)

    wanted = slopes(scaled, 4)
    np.testing.assert_allclose(log_scales[1].grad.numpy(), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert not np.allclose(log_scales[2].grad.numpy(), wanted, rtol=0.1)


def test_scales_of_a_normed_query_do_not_vanish_in_the_norm():
    """A scale before the norm would be divided out again, and learn nothing."""
    model = extended(family="qwen3")
    _, *log_scales = add_frequencies(model)
    loss(model).backward()
    assert all(float(value.grad.abs().max()) > 1e-4 for value in log_scales)


def test_twenty_steps_lower_the_loss():
    model = extended("linear").requires_grad_(False)
    parameters = add_frequencies(model)
    optimizer = torch.optim.AdamW(parameters, lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert min(losses[-5:]) < losses[0] - 0.05


def test_the_learned_method_is_a_static_longrope_with_the_factor_of_the_method():
    model = extended()
    shifts, *_ = add_frequencies(model)
    with torch.no_grad():
        shifts.copy_(torch.linspace(-0.3, 0.3, 8))
    learned, rope = learned_method(model, TARGET), loaded_config(model).rope
    yarn = methods.get("yarn").for_target(rope, TARGET)
    wanted = yarn.frequencies(rope) * np.exp(np.linspace(-0.3, 0.3, 8))
    np.testing.assert_allclose(learned.frequencies(rope), wanted, rtol=2e-6)
    positions = np.array([0, TARGET - 1])
    np.testing.assert_allclose(
        learned.attention_scale(rope, positions, 0), yarn.attention_scale(rope, positions, 0), rtol=1e-12
    )
    assert learned.name == "longrope"


def test_biases_of_the_query_are_scaled_with_its_rows():
    model = extended(family="qwen2")
    _, *log_scales = add_frequencies(model)
    with torch.no_grad():
        log_scales[0].copy_(torch.tensor([0.0, 0.1, 0.2, 0.3]))
    changes = scale_changes(model)
    wanted = torch.tensor([0.0, 0.1, 0.2, 0.3]).exp().repeat_interleave(16)
    for part in ("weight", "bias"):
        torch.testing.assert_close(changes[f"model.layers.0.self_attn.q_proj.{part}"].factors.float(), wanted)


@pytest.mark.parametrize("family", ["gpt_neox", "phi3"])
def test_a_fused_projection_is_refused_by_the_name_of_the_family(family):
    with pytest.raises(ModelError, match=rf"in '{family}' it cannot, because a fused projection makes the queries"):
        add_frequencies(extended(family=family))


@pytest.mark.parametrize("family", ["phi", "stablelm"])
def test_a_norm_of_queries_with_weights_of_its_own_kind_is_refused(family):
    with pytest.raises(ModelError, match="because q_layernorm makes the queries"):
        add_frequencies(extended(family=family, qk_layernorm=True))


def test_a_norm_that_adds_one_to_its_weights_is_refused():
    class OneMore(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(16))

        def forward(self, x):
            return x * (1 + self.weight)

    model = extended(family="qwen3")
    model.model.layers[2].self_attn.q_norm = OneMore()
    with pytest.raises(ModelError, match="because q_norm makes the queries"):
        add_frequencies(model)


def test_layers_with_tables_of_their_own_are_refused():
    with pytest.raises(ModelError, match=r"Olmo3ForCausalLM has 2 \(full_attention, sliding_attention\)"):
        add_frequencies(extended("linear", "olmo3"))


def test_a_scale_that_varies_with_the_position_is_refused():
    with pytest.raises(CarrierError, match="cannot carry a scale that varies with the position as well"):
        add_frequencies(extended("entropy-abf"))


def test_frequencies_that_depend_on_the_length_are_refused():
    with pytest.raises(CarrierError, match="must be the same at every length"):
        add_frequencies(extended("dynamic-ntk"))


def test_a_table_that_lets_no_gradient_through_is_refused():
    model = extended()
    module = rotary(model)

    class Closed(type(module)):
        def forward(self, x, position_ids):
            with torch.no_grad():
                angles = position_ids[..., None].float() * self.inv_freq
                return angles.cos(), angles.sin()

    module.__class__ = Closed
    with pytest.raises(ModelError, match="cosines must depend on the trained frequencies; those of Closed do not"):
        add_frequencies(model)


def test_a_refused_model_gets_no_parameter():
    for family in ("gpt_neox", "phi3"):
        model = extended(family=family)
        with pytest.raises(ModelError):
            add_frequencies(model)
        assert not [name for name, _ in model.named_parameters() if SHIFTS in name or LOG_SCALES in name]
