"""One reading for many lengths: what separate prompts give, from fewer tokens."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model
from plain_generate import METHODS, extended, letters_tokenizer, scores_by_generate, small_model
from transformers import Gemma2Config, MistralConfig

from ropewalk.adapters.cache import cropped
from ropewalk.data.facts import Fact
from ropewalk.data.recall import Question, RecallContext
from ropewalk.errors import OptionError
from ropewalk.evals import shared_prefix
from ropewalk.evals.retrieval import answer_all, read
from ropewalk.evals.shared_prefix import answer_at_lengths, answer_grid, cut, grid_cell

LENGTHS = (40, 60, 90, 120)
POSITIONS = (0, 30, 60, 90)


def context_with_facts(seed: int = 0) -> RecallContext:
    """Questions of one to three tokens about places all along 130 random tokens."""
    rng = np.random.default_rng(seed)
    questions = tuple(
        Question(rng.integers(0, 12, size=1 + place % 3), np.array([place % 4]), place / 130, place + 5, str(place % 4))
        for place in range(0, 125, 8)
    )
    return RecallContext(rng.integers(0, 12, size=130), questions)


def fact() -> Fact:
    return Fact(np.array([4, 5, 2, 1, 6]), np.array([4, 5]), np.array([2]), "2")


def haystack(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 12, size=130)


def tokens_read(model, call) -> int:
    sizes = []
    handle = model.register_forward_pre_hook(
        lambda _, __, inputs: sizes.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    call()
    handle.remove()
    return sum(sizes)


def sliding(window: int):
    config = MistralConfig(**{**SIZES, "eos_token_id": 12}, vocab_size=13, sliding_window=window)
    return build_model(config, spread=0.5)


def gemma(window: int):
    sizes = {**SIZES, "eos_token_id": 12, "vocab_size": 13, "head_dim": 16, "num_hidden_layers": 4}
    return build_model(Gemma2Config(**sizes, sliding_window=window), spread=0.5)


def dynamic():
    return small_model(
        rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}, max_position_embeddings=16
    )


MODELS = {
    **{method: lambda method=method: extended(small_model(), method, 256) for method in METHODS},
    "a window that never fills": lambda: sliding(500),
    "a window that slides": lambda: sliding(32),
    "every other layer slides": lambda: gemma(32),
    "every other layer could slide": lambda: gemma(500),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_length_answers_as_a_prompt_of_its_own(name):
    model, tokenizer = MODELS[name](), letters_tokenizer()
    seen = Counter()
    for seed in range(2):
        context = context_with_facts(seed)
        rows = answer_at_lengths(model, tokenizer, context, LENGTHS, new_tokens=6)
        parts = [cut(context, length) for length in LENGTHS]
        expected = scores_by_generate(model, tokenizer, parts, scoring="first-number", new_tokens=6)
        assert [[answer.score for answer in rows[length]] for length in LENGTHS] == expected
        for length, part in zip(LENGTHS, parts, strict=True):
            assert [context.questions[answer.number] for answer in rows[length]] == list(part.questions)
        seen.update(score for row in expected for score in row)
    assert len(seen) == 2, "both verdicts must occur for the comparison to mean something"


@pytest.mark.parametrize("name", MODELS)
def test_every_cell_of_a_grid_answers_as_a_prompt_of_its_own(name):
    model, tokenizer = MODELS[name](), letters_tokenizer()
    grid = answer_grid(
        model,
        tokenizer,
        haystack(),
        fact(),
        positions=POSITIONS,
        lengths=LENGTHS,
        scoring="all-references",
        new_tokens=4,
    )
    cells = [grid_cell(haystack(), fact(), *cell) for cell in grid]
    expected = scores_by_generate(model, tokenizer, cells, scoring="all-references", new_tokens=4)
    assert [[answer.score] for answer in grid.values()] == expected
    assert set(grid) == {(p, n) for p in POSITIONS for n in LENGTHS if p + 8 <= n}


def test_a_dynamic_rope_is_asked_length_by_length():
    context, tokenizer = context_with_facts(), letters_tokenizer()
    rows = answer_at_lengths(dynamic(), tokenizer, context, (40, 60), new_tokens=4)
    plain = answer_all(dynamic(), tokenizer, [cut(context, 40), cut(context, 60)], new_tokens=4)
    assert [[a.score for a in rows[n]] for n in (40, 60)] == [[a.score for a in row] for row in plain]
    places = {"positions": (0, 30), "lengths": (40, 60)}
    grid = answer_grid(dynamic(), tokenizer, haystack(), fact(), **places, new_tokens=4)
    plain = answer_all(dynamic(), tokenizer, [grid_cell(haystack(), fact(), *cell) for cell in grid], new_tokens=4)
    assert [answer.score for answer in grid.values()] == [row[0].score for row in plain]


def test_a_cropped_cache_computes_what_the_shorter_context_computes():
    model = small_model()
    tokens = torch.as_tensor(haystack())[None]
    suffix = torch.tensor([[4, 5, 6]])
    with torch.inference_mode():
        whole = read(model, [haystack()])
        for size in (1, 50, 130):
            got = model(input_ids=suffix, past_key_values=cropped(whole, size, 130)).logits
            expected = model(input_ids=torch.cat([tokens[:, :size], suffix], dim=1), use_cache=False).logits[:, -3:]
            torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
            if size > 1:
                other = model(input_ids=suffix, past_key_values=cropped(whole, size - 1, 130)).logits
                assert (other - expected).abs().max() > 1e-2, "the check must see one token less"
        assert whole.get_seq_length() == 130


def test_a_cache_that_dropped_keys_is_not_cropped():
    with torch.inference_mode():
        assert cropped(read(sliding(32), [haystack()]), 40, 130) is None
        assert cropped(read(sliding(131), [haystack()]), 40, 130) is not None


@pytest.mark.parametrize("wrong", [-1, 1])
def test_the_check_catches_a_cut_at_another_place(monkeypatch, wrong):
    """Bite: a cache cropped a token too early or too late."""
    model, tokenizer = small_model(), letters_tokenizer()
    contexts = [context_with_facts(seed) for seed in range(3)]
    right = [cropped_scores(model, tokenizer, context) for context in contexts]

    def shifted(cache, tokens, total, *, original=cropped):
        return original(cache, max(1, tokens + wrong), total)

    monkeypatch.setattr(shared_prefix, "cropped", shifted)
    assert [cropped_scores(model, tokenizer, context) for context in contexts] != right


def cropped_scores(model, tokenizer, context) -> list[float | None]:
    rows = answer_at_lengths(model, tokenizer, context, LENGTHS[:-1], new_tokens=6)
    return [answer.score for row in rows.values() for answer in row]


def test_a_context_is_read_once_for_all_lengths():
    model, tokenizer, context = small_model(), letters_tokenizer(), context_with_facts()
    one = tokens_read(model, lambda: answer_at_lengths(model, tokenizer, context, LENGTHS[-1:], new_tokens=1))
    asked = tokens_read(model, lambda: answer_at_lengths(model, tokenizer, context, LENGTHS[:-1], new_tokens=1)) - 86
    together = tokens_read(model, lambda: answer_at_lengths(model, tokenizer, context, LENGTHS, new_tokens=1))
    assert together == one + asked


def test_a_grid_reads_fewer_tokens_than_its_cells():
    model, tokenizer = small_model(), letters_tokenizer()
    places = {"positions": POSITIONS, "lengths": LENGTHS}
    cells = list(answer_grid(model, tokenizer, haystack(), fact(), **places))
    contexts = [grid_cell(haystack(), fact(), *cell) for cell in cells]
    shared = tokens_read(model, lambda: answer_grid(model, tokenizer, haystack(), fact(), **places, new_tokens=1))
    plain = tokens_read(model, lambda: answer_all(model, tokenizer, contexts, new_tokens=1))
    assert shared < 0.55 * plain


def test_failed_logits_fail_at_every_length():
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    rows = answer_at_lengths(model, letters_tokenizer(), context_with_facts(), (40, 60))
    assert {(a.failed, a.score) for row in rows.values() for a in row} == {(True, None)}


def test_a_model_is_the_same_afterwards():
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    answer_grid(model, letters_tokenizer(), haystack(), fact(), positions=(0, 30), lengths=(60,))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cut(context_with_facts(), 200), r"context of 130 tokens and 4 for a question.*up to 134.*got 200"),
        (lambda: cut(context_with_facts(), 6), r"leave a fact before the cut; got 6"),
        (lambda: grid_cell(haystack(), fact(), 0, 300), r"prompt of 300 tokens needs 292 tokens of haystack; got 130"),
        (
            lambda: answer_grid(small_model(), None, haystack(), fact(), positions=(60,), lengths=(40,)),
            r"take 8 tokens, which no position of \[60\] leaves below the lengths \[40\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(OptionError, match=words):
        call()
