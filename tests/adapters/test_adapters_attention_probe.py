"""The attention probe: it hears what is multiplied, changes no bit, and leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import TARGET, TRAINED, tiny_model, tokens
from transformers import GptOssConfig, GptOssForCausalLM

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.adapters.attention import LISTENER, attached
from ropewalk.adapters.attention_probe import AttentionCall, listening
from ropewalk.errors import ModelError
from ropewalk.rope import Rope

LENGTH = 96


def forward(model, ids, **options) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False, **options).logits


def calls_of(model, ids, **options) -> dict[int, AttentionCall]:
    calls = {}
    with listening(model, 4, lambda call: calls.setdefault(call.layer, call)):
        forward(model, ids, **options)
    return calls


def all_logits(call: AttentionCall, head: int) -> torch.Tensor:
    count = call.query.shape[2]
    return call.logits(head, torch.arange(count), torch.ones(count))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("method", ["none", "yarn", "entropy-abf"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt_neox", "gemma2"])
def test_a_model_that_is_listened_to_computes_the_same_bits(family, method, implementation):
    if family == "gemma2":
        implementation = "eager"  # its capped logits have no sdpa
    model, ids = tiny_model(family), tokens(LENGTH)
    if method != "none":
        extend_model(model, method, TARGET)
    model.set_attn_implementation(implementation)
    wanted = forward(model, ids)
    heard = []
    with listening(model, 4, lambda call: heard.append(all_logits(call, 1))):
        assert torch.equal(forward(model, ids), wanted)
    assert len(heard) == 4
    assert torch.equal(forward(model, ids), wanted)


def test_nothing_is_left_behind_even_when_the_listener_fails():
    model, ids = tiny_model(), tokens(8)

    def fail(call):
        raise ValueError(f"layer {call.layer}")

    with pytest.raises(ValueError, match="layer 0"), listening(model, 4, fail):
        forward(model, ids)
    assert not any(hasattr(module, LISTENER) for module in model.modules())
    forward(model, ids)


def test_another_model_of_the_same_class_is_not_heard():
    heard = []
    with listening(tiny_model(), 4, heard.append):
        forward(tiny_model(), tokens(8))
    assert heard == []


def test_the_query_is_heard_with_its_position_scale_and_the_key_without():
    rope = Rope(head_dim=16, base=10000.0, trained_length=TRAINED)
    method = methods.get("entropy-abf").for_target(rope, TARGET)
    scaled, plain = tiny_model(), tiny_model()
    extend_model(scaled, method, TARGET)
    extend_model(plain, method, TARGET)
    attached(plain).active = False
    ids = tokens(LENGTH)
    with_scale, without = calls_of(scaled, ids), calls_of(plain, ids)
    scale = torch.as_tensor(method.attention_scale(rope, np.arange(LENGTH), 2)).float()[:, None]
    assert scale.max() > 1.05
    torch.testing.assert_close(with_scale[2].query, without[2].query * scale)
    assert torch.equal(with_scale[2].key, without[2].key)
    assert torch.equal(with_scale[1].query, without[1].query), "an exempt layer"


def test_masks_of_packed_documents_are_read():
    model, ids = tiny_model(), tokens(40)
    block = torch.tril(torch.ones(40, 40, dtype=torch.bool))
    block[25:, :25] = False
    for implementation, mask in (
        ("sdpa", block[None, None]),
        ("eager", torch.where(block, 0.0, -torch.inf)[None, None]),
    ):
        model.set_attn_implementation(implementation)
        found = all_logits(calls_of(model, ids, attention_mask=mask)[3], 0)
        assert torch.equal(torch.isfinite(found[0]), block), implementation


def test_without_a_mask_a_query_sees_the_keys_of_its_window_up_to_itself():
    heads = torch.randn(1, 2, 12, 4, generator=torch.Generator().manual_seed(0))
    for window, back in ((None, 12), (5, 5)):
        call = AttentionCall(0, heads, heads[:, :1], None, 0.5, None, window)
        seen = torch.isfinite(all_logits(call, 1))[0]
        wanted = [[0 <= query - key < back for key in range(12)] for query in range(12)]
        assert seen.tolist() == wanted


def test_keys_behind_the_last_query_are_left_out_when_there_is_no_mask():
    heads = torch.randn(1, 1, 12, 4, generator=torch.Generator().manual_seed(0))
    call = AttentionCall(0, heads, heads, None, 0.5, None, None)
    assert call.logits(0, torch.tensor([2, 5]), torch.ones(2)).shape == (1, 2, 6)


def test_attention_sinks_are_refused():
    config = GptOssConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        num_local_experts=2,
        num_experts_per_tok=1,
        pad_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        model = GptOssForCausalLM(config).eval()
    with (
        listening(model, 2, lambda call: None),
        pytest.raises(ModelError, match=r"layer 0 of this model also has s_aux\. Its attention cannot be measured"),
    ):
        forward(model, tokens(8))


def test_a_mask_that_does_not_say_what_each_query_sees_is_refused():
    model = tiny_model()
    hidden = torch.zeros(1, 6, 64)
    rotation = model.model.rotary_emb(hidden, torch.arange(6)[None])
    with (
        listening(model, 4, lambda call: None),
        pytest.raises(ModelError, match=r"layer 1 was given \[1, 6\]\. Load the model with attention='sdpa'"),
    ):
        model.model.layers[1].self_attn(hidden, rotation, torch.ones(1, 6, dtype=torch.bool))
