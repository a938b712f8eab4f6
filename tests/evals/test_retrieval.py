"""Retrieval without needless decoding, against plain `generate` and a regular expression on every question."""

from __future__ import annotations

import copy
import re
from collections import Counter

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model, character_tokenizer, tiny_llama
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, MistralConfig, PreTrainedTokenizerFast

from ropewalk.data.recall import Question, RecallContext
from ropewalk.evals import scoring
from ropewalk.evals.retrieval import answer_all
from ropewalk.evals.scoring import verdict


def by_generate(model, tokenizer, context, question, *, use_cache=True) -> bool:
    """The published protocol as anyone would write it."""
    prompt = torch.as_tensor(np.concatenate([context.context, question.prompt]))[None]
    with torch.no_grad():
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=10,
            do_sample=False,
            use_cache=use_cache,
            pad_token_id=0,
        )
    text = tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
    run = re.search("[0-9]+", text)
    return run is not None and int(run.group()) == int(question.answer_text)


def encode(tokenizer, text) -> np.ndarray:
    return np.asarray(tokenizer.encode(text, add_special_tokens=False), dtype=np.int64)


# What the model is taught to write after a question, and whether that answers 12345.
TAUGHT = {
    "a?12345.": True,  # as expected
    "b?123456.": False,  # a longer run begins with the key
    "c?1234.": False,  # a shorter run
    "d? is: 12345": True,  # words first
    "e?\n12345\n9": True,  # a line break first
    "f?0012345 ": True,  # leading zeros
    "g?no idea!!": False,  # no number at all
    "h?12340": False,  # wrong at the last digit
    "i?92345": False,  # wrong at the first digit
    "j?no no! 12345": True,  # complete at the tenth token, where reading stops
    "k?nothing: 12345": False,  # begun at the tenth token and cut off
    "l?7, 12345": False,  # not the first number
    "m?12345": True,  # ends with the end of the text
    "n?12": False,  # ends inside the key
    "o?": False,  # ends at once
}


@pytest.fixture(scope="module")
def taught():
    """A small model that has learned by heart what to write after each question, in two contexts."""
    tokenizer = character_tokenizer(("1", "2"), ("4", "5"))
    config = LlamaConfig(**{**SIZES, "vocab_size": 120, "hidden_size": 64, "intermediate_size": 128})
    model = build_model(config, spread=0.05)
    contexts = [encode(tokenizer, "some words, a key: 12345"), encode(tokenizer, "other words, a key:12345")]
    rows = []
    for context in contexts:
        for text in TAUGHT:
            tail = tokenizer.encode(text, add_special_tokens=False)
            rows.append(np.concatenate([context, tail, np.zeros(12, dtype=np.int64)])[: len(context) + 14])
    width = max(map(len, rows))
    tokens = torch.as_tensor(np.stack([np.pad(row, (0, width - len(row))) for row in rows]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    start = min(map(len, contexts)) + 1
    model.train()
    for _ in range(250):
        logits = model(tokens, use_cache=False).logits[:, start:-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, start + 1 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 2e-3:
            break
    return model.eval(), tokenizer, contexts


def taught_contexts(tokenizer, contexts) -> list[RecallContext]:
    answer = encode(tokenizer, "12345")
    questions = tuple(Question(encode(tokenizer, text[:2]), answer, 0.5, 1, "12345") for text in TAUGHT)
    return [RecallContext(context, questions) for context in contexts]


def test_every_verdict_is_that_of_plain_generate(taught):
    model, tokenizer, tokens = taught
    contexts = taught_contexts(tokenizer, tokens)
    rows = answer_all(model, tokenizer, contexts)
    for context, row in zip(contexts, rows, strict=True):
        expected = [by_generate(model, tokenizer, context, question) for question in context.questions]
        assert [answer.correct for answer in row] == expected
        assert expected == list(TAUGHT.values())


@pytest.mark.parametrize("cache_bytes", [1, 200_000], ids=["one question at a time", "a few at a time"])
def test_verdicts_do_not_depend_on_batches(taught, cache_bytes):
    model, tokenizer, tokens = taught
    contexts = taught_contexts(tokenizer, tokens)
    rows = answer_all(model, tokenizer, contexts, cache_bytes=cache_bytes, batch_tokens=1)
    assert [[answer.correct for answer in row] for row in rows] == [list(TAUGHT.values())] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text, expected, *, finished, at_once=False: text.startswith(expected),
        lambda text, expected, *, finished, at_once=False: (re.search("[0-9]+", text) or [""])[0].startswith(expected),
        lambda text, expected, *, finished, at_once=False: expected in text,
        lambda text, expected, *, finished, at_once=False: verdict(text, expected, finished=True),
    ],
    ids=["text starts with the key", "number starts with the key", "key somewhere", "deciding too early"],
)
def test_the_check_against_generate_catches_wrong_comparisons(taught, monkeypatch, wrong):
    """Bite: prefix and substring comparison as in released code, and a verdict before the number has ended."""
    model, tokenizer, tokens = taught
    contexts = taught_contexts(tokenizer, tokens)

    def patched(text, expected, *, finished, at_once):
        return wrong(text, expected, finished=finished) or (False if finished else None)

    monkeypatch.setattr(scoring, "verdict", patched)
    rows = answer_all(model, tokenizer, contexts)
    assert [answer.correct for answer in rows[0]] != list(TAUGHT.values())


def digit_questions(number: int, *, length: int, questions: int) -> list[RecallContext]:
    """Random contexts over four digits and eight letters, where chance gives both verdicts."""
    rng = np.random.default_rng(11)
    contexts = []
    for index in range(number):
        asked = tuple(
            Question(rng.integers(0, 12, size=int(size)), np.array([value]), 0.5, 1, str(value))
            for size, value in zip(rng.integers(1, 4, size=questions), rng.integers(0, 4, size=questions), strict=True)
        )
        contexts.append(RecallContext(rng.integers(0, 12, size=length + index % 2), asked))
    return contexts


def digit_tokenizer():
    vocabulary = {character: number for number, character in enumerate([*"0123abcdefgh", "<end>"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("window", [None, 16], ids=["full attention", "sliding window"])
def test_shared_caches_give_what_separate_prompts_give(window):
    ends = {"eos_token_id": 12}
    if window is None:
        model = tiny_llama(vocab_size=13, spread=0.5, **ends)
    else:
        model = build_model(MistralConfig(**{**SIZES, **ends}, vocab_size=13, sliding_window=window), spread=0.5)
    tokenizer, contexts = digit_tokenizer(), digit_questions(6, length=30, questions=12)
    rows = answer_all(model, tokenizer, contexts)
    got = [answer.correct for row in rows for answer in row]
    expected = [by_generate(model, tokenizer, c, question) for c in contexts for question in c.questions]
    assert got == expected
    assert min(Counter(got).values()) >= 3, "both verdicts must occur for the comparison to mean something"


def test_a_dynamic_rope_is_decoded_from_full_forwards():
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}
    model = tiny_llama(vocab_size=13, spread=0.5, rope_parameters=rope, max_position_embeddings=16, eos_token_id=12)
    tokenizer, contexts = digit_tokenizer(), digit_questions(3, length=30, questions=8)
    fresh = copy.deepcopy(model)
    got = [answer.correct for row in answer_all(model, tokenizer, contexts) for answer in row]
    # A fresh copy each time: the module would keep the frequencies of the longest call before.
    assert got == [
        by_generate(copy.deepcopy(fresh), tokenizer, c, q, use_cache=False) for c in contexts for q in c.questions
    ]
    assert len(set(got)) == 2


def test_nothing_is_decoded_where_forcing_decides(taught):
    """A right answer with its next token, a longer number and a wrong digit need the context and one forward more."""
    model, tokenizer, tokens = taught
    whole = taught_contexts(tokenizer, tokens)[0]
    decided = [list(TAUGHT).index(text) for text in ("a?12345.", "b?123456.", "i?92345")]
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    rows = answer_all(model, tokenizer, [RecallContext(whole.context, tuple(whole.questions[i] for i in decided))])
    handle.remove()
    assert [answer.correct for answer in rows[0]] == [list(TAUGHT.values())[i] for i in decided]
    assert len(calls) == 2


def test_a_model_without_finite_logits_fails_and_is_not_wrong():
    for rope in ({"rope_type": "default", "rope_theta": 500.0}, {"rope_type": "dynamic", "factor": 2.0}):
        model = tiny_llama(vocab_size=13, rope_parameters={"rope_theta": 500.0, **rope}, max_position_embeddings=16)
        with torch.no_grad():
            model.lm_head.weight.fill_(float("nan"))
        answers = answer_all(model, digit_tokenizer(), digit_questions(1, length=20, questions=3))[0]
        assert [(answer.failed, answer.correct) for answer in answers] == [(True, None)] * 3


@pytest.mark.parametrize(
    ("text", "finished", "expected"),
    [
        ("123", False, None),
        ("12345", False, None),
        ("12345", True, True),
        ("12345.", False, True),
        ("123456", False, False),
        ("124", False, False),
        ("00", False, None),
        ("no", False, None),
        ("no", True, False),
        ("", True, False),
        ("1 12345", False, False),
    ],
)
def test_a_verdict_is_given_only_when_certain(text, finished, expected):
    assert verdict(text, "12345", finished=finished) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), (" ", None), (" \n12345.", True), ("is", False), ("a12345.", False), ("124", False)],
)
def test_a_number_asked_for_at_once_has_only_blanks_before_it(text, expected):
    assert verdict(text, "12345", finished=False, at_once=True) is expected


def test_answers_at_once_are_those_of_generate_that_begin_with_the_number(taught):
    model, tokenizer, tokens = taught
    row = answer_all(model, tokenizer, taught_contexts(tokenizer, tokens)[:1], at_once=True)[0]
    begins = [text[2:].strip()[:1].isdigit() for text in TAUGHT]
    expected = [right and first for right, first in zip(TAUGHT.values(), begins, strict=True)]
    assert [answer.correct for answer in row] == expected
    assert expected != list(TAUGHT.values())


def test_zero_is_a_number_like_any_other():
    assert verdict("0", "0", finished=False) is None
    assert verdict("0.", "0", finished=False) is True
    assert verdict("5", "0", finished=False) is False


def test_no_contexts_give_no_answers():
    assert answer_all(tiny_llama(), character_tokenizer(), []) == []
