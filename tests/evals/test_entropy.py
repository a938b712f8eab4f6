"""Attention entropy, against whole attention matrices of transformers' eager attention."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model
from oracles import attention_entropy as oracle
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import FalconConfig, Gemma2Config, GPTNeoXConfig, LlamaConfig, Qwen3Config

from ropewalk.adapters import attention_probe, extend_model
from ropewalk.adapters.attention import without_scale
from ropewalk.errors import MeasurementError
from ropewalk.evals import entropy

TRAINED, LENGTH, VOCABULARY = 48, 160, 97
SHAPE = {
    **SIZES,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": TRAINED,
    "vocab_size": VOCABULARY,
}
FAMILIES = {
    "llama": LlamaConfig(**SHAPE),
    "qwen3": Qwen3Config(
        **SHAPE,
        head_dim=16,
        use_sliding_window=True,
        sliding_window=40,
        max_window_layers=3,
    ),
    "gpt_neox": GPTNeoXConfig(**{k: v for k, v in SHAPE.items() if k != "num_key_value_heads"}),
    "gemma2": Gemma2Config(
        **SHAPE, head_dim=16, query_pre_attn_scalar=16, sliding_window=TRAINED + 16, attn_logit_softcapping=3.0
    ),
}
METHODS = ["none", "linear", "yarn", "abf", "entropy-abf"]


def tokens(rows: int = 2, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(5).integers(1, VOCABULARY, size=(rows, length))


def model_of(family: str, method: str = "none"):
    model = build_model(copy.deepcopy(FAMILIES[family]), spread=0.2)
    if method != "none":
        extend_model(model, method, LENGTH)
    return model


def whole_matrices(model, ids) -> np.ndarray:
    """Probabilities `[rows, layers, heads, queries, keys]` of eager attention."""
    used = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(torch.as_tensor(ids), use_cache=False, output_attentions=True)
    model.set_attn_implementation(used)
    return torch.stack(output.attentions, dim=1).double().numpy()


def difference(model, ids, **wrong) -> float:
    """Largest difference to the oracle; the wrong function, if any, stands for the right one."""
    wanted = oracle.entropy(whole_matrices(model, ids)).mean(axis=2)
    return float(np.abs(wrong.get("measure", entropy.attention_entropy)(model, ids) - wanted).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_streamed_entropy_is_that_of_the_whole_matrices(family, method):
    model, ids = model_of(family, method), tokens()
    wanted = oracle.entropy(whole_matrices(model, ids)).mean(axis=2)
    got = entropy.attention_entropy(model, ids, block_bytes=8 * 2 * LENGTH * 7)
    assert got.shape == (2, 4, LENGTH)
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert got[..., 0].max() < 1e-12, "one key alone has no entropy"
    assert (got[..., -1] < 0.97 * oracle.uniform(LENGTH)).all(), "attention that is not spread evenly"


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "qwen3"])
def test_every_attention_implementation_shows_the_same_entropy(family):
    model, ids = model_of(family, "entropy-abf"), tokens()
    wanted = entropy.attention_entropy(model, ids)
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    np.testing.assert_allclose(entropy.attention_entropy(model, ids), wanted, atol=1e-5)


@pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")  # transformers' own call
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_block_masks_of_flex_attention_are_read(family):
    model, ids = model_of(family, "entropy-abf"), tokens()
    wanted = entropy.attention_entropy(model, ids)
    model.set_attn_implementation("flex_attention")
    with torch.compiler.set_stance("force_eager"):  # flex would call a C++ compiler, which a fresh machine has not
        np.testing.assert_allclose(entropy.attention_entropy(model, ids), wanted, atol=1e-5)


def test_half_precision_is_measured_on_what_the_model_multiplies():
    model, ids = model_of("llama").to(torch.bfloat16), tokens()
    model.set_attn_implementation("eager")
    # Eager rounds its logits to 8 bits, which is what remains of the difference; the measurement does not.
    assert 1e-4 < difference(model, ids) < 0.1


@pytest.mark.parametrize("points", [[0.7], [1.0, 1.6, 0.0]])
def test_a_multiplier_is_a_power_of_the_probabilities(points):
    model, ids = model_of("llama", "entropy-abf"), tokens()
    matrices, queries = whole_matrices(model, ids), np.array([3, 50, 51, LENGTH - 1])
    multipliers = np.broadcast_to(points, (4, 4, len(points)))
    got = entropy.scaled_entropy(model, ids, queries, multipliers)
    for index, point in enumerate(points):
        wanted = oracle.entropy(oracle.sharpened(matrices[..., queries, :], point)).mean(axis=2)
        np.testing.assert_allclose(got[..., index], wanted, atol=2e-5)


def test_each_layer_and_query_has_its_own_multiplier():
    model, ids, queries = model_of("llama"), tokens(), np.array([60, 90, 150])
    multipliers = np.random.default_rng(0).uniform(0.5, 2, size=(4, 3, 2))
    got = entropy.scaled_entropy(model, ids, queries, multipliers, block_bytes=1)
    for layer, query, point in np.ndindex(4, 3, 2):
        one = np.full((4, 1, 1), multipliers[layer, query, point])
        alone = entropy.scaled_entropy(model, ids, queries[query : query + 1], one)
        np.testing.assert_allclose(got[:, layer, query, point], alone[:, layer, 0, 0], atol=1e-6)


def test_a_multiplier_acts_before_logits_are_capped():
    """In the first layer, whose inputs do not change, it is a smaller `query_pre_attn_scalar`."""
    ids, queries = tokens(), np.arange(LENGTH)
    got = entropy.scaled_entropy(model_of("gemma2"), ids, queries, np.full((4, LENGTH, 1), 2.0))[:, 0, :, 0]
    sharper = build_model(Gemma2Config(**{**FAMILIES["gemma2"].to_dict(), "query_pre_attn_scalar": 4}), spread=0.2)
    np.testing.assert_allclose(got, entropy.attention_entropy(sharper, ids)[:, 0], atol=1e-5)


def test_chosen_queries_are_the_same_as_among_all():
    model, ids, queries = model_of("qwen3", "yarn"), tokens(), [0, 1, 70, 158]
    some = entropy.attention_entropy(model, ids, queries=queries)
    np.testing.assert_allclose(some, entropy.attention_entropy(model, ids)[..., queries], atol=1e-6)


def test_the_oracle_catches_the_wrong_logarithm(monkeypatch):
    right = entropy.distribution_entropy
    monkeypatch.setattr(entropy, "distribution_entropy", lambda logits: right(logits) / np.log(2))
    assert difference(model_of("llama"), tokens()) > 0.5


def test_the_oracle_catches_a_forgotten_position_scale():
    def unscaled(model, ids):
        with without_scale(model):
            return entropy.attention_entropy(model, ids)

    assert difference(model_of("llama", "entropy-abf"), tokens(), measure=unscaled) > 0.02
    assert difference(model_of("llama", "abf"), tokens(), measure=unscaled) < 1e-5


def test_the_oracle_catches_a_scale_that_acts_twice(monkeypatch):
    model, ids = model_of("llama", "entropy-abf"), tokens()
    right = attention_probe.AttentionCall.logits

    def twice(call, head, queries, multipliers):
        scale = np.log(np.maximum(queries.numpy() + 1, TRAINED)) / np.log(TRAINED)
        return right(call, head, queries, multipliers * torch.as_tensor(scale if call.layer > 1 else 1.0).float())

    monkeypatch.setattr(attention_probe.AttentionCall, "logits", twice)
    assert difference(model, ids) > 0.02


def test_the_oracle_catches_keys_of_the_future(monkeypatch):
    def all_seen(call, head, queries, keys):
        return torch.ones((1, len(queries), keys), dtype=torch.bool)

    monkeypatch.setattr(attention_probe.AttentionCall, "_seen", all_seen)
    assert difference(model_of("llama"), tokens()) > 0.5


def test_the_oracle_catches_a_forgotten_window_cap_or_head_group(monkeypatch):
    ids = tokens()
    for family, attribute in (("qwen3", "sliding_window"), ("gemma2", "softcap")):
        model = model_of(family)
        right = attention_probe.AttentionCall

        def without(*, attribute=attribute, right=right, **fields):
            fields["mask"] = None if attribute == "sliding_window" else fields["mask"]
            return right(**{**fields, attribute: None})

        monkeypatch.setattr(attention_probe, "AttentionCall", without)
        assert difference(model, ids) > 0.1, family
        monkeypatch.setattr(attention_probe, "AttentionCall", right)
    model = model_of("llama")
    right = attention_probe.AttentionCall

    def interleaved(**fields):
        return right(**{**fields, "key": fields["key"].repeat(1, 2, 1, 1)})

    monkeypatch.setattr(attention_probe, "AttentionCall", interleaved)
    assert difference(model, ids) > 0.1


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation returns."""

    size = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.numel() * tensor.itemsize)
        return result


def largest_tensor(model, ids, block_bytes) -> int:
    with Largest() as counter:
        entropy.attention_entropy(model, ids, block_bytes=block_bytes)
    return counter.size


def test_no_matrix_of_all_queries_ever_exists():
    length, block = 1024, 256 * 1024
    model, ids = model_of("llama"), tokens(1, length)
    assert largest_tensor(model, ids, block) <= max(block, 4 * length * 64), "hidden states are the only rival"
    one_head = 4 * length * length
    assert largest_tensor(model, ids, 100 * one_head) >= one_head, "the count sees the matrix when it is there"


def test_a_family_that_goes_past_transformers_attention_functions_is_refused():
    config = FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, new_decoder_architecture=True
    )
    with pytest.raises(MeasurementError, match=r"layers \[0, 1\] of FalconForCausalLM do not"):
        entropy.attention_entropy(build_model(config), tokens(1, 8))


@pytest.mark.parametrize("queries", [[], [-1], [8], [3, 3], [4, 2], list(range(9))])
def test_positions_outside_the_row_or_out_of_order_are_refused(queries):
    with pytest.raises(MeasurementError, match="increasing positions from 0 to 7, the last of the row; got"):
        entropy.attention_entropy(model_of("llama"), tokens(1, 8), queries=queries)


def test_logits_that_are_not_finite_show_as_such():
    model = model_of("llama")
    with torch.no_grad():
        model.model.layers[1].self_attn.q_proj.weight.fill_(float("nan"))
    found = entropy.attention_entropy(model, tokens(1, 16))
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1:]).all()
