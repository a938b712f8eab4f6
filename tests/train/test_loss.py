"""The fused loss is the plain loss, in value and in gradient, and never holds the logits of a window."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig

from ropewalk.adapters.head import Head
from ropewalk.data.collate import IGNORED, collate
from ropewalk.train import loss
from ropewalk.train.restoration import Restoration

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}
CONFIGS = {
    "gemma2": Gemma2Config(**SIZES, head_dim=16, final_logit_softcapping=2.0),
    "granite": GraniteConfig(**SIZES, logits_scaling=4.0),
    "cohere": CohereConfig(**SIZES, logit_scale=0.3),
}
FAMILIES = ["llama", *CONFIGS]


@pytest.fixture
def family_model(tiny_llama):
    """Makes a tiny model of a family, with a head so large that caps bend its logits."""

    def make(family: str, **changes):
        if family == "llama":
            return tiny_llama(**changes)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            config = type(CONFIGS[family])(**{**CONFIGS[family].to_dict(), **changes})
            model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            model.get_output_embeddings().weight.mul_(30)
        return model

    return make


def batch(vocabulary: int = 64, masked: int = 9, window: int = 24) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, vocabulary, (3, window), generator=generator)
    windows = []
    for row in ids:
        labels = row.clone()
        labels[:masked] = IGNORED
        windows.append(
            {
                "input_ids": row,
                "labels": labels,
                "position_ids": torch.arange(window),
                "segment_ids": torch.zeros(window, dtype=torch.long),
            }
        )
    return collate(windows)


def gradients(model, total):
    model.zero_grad()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def own_loss(model, data):
    """transformers' own mean, times the number of supervised tokens."""
    inputs = {name: value for name, value in data.items() if name != "shift_labels"}
    return model(**inputs, use_cache=False).loss * (data["labels"][:, 1:] != IGNORED).sum()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fused", [True, False])
def test_the_loss_and_its_gradients_equal_transformers_own(family_model, family, fused):
    model, data = family_model(family), batch()
    own = own_loss(model, data)
    expected = gradients(model, own)
    total = loss.summed_loss(model, data, fused=fused)
    assert float(total.detach()) == pytest.approx(float(own.detach()), rel=1e-5)
    for name, gradient in gradients(model, total).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["gemma2", "granite", "cohere"])
def test_the_comparison_catches_a_bare_output_matrix(family_model, family):
    """Bite: the loss without the family's cap or scale."""
    model, data = family_model(family), batch()
    reading = loss.read(model, data, fused=True)
    bare = loss.Reading(reading.states, Head(reading.head.weight)).cross_entropy(data["shift_labels"])
    assert float(bare.detach()) != pytest.approx(float(own_loss(model, data).detach()), rel=1e-2)


@pytest.mark.parametrize("rows", [1, loss.MOST_ROWS, loss.MOST_ROWS + 7])
@pytest.mark.parametrize(("scale", "softcap", "biased"), [(1.0, None, False), (0.5, None, True), (2.0, 1.5, True)])
def test_both_chunked_forms_equal_the_whole_cross_entropy(rows, scale, softcap, biased):
    generator = torch.Generator().manual_seed(2)
    states, weight, bias = (torch.randn(*size, generator=generator) for size in ((rows, 8), (30, 8), (30,)))
    leaves = [leaf.requires_grad_() for leaf in ((states, weight, bias) if biased else (states, weight))]
    targets = torch.randint(0, 30, (rows,), generator=generator)
    logits = scale * (states @ weight.T + (bias if biased else 0))
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    whole = functional.cross_entropy(logits, targets, reduction="sum")
    expected = torch.autograd.grad(whole, leaves)
    head = Head(weight, bias if biased else None, scale, softcap)
    for form in (loss.head_cross_entropy, loss._checkpointed_cross_entropy):
        total = form(states, head, targets)
        assert float(total.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)
        for got, wanted in zip(torch.autograd.grad(total, leaves), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_large_vocabulary_gets_few_rows_at_a_time_and_a_small_one_no_more_than_pay():
    rows = [loss.chunk_rows(Head(torch.empty(size, 1))) for size in (100, 4096, 32_000, 262_144)]
    assert rows == [512, 512, 131, 64]


class LargestLogits(TorchDispatchMode):
    """Remembers the most rows of a tensor whose last dimension is the vocabulary."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.shape[-1] == self.vocabulary:
                self.rows = max(self.rows, tensor.shape[:-1].numel())
        return made


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
def test_no_logits_of_more_rows_than_a_chunk_ever_exist(family_model, family, autocast, monkeypatch):
    monkeypatch.setattr(loss, "MOST_ROWS", 16)
    monkeypatch.setattr(loss, "FEWEST_ROWS", 16)
    vocabulary = 101
    model, data = family_model(family, vocab_size=vocabulary), batch(vocabulary)
    teacher = family_model(family, vocab_size=vocabulary)
    rows = {}
    for fused in (True, False):
        with LargestLogits(vocabulary) as seen:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                reading = loss.read(model, data, fused=fused)
                total = reading.cross_entropy(data["shift_labels"])
                total = total + Restoration(teacher, 8, 0.5).loss(reading, data, fused=fused)
            total.backward()
        rows[fused] = seen.rows
    width_or_chunk = max(16, SIZES["hidden_size"])  # the head's gradient may pass by transposed, [width, vocabulary]
    assert rows[True] <= width_or_chunk
    assert rows[False] >= 3 * 24  # bite: the plain path makes all of them
