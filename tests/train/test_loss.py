"""The fused loss is the plain loss, in value and in gradient, and is used only where it is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, Gemma2Config

from ropewalk.data.collate import collate
from ropewalk.train import loss


def batch(vocabulary: int = 64, masked: int = 9) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, vocabulary, (3, 24), generator=generator)
    windows = []
    for row in ids:
        labels = row.clone()
        labels[:masked] = loss.IGNORED
        windows.append(
            {
                "input_ids": row,
                "labels": labels,
                "position_ids": torch.arange(24),
                "segment_ids": torch.zeros(24, dtype=torch.long),
            }
        )
    return collate(windows)


def gradients(model, total):
    model.zero_grad()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_the_fused_loss_and_its_gradients_equal_transformers_own(tiny_llama):
    model, data = tiny_llama(), batch()
    own = model(**data, use_cache=False).loss * (data["labels"][:, 1:] != loss.IGNORED).sum()
    expected = gradients(model, own)
    fused = loss.summed_loss(model, data, fused=True)
    assert float(fused.detach()) == pytest.approx(float(own.detach()), rel=1e-5)
    for name, gradient in gradients(model, fused).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


def test_the_plain_path_equals_transformers_own(tiny_llama):
    model, data = tiny_llama(), batch()
    own = model(**data, use_cache=False).loss * (data["labels"][:, 1:] != loss.IGNORED).sum()
    assert float(loss.summed_loss(model, data, fused=False).detach()) == pytest.approx(float(own.detach()), rel=1e-5)


@pytest.mark.parametrize("rows", [1, loss.CHUNK, loss.CHUNK + 7])
def test_both_chunked_forms_equal_the_whole_cross_entropy(rows):
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(rows, 8, generator=generator, requires_grad=True)
    weight = torch.randn(30, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 30, (rows,), generator=generator)
    whole = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    expected = torch.autograd.grad(whole, (hidden, weight))
    for form in (loss.linear_cross_entropy, loss._checkpointed_cross_entropy):
        total = form(hidden, weight, targets)
        assert float(total.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)
        for got, wanted in zip(torch.autograd.grad(total, (hidden, weight)), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_plain_head_is_found_linear_and_a_soft_capped_one_is_not(tiny_llama):
    assert loss.head_is_linear(tiny_llama(), batch())
    config = Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, final_logit_softcapping=1.0, max_position_embeddings=32,
    )  # fmt: skip
    capped = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        capped.get_output_embeddings().weight.mul_(50)
    assert not loss.head_is_linear(capped, batch())
