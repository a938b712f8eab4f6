"""Inference maps on a model: plain RoPE inside the window, a hand-made reference beyond it, and never exported."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from oracles import relative_positions
from tiny_models import TARGET, TRAINED, decoded_logits, logits, reference_logits, tiny_model, tokens

from ropewalk.adapters import extend_model, load_model, save_model
from ropewalk.adapters.config import loaded_config
from ropewalk.adapters.inference_map import MappedAttention, apply_map, attached_map, check_turning
from ropewalk.analysis.relative_maps import LeakyReRope, ReRope, SelfExtend
from ropewalk.errors import CarrierError, ModelError, SelfTestError, UnknownNameError
from ropewalk.rope import Rope

ROPE = Rope(head_dim=16, base=10_000.0, trained_length=TRAINED)
LONG = 96
MAPS = [
    (ReRope(8), lambda m, n: relative_positions.rerope(m, n, 8)),
    (ReRope(8, scaled=False), lambda m, n: relative_positions.rerope(m, n, 8)),
    (LeakyReRope(8, leak=4.0), lambda m, n: relative_positions.leaky_rerope(m, n, 8, 4.0)),
    (SelfExtend(9, group=4), lambda m, n: relative_positions.self_extend(m, n, 9, 4)),
    (SelfExtend(9, group=4, scaled=True), lambda m, n: relative_positions.self_extend(m, n, 9, 4)),
]


def mapped(chosen, **changes):
    model = tiny_model(num_hidden_layers=2, **changes)
    apply_map(model, chosen)
    return model


def by_distance(rule, scaled):
    """Scores of unrotated queries and keys, each pair of tokens at its own told distance."""

    def score(query, key):
        count, _, size = query.shape
        half = size // 2
        product = np.einsum(
            "ihp,jhp->hijp",
            query[..., :half] + 1j * query[..., half:],
            np.conj(key[..., :half] + 1j * key[..., half:]),
        )
        told = np.array([[rule(m, n) if n <= m else 0 for n in range(count)] for m in range(count)], dtype=float)
        scores = (product * np.exp(1j * told[..., None] * ROPE.frequencies)).sum(-1).real
        scale = [relative_positions.log_scale(m, TRAINED) if scaled else 1.0 for m in range(count)]
        return scores * np.array(scale)[:, None]

    return score


def reference(model, ids, rule, scaled):
    score = by_distance(rule, scaled)
    return reference_logits(model, ids, np.arange(ids.shape[1]), ROPE.frequencies, score=score)


@pytest.mark.parametrize(("chosen", "rule"), MAPS, ids=lambda value: getattr(value, "name", "rule"))
def test_beyond_the_window_the_logits_are_those_of_a_reference_made_by_hand(chosen, rule):
    model, ids = mapped(chosen), tokens(LONG)
    wanted = reference(model, ids, rule, chosen.scaled)
    np.testing.assert_allclose(logits(model, ids)[0], wanted, atol=2e-4)
    assert np.abs(logits(tiny_model(num_hidden_layers=2), ids)[0] - wanted).max() > 1e-2


@pytest.mark.parametrize(
    "wrong",
    [
        (lambda m, n: relative_positions.rerope(m, n, 9), True),
        (lambda m, n: relative_positions.leaky_rerope(m, n, 8, 16.0), True),
        (lambda m, n: m - n, True),
        (MAPS[0][1], False),
    ],
    ids=["wider", "leaky", "plain", "without-scale"],
)
def test_the_reference_refuses_other_maps(wrong):
    model, ids = mapped(ReRope(8)), tokens(LONG)
    assert np.abs(logits(model, ids)[0] - reference(model, ids, *wrong)).max() > 1e-3


@pytest.mark.parametrize("chosen", [ReRope(16), LeakyReRope(16), SelfExtend(16)], ids=lambda chosen: chosen.name)
def test_a_text_within_the_window_is_read_as_by_the_plain_model(chosen):
    ids = tokens(16, rows=2)
    plain = logits(tiny_model(num_hidden_layers=2), ids)
    np.testing.assert_allclose(logits(mapped(chosen), ids), plain, atol=1e-5)


@pytest.mark.parametrize("chosen", [ReRope(8), SelfExtend(9, group=4)], ids=lambda chosen: chosen.name)
def test_cached_decoding_equals_the_full_forward(chosen):
    model, ids = mapped(chosen), tokens(40)
    np.testing.assert_allclose(decoded_logits(model, ids, np.arange(40)), logits(model, ids), atol=1e-4)


@pytest.mark.parametrize("family", ["gpt_neox", "qwen3", "gemma2", "olmo3"])
def test_other_families_are_mapped_alike_whether_eager_or_sdpa(family):
    ids = tokens(40)
    plain = tiny_model(family)
    answers = []
    for implementation in ("eager", "eager" if family == "gemma2" else "sdpa"):  # Gemma 2 caps logits, sdpa cannot
        model = tiny_model(family)
        model.set_attn_implementation(implementation)
        apply_map(model, SelfExtend(9, group=4))
        answers.append(logits(model, ids))
        np.testing.assert_allclose(logits(model, ids[:, :9]), logits(plain, ids[:, :9]), atol=1e-4)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    assert np.abs(answers[0] - logits(plain, ids)).max() > 1e-3


def test_a_model_in_half_precision_stays_in_it():
    model = tiny_model(num_hidden_layers=2).to(torch.bfloat16)
    apply_map(model, ReRope(8))
    with torch.no_grad():
        half = model(input_ids=tokens(24)).logits
    assert half.dtype == torch.bfloat16
    wanted = logits(mapped(ReRope(8)), tokens(24))
    assert np.abs(half.double().numpy() - wanted).max() < 0.1 * np.abs(wanted).max()


def test_queries_are_taken_in_blocks(monkeypatch):
    model, ids = mapped(ReRope(8)), tokens(40)
    whole = logits(model, ids)
    monkeypatch.setattr("ropewalk.adapters.inference_map.QUERY_BLOCK", 7)
    np.testing.assert_allclose(logits(model, ids), whole, atol=1e-5)


def test_a_checkpoint_is_loaded_under_a_map_by_name(tmp_path):
    save_model(tiny_model(num_hidden_layers=2), None, tmp_path)
    model = load_model(tmp_path, inference_map="self-extend")
    assert attached_map(model) == SelfExtend(TRAINED // 4)
    assert attached_map(load_model(tmp_path)) is None
    ids = tokens(LONG)
    np.testing.assert_allclose(logits(model, ids), logits(mapped(SelfExtend(16)), ids), atol=1e-5)
    with pytest.raises(UnknownNameError, match="no inference map is called 'rerop'; did you mean 'rerope'"):
        load_model(tmp_path, inference_map="rerop")


def test_a_model_under_a_map_is_neither_saved_nor_extended(tmp_path):
    model = mapped(ReRope(8))
    attempts = [
        lambda: save_model(model, None, tmp_path / "saved"),
        lambda: model.save_pretrained(tmp_path / "saved"),
        lambda: extend_model(model, "yarn", TARGET),
    ]
    for attempt in attempts:
        with pytest.raises(
            CarrierError, match=r"no config of transformers.*'rerope, window 8, scaled'.*load it without"
        ):
            attempt()
    assert not (tmp_path / "saved").exists()


def test_a_model_that_is_extended_already_is_refused():
    model = tiny_model(num_hidden_layers=2)
    extend_model(model, "linear", TARGET)
    with pytest.raises(ModelError, match=r"must stand on the rotary embedding that the model was trained with"):
        apply_map(model, ReRope(8))


def test_a_model_whose_layers_all_slide_is_refused():
    with pytest.raises(ModelError, match=r"all 4 layers of this model slide over 32 tokens. There is nothing to map"):
        apply_map(tiny_model("mistral", sliding_window=32), ReRope(8))


def test_fused_attention_is_refused():
    model = tiny_model(num_hidden_layers=2)
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ModelError, match=r"this model attends by 'flex_attention'. Load it with attention='sdpa'"):
        apply_map(model, ReRope(8))


def test_training_under_a_map_is_refused():
    with pytest.raises(ModelError, match=r"read with, not trained; call model.eval\(\)"):
        logits(mapped(ReRope(8)).train(), tokens(4))


@pytest.mark.parametrize(
    "positions", [[0, 1, 2, 50, 51, 52], [0, 0, 0, 1, 2, 3]], ids=["a-jump", "padding-on-the-left"]
)
def test_positions_that_do_not_count_on_are_refused(positions):
    words = f"got 6 keys for 6 queries at positions {positions}. Give the model one whole text"
    with pytest.raises(ModelError, match=re.escape(words)):
        logits(mapped(ReRope(8)), tokens(6), positions)


@pytest.mark.parametrize("factor", [1.01, -1.0])
def test_a_model_that_turns_otherwise_than_its_table_says_is_found(factor):
    model = tiny_model(num_hidden_layers=2)
    config = loaded_config(model)
    right = torch.from_numpy(ROPE.frequencies)
    check_turning(model, MappedAttention(ReRope(8), ROPE, right), config)
    with pytest.raises(SelfTestError, match="must turn halves of its heads against each other"):
        check_turning(model, MappedAttention(ReRope(8), ROPE, factor * right), config)
