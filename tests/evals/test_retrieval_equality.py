"""The fast path against `generate`: the same score for every prompt, whatever the method and the scoring rule."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model, character_tokenizer
from plain_generate import METHODS, extended, letters_tokenizer, scores_by_generate, small_model
from transformers import LlamaConfig

from ropewalk import adapters
from ropewalk.data import retrieval as tasks_by_name
from ropewalk.data.recall import Question, RecallContext
from ropewalk.data.ruler_files import RulerSample
from ropewalk.evals import retrieval, tasks
from ropewalk.evals.scoring import SCORINGS

NEW_TOKENS = {"first-number": 10, "number-at-once": 10, "all-references": 14, "any-reference": 6}


def random_contexts(scoring: str, *, number: int = 6, length: int = 90, questions: int = 6) -> list[RecallContext]:
    """Contexts beyond the trained window of 64 tokens, with references of one or two tokens."""
    rng = np.random.default_rng((3, SCORINGS.index(scoring)))
    contexts = []
    for index in range(number):
        asked = []
        for _ in range(questions):
            value = str(int(rng.integers(0, 4)))
            references = ()
            if "reference" in scoring:
                drawn = rng.integers(0, 12, size=(3, 2))
                references = tuple("0123abcdefgh"[a] + "0123abcdefgh"[b] * (b % 2) for a, b in drawn)
            prompt = rng.integers(0, 12, size=int(rng.integers(1, 3)))
            answer = rng.integers(0, 12, size=3) if references else np.array([int(value)])
            asked.append(Question(prompt, answer, 0.5, 1, value, references))
        contexts.append(RecallContext(rng.integers(0, 12, size=length + index % 2), tuple(asked)))
    return contexts


def fast_scores(model, tokenizer, contexts, **settings) -> list[list[float | None]]:
    return [[answer.score for answer in row] for row in retrieval.answer_all(model, tokenizer, contexts, **settings)]


@pytest.mark.parametrize("method", METHODS)
def test_every_score_is_that_of_generate_under_every_rule(method):
    """5 methods x 4 rules x 36 prompts = 720."""
    model, tokenizer = extended(small_model(), method, 256), letters_tokenizer()
    for scoring in SCORINGS:
        contexts, settings = random_contexts(scoring), {"scoring": scoring, "new_tokens": NEW_TOKENS[scoring]}
        expected = scores_by_generate(model, tokenizer, contexts, **settings)
        assert fast_scores(model, tokenizer, contexts, **settings) == expected
        assert sum(map(len, expected)) == 36
        assert len({score for row in expected for score in row}) >= 2, "a comparison of one value means nothing"


@pytest.mark.parametrize("method", METHODS)
def test_the_built_in_model_answers_real_tasks_as_generate_does(method):
    """5 methods x 30 prompts; half of the records lie beyond the trained window of 256 tokens."""
    tokenizer = adapters.load_tokenizer("builtin")
    model = extended(adapters.load_model("builtin"), method, 512)
    encode = tasks.encoder(tokenizer)
    for name, length, count in (("key-value", 320, 2), ("niah-multikey-2", 430, 1)):
        task = tasks_by_name.get(name)(new_tokens=8)
        contexts = [s.context for s in tasks.retrieval_samples(task, encode, length, range(count), seed=1)]
        settings = {"scoring": task.scoring, "new_tokens": task.new_tokens}
        assert fast_scores(model, tokenizer, contexts, **settings) == scores_by_generate(
            model, tokenizer, contexts, **settings
        )


@pytest.mark.parametrize("scoring", ["all-references", "number-at-once"])
def test_a_dynamic_rope_is_decoded_plainly_under_every_kind_of_rule(scoring):
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}
    model = small_model(rope_parameters=rope, max_position_embeddings=16)
    tokenizer, contexts = letters_tokenizer(), random_contexts(scoring, number=2, length=30, questions=5)
    settings = {"scoring": scoring, "new_tokens": 6}
    fresh = copy.deepcopy(model)
    # A fresh copy for each prompt: the module would keep the frequencies of the longest call before.
    expected = [
        [
            scores_by_generate(copy.deepcopy(fresh), tokenizer, [one], use_cache=False, **settings)[0][0]
            for one in (RecallContext(context.context, (question,)) for question in context.questions)
        ]
        for context in contexts
    ]
    assert fast_scores(model, tokenizer, contexts, **settings) == expected


def wrong_row(cache, rows, room, *, original=retrieval.selected):
    return original(cache, [0 for _ in rows], room)


def first_reference_ends(scoring, text, question, *, finished, original=retrieval.score):
    early = any(reference in text for reference in question.expected)
    return original(scoring, text, question, finished=finished or early)


def never_ends(self, answer, tokens, *, original=retrieval.Reader.read):
    object.__setattr__(self, "ends", frozenset())
    original(self, answer, tokens)


@pytest.mark.parametrize(
    ("place", "name", "wrong"),
    [
        (retrieval, "selected", wrong_row),
        (retrieval, "score", first_reference_ends),
        (retrieval.Reader, "read", never_ends),
    ],
    ids=["another context's cache", "stops at the first reference", "reads on after the end of the text"],
)
def test_the_check_catches_a_wrong_engine(monkeypatch, place, name, wrong):
    model, tokenizer = small_model(), letters_tokenizer()
    contexts, settings = random_contexts("all-references"), {"scoring": "all-references", "new_tokens": 14}
    expected = scores_by_generate(model, tokenizer, contexts, **settings)
    monkeypatch.setattr(place, name, wrong)
    assert fast_scores(model, tokenizer, contexts, **settings) != expected


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_model_without_finite_logits_fails_every_sample(scoring):
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    rows = retrieval.answer_all(
        model, letters_tokenizer(), random_contexts(scoring, number=2, length=20, questions=3), scoring=scoring
    )
    assert [(a.failed, a.score, a.correct) for row in rows for a in row] == [(True, None, None)] * 6


def test_decoding_ends_when_every_reference_is_found():
    """A budget of 200 tokens is not used up for answers that are full after a few."""
    model, tokenizer = small_model(eos_token_id=None), letters_tokenizer()
    context = random_contexts("any-reference", number=1)[0]
    easy = tuple(Question(q.prompt, q.answer, 0.5, 1, q.answer_text, tuple("0123abcdefgh")) for q in context.questions)
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    rows = retrieval.answer_all(
        model, tokenizer, [RecallContext(context.context, easy)], scoring="any-reference", new_tokens=200
    )
    handle.remove()
    assert [answer.score for answer in rows[0]] == [1.0] * len(easy)
    assert len(calls) <= 4


# What a model writes, token by token: the tokenizer itself would write 12345 as 12, 3, 45.
WRITTEN = {
    "a?": (["12", "3", "45", " "], True),
    "b?": (["1", "2", "3", "4", "5", "."], True),
    "c?": (["12", "3", "4", "5", "!"], True),
    "d?": (["12", "3", "45", "1"], False),
    "e?": (["1", "2", "3", "45", "12"], False),
    "f?": (["12", "4", "3", "5"], False),
    "g?": (["0", "12", "3", "45", " "], True),
}


def test_a_tokenizer_that_merges_digits_gives_right_verdicts_however_the_number_is_cut():
    tokenizer = character_tokenizer(("1", "2"), ("4", "5"))
    ids = tokenizer.get_vocab()
    model = build_model(
        LlamaConfig(**{**SIZES, "vocab_size": 120, "hidden_size": 64, "intermediate_size": 128}), spread=0.05
    )
    context = np.array(tokenizer.encode("a key: 12345", add_special_tokens=False))
    rows = [
        np.concatenate([context, tokenizer.encode(question), [ids[token] for token in written], np.zeros(8)])
        for question, (written, _) in WRITTEN.items()
    ]
    tokens = torch.as_tensor(np.stack([row[: len(context) + 10] for row in rows]).astype(np.int64))
    learn(model, tokens, start=len(context) + 1)
    answer = np.array(tokenizer.encode("12345"))
    assert tokenizer.convert_ids_to_tokens(answer) == ["12", "3", "45"]
    questions = tuple(Question(np.array(tokenizer.encode(q)), answer, 0.5, 1, "12345") for q in WRITTEN)
    contexts = [RecallContext(context, questions)]
    expected = [[float(right) for _, right in WRITTEN.values()]]
    assert scores_by_generate(model, tokenizer, contexts, scoring="first-number", new_tokens=8) == expected
    assert fast_scores(model, tokenizer, contexts, scoring="first-number", new_tokens=8) == expected


def learn(model, tokens: torch.Tensor, *, start: int) -> None:
    """By heart, everything from `start` on."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    model.train()
    for _ in range(250):
        logits = model(tokens, use_cache=False).logits[:, start:-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, start + 1 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 2e-3:
            break
    model.eval()


def test_a_file_in_ruler_s_format_scores_as_upstream():
    model, tokenizer = small_model(), letters_tokenizer()
    samples = [RulerSample("abc0d1ef2h" * 3 + "abcdefgh"[i], ("ab", "1", "cd", "h3"), i, None) for i in range(8)]
    encode = tasks.encoder(tokenizer)
    contexts = [sample.context(encode) for sample in samples]
    for scoring in ("all-references", "any-reference"):
        settings = {"scoring": scoring, "new_tokens": 5}
        assert fast_scores(model, tokenizer, contexts, **settings) == scores_by_generate(
            model, tokenizer, contexts, **settings
        )
