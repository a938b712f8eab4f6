"""The likelihood core and its views, against transformers' own loss and against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model, tiny_llama
from transformers import (
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    MixtralConfig,
    OlmoConfig,
    OPTConfig,
    Phi3Config,
    Qwen3Config,
)

from ropewalk.errors import MeasurementError
from ropewalk.evals import nll

FAMILIES = {
    "cohere": CohereConfig(**SIZES, vocab_size=97, logit_scale=0.3),
    "gemma2": Gemma2Config(**SIZES, vocab_size=97, head_dim=16, final_logit_softcapping=3.0),
    "gpt_neox": GPTNeoXConfig(**{k: v for k, v in SIZES.items() if k != "num_key_value_heads"}, vocab_size=97),
    "granite": GraniteConfig(**SIZES, vocab_size=97, logits_scaling=4.0),
    "mixtral": MixtralConfig(**SIZES, vocab_size=97, num_local_experts=2),
    "olmo": OlmoConfig(**SIZES, vocab_size=97),
    "phi3": Phi3Config(**SIZES, vocab_size=97),
    "qwen3": Qwen3Config(**SIZES, vocab_size=97, head_dim=16),
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 500.0}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}


def random_tokens(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 97, size=shape)


def plain_losses(model, tokens) -> np.ndarray:
    """Log-softmax of all logits at once, as anyone would write it."""
    with torch.no_grad():
        logits = model(torch.as_tensor(tokens), use_cache=False).logits.double()
    chosen = torch.log_softmax(logits, -1)[:, :-1].gather(2, torch.as_tensor(tokens)[:, 1:, None])
    return -chosen[..., 0].numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_models_own_head_scores_every_family(family):
    model, tokens = build_model(FAMILIES[family]), random_tokens(2, 40)
    got = nll.token_nll(model, tokens, head_bytes=4 * 97 * 7)
    np.testing.assert_allclose(got, plain_losses(model, tokens), atol=1e-5)
    np.testing.assert_allclose(nll.token_nll(model, tokens, scored=9), got[:, -9:], atol=1e-5)


@pytest.mark.parametrize("family", ["cohere", "gemma2", "granite"])
def test_the_family_check_catches_a_bare_output_matrix(family):
    """Bite: hidden states times the output embedding, without the family's cap or scale."""
    model, tokens = build_model(FAMILIES[family]), torch.as_tensor(random_tokens(2, 40))
    with torch.no_grad():
        logits = model.get_output_embeddings()(model.base_model(tokens).last_hidden_state)
    bare = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert abs(float(bare) - plain_losses(model, tokens.numpy()).mean()) > 0.05


def test_the_mean_equals_transformers_own_loss():
    model, tokens = tiny_llama(), random_tokens(3, 50)
    with torch.no_grad():
        loss = float(model(torch.as_tensor(tokens), labels=torch.as_tensor(tokens)).loss)
    assert nll.token_nll(model, tokens).mean() == pytest.approx(loss, abs=1e-5)


def test_scoring_leaves_the_model_as_it_was():
    model, tokens = tiny_llama(), random_tokens(2, 30)
    before = plain_losses(model, tokens)
    nll.token_nll(model, tokens)
    assert "forward" not in vars(model.base_model)
    np.testing.assert_array_equal(plain_losses(model, tokens), before)


def test_a_dispatchers_forward_is_put_back():
    model, tokens = tiny_llama(), random_tokens(2, 30)
    model.base_model.forward = own = model.base_model.forward
    nll.token_nll(model, tokens)
    assert vars(model.base_model)["forward"] is own


def test_the_head_never_sees_more_positions_than_memory_allows():
    model, widths = tiny_llama(), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[1]))
    nll.token_nll(model, random_tokens(2, 60), head_bytes=4 * 97 * 10)
    assert max(widths) == 10
    assert sum(widths) == 2 * 59


@pytest.mark.parametrize("rope", [None, YARN], ids=["default", "yarn"])
def test_nested_lengths_equal_separate_forwards(rope):
    model, tokens = tiny_llama(**({"rope_parameters": rope} if rope else {})), random_tokens(2, 64)
    nested = nll.nested_nll(model, tokens, [16, 33, 64])
    for length, values in nested.items():
        np.testing.assert_allclose(values, plain_losses(model, tokens[:, :length]).mean(1), atol=1e-5)


def test_the_nesting_check_catches_a_length_dependent_rope():
    """Bite: the cumulative mean under dynamic NTK is not what separate forwards give."""
    model, tokens = tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16), random_tokens(2, 64)
    nested = np.cumsum(plain_losses(model, tokens), axis=1)[:, 14] / 15
    fresh = tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16)
    assert np.abs(nested - plain_losses(fresh, tokens[:, :16]).mean(1)).max() > 1e-3


def longrope(short: float, long: float) -> dict:
    return {
        "rope_type": "longrope",
        "rope_theta": 500.0,
        "short_factor": [short] * 8,
        "long_factor": [long] * 8,
        "attention_factor": 1.0,
        "factor": 4.0,
        "original_max_position_embeddings": 16,
    }


@pytest.mark.parametrize("rope", [DYNAMIC, longrope(1.0, 4.0)], ids=["dynamic", "longrope"])
def test_nesting_a_length_dependent_rope_is_refused(rope):
    model, tokens = tiny_llama(rope_parameters=rope), random_tokens(1, 64)
    with pytest.raises(MeasurementError, match=r"rope does not change with the length.*Measure each length on its own"):
        nll.nested_nll(model, tokens, [32, 64])
    with pytest.raises(MeasurementError, match=r"rope does not change with the length"):
        nll.nll_by_position(model, tokens, [1, 64])


def test_longrope_nests_where_it_is_static():
    tokens = random_tokens(1, 64)
    for rope, longest in ((longrope(2.0, 2.0), 64), (longrope(1.0, 4.0), 16)):
        model = tiny_llama(rope_parameters=rope)
        nested = nll.nested_nll(model, tokens, [12, longest])
        np.testing.assert_allclose(nested[12], plain_losses(model, tokens[:, :12]).mean(1), atol=1e-5)


def test_a_dynamic_rope_is_measured_the_same_after_a_long_call():
    model, tokens = tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16), random_tokens(2, 64)
    first = nll.token_nll(model, tokens[:, :24])
    nll.token_nll(model, tokens)
    np.testing.assert_array_equal(nll.token_nll(model, tokens[:, :24]), first)


def test_stretches_of_positions_are_averages_of_token_losses():
    model, tokens = tiny_llama(), random_tokens(2, 64)
    losses = plain_losses(model, tokens)
    curve = nll.nll_by_position(model, tokens, [1, 8, 32, 64])
    expected = np.stack([losses[:, 0:7].mean(1), losses[:, 7:31].mean(1), losses[:, 31:63].mean(1)], axis=1)
    np.testing.assert_allclose(curve, expected, atol=1e-5)


def gpt2() -> object:
    """Learned absolute positions, so that a wrong starting position shows; under RoPE it would cancel."""
    config = GPT2Config(vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return build_model(config)


def test_paired_windows_equal_plain_losses_of_cropped_windows():
    windows = random_tokens(3, 64)
    for model in (tiny_llama(), gpt2()):
        for length in (16, 40, 64):
            expected = plain_losses(model, windows[:, -length:])[:, -12:]
            np.testing.assert_allclose(nll.paired_nll(model, windows, length, scored=12), expected, atol=1e-5)


@pytest.mark.parametrize("wrong", ["positions kept from the window", "head of the window"])
def test_the_pairing_check_catches_wrong_crops(wrong):
    """Bite: cropped context that keeps its old positions, and a crop at the wrong end."""
    model, windows = gpt2(), random_tokens(3, 64)
    right = nll.paired_nll(model, windows, 16, scored=12)
    if wrong == "head of the window":
        other = plain_losses(model, windows[:, :16])[:, -12:]
    else:
        ids = torch.as_tensor(windows[:, -16:])
        with torch.no_grad():
            logits = model(ids, position_ids=torch.arange(48, 64)[None], attention_mask=torch.ones_like(ids)).logits
        other = -torch.log_softmax(logits, -1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0].numpy()[:, -12:]
    assert np.abs(right - other).max() > 1e-2


def test_tokens_at_chosen_places_are_scored_as_in_the_whole_row():
    model, tokens = tiny_llama(), random_tokens(2, 40)
    got = nll.token_nll(model, tokens, positions=[1, 2, 17, 39], head_bytes=4 * 97 * 3)
    np.testing.assert_allclose(got, plain_losses(model, tokens)[:, [0, 1, 16, 38]], atol=1e-5)


def test_messages_say_what_must_hold():
    model, tokens = tiny_llama(), random_tokens(1, 20)
    with pytest.raises(MeasurementError, match=r"asked for 20 scored tokens in rows of 20. Score fewer"):
        nll.token_nll(model, tokens, scored=20)
    with pytest.raises(MeasurementError, match=r"between 2 and the 20 tokens given; got \[10, 30\]"):
        nll.nested_nll(model, tokens, [10, 30])
    with pytest.raises(MeasurementError, match=r"edges must increase from at least 1 to at most the 20 tokens"):
        nll.nll_by_position(model, tokens, [0, 20])
    with pytest.raises(MeasurementError, match=r"hold the context of 30 tokens; got 20"):
        nll.paired_nll(model, tokens, 30, scored=4)
    with pytest.raises(
        MeasurementError, match=r"increase from at least 1 to below the row's 20 tokens; got 2 positions from 0"
    ):
        nll.token_nll(model, tokens, positions=[0, 3])
    with pytest.raises(MeasurementError, match=r"below the row's 20 tokens; got 0 positions\."):
        nll.token_nll(model, tokens, positions=[])
    with pytest.raises(MeasurementError, match=r"LlamaModel has none. Load it as a causal language model"):
        nll.token_nll(model.base_model, tokens)


def test_a_family_that_calls_its_body_by_another_name_is_refused():
    """Without this refusal its losses would be silently wrong."""
    sizes = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = build_model(OPTConfig(vocab_size=97, **sizes))
    with pytest.raises(MeasurementError, match=r"what OPTForCausalLM does after its body.*cannot be scored"):
        nll.token_nll(model, random_tokens(1, 20))
    assert "forward" not in vars(model.base_model)
