"""Recall tasks: true token lengths, right answers, right depths, nothing random but the generator."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.data import recall


def characters(text: str) -> np.ndarray:
    """One token a character: lengths can be checked by eye."""
    return np.array([ord(c) for c in text], dtype=np.int64)


def text(tokens: np.ndarray) -> str:
    return "".join(chr(t) for t in tokens)


GRASS = recall.GrassFiller(characters(recall.GRASS))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("depth", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("task_line", [True, False])
def test_a_passkey_prompt_has_exactly_the_asked_length_and_holds_its_key_twice(digits, depth, task_line):
    task = recall.passkey(characters, GRASS, rng(), length=900, depth=depth, digits=digits, task_line=task_line)
    (question,) = task.questions
    assert task.length == 900
    assert len(question.answer_text) == digits
    fact = recall.PASSKEY_FACT.format(key=question.answer_text)
    context = text(task.context)
    assert context.count(fact) == 1
    assert context.index(fact) + len(fact) == question.position
    assert context.startswith(recall.TASK_LINE) == task_line
    assert text(question.answer) == f" {question.answer_text}"


def test_depth_zero_and_one_put_the_fact_at_the_two_ends():
    first = recall.passkey(characters, GRASS, rng(), length=900, depth=0.0, task_line=False)
    last = recall.passkey(characters, GRASS, rng(), length=900, depth=1.0, task_line=False)
    assert text(first.context).startswith("\nThe pass key is")
    assert text(last.context).endswith("is the pass key.\n")


def test_a_passkey_prompt_that_is_too_short_is_refused_with_the_length_that_would_do():
    with pytest.raises(ValueError, match=r"needs at least \d+ tokens; got 50"):
        recall.passkey(characters, GRASS, rng(), length=50, depth=0.5)


def test_every_key_value_question_is_answered_by_exactly_one_record_before_its_position():
    task = recall.key_value(characters, GRASS, rng(), length=1500, keys=16)
    context = text(task.context)
    assert task.length <= 1500
    assert len(task.questions) == 16
    for question in task.questions:
        asked = text(question.prompt).strip()
        assert context.count(f"\n{asked}") == 1
        assert context[: question.position].endswith(f"{asked}{question.answer_text}\n")
    depths = [question.depth for question in task.questions]
    assert depths == sorted(depths)
    assert depths[-1] == 1.0


def test_records_that_do_not_fit_are_refused_with_the_length_that_would_do():
    with pytest.raises(ValueError, match=r"16 key-value records need at least \d+ tokens; got 100"):
        recall.key_value(characters, GRASS, rng(), length=100)


def test_a_stream_marks_exactly_the_values_and_line_ends_that_an_earlier_record_determines():
    tokens, evidence = recall.key_value_stream(characters, rng(), length=2000, keys=12)
    known = evidence != recall.NOWHERE
    assert len(tokens) == len(known) == 2000
    seen: dict[str, str] = {}
    place = 0
    for line in text(tokens).split("\n")[:-1]:
        word, value = line.split("=")
        start = place + len(word) + 1
        assert (known[start : start + len(value) + 1] == (word in seen)).all()
        assert not known[place:start].any()
        assert seen.setdefault(word, value) == value
        place += len(line) + 1


def test_one_seed_gives_one_task_and_two_seeds_give_two():
    first = recall.passkey(characters, GRASS, np.random.default_rng(1), length=900, depth=0.5)
    again = recall.passkey(characters, GRASS, np.random.default_rng(1), length=900, depth=0.5)
    other = recall.passkey(characters, GRASS, np.random.default_rng(2), length=900, depth=0.5)
    assert np.array_equal(first.context, again.context)
    assert first.questions[0].answer_text != other.questions[0].answer_text


def test_a_tokenizer_that_joins_blanks_keeps_the_joined_token_in_the_answer():
    vocabulary = {"key is": [1, 2], "key is 7": [1, 2, 9], "key is=": [1, 3], "key is=7": [1, 30], "7": [5]}

    def encode(piece: str) -> np.ndarray:
        return np.array(vocabulary[piece])

    question, answer = recall.split_answer(encode, "key is", " 7")
    assert question.tolist() == [1, 2]
    assert answer.tolist() == [9]
    question, answer = recall.split_answer(encode, "key is=", "7")
    assert (question.tolist(), answer.tolist()) == ([1, 3], [5])


@pytest.mark.parametrize(
    "filler",
    [
        GRASS,
        recall.TextFiller(characters("some real text of a document ") * 1),
        recall.WordFiller((characters(" one"), characters(" two"))),
    ],
)
@pytest.mark.parametrize("tokens", [0, 1, 33, 500])
def test_every_filler_gives_exactly_as_many_tokens_as_asked(filler, tokens):
    assert len(filler(rng(), tokens)) == tokens


def test_a_training_window_supervises_the_answers_and_their_ends_and_nothing_else():
    task = recall.key_value(characters, GRASS, rng(), length=600, keys=4)
    tokens, evidence = recall.training_window(task, task.questions[:2], characters("\n"))
    answers = evidence != recall.NOWHERE
    assert text(tokens[answers]) == f"{task.questions[0].answer_text}\n{task.questions[1].answer_text}\n"
    assert not answers[: len(task.context)].any()
