"""Recall windows fill their length exactly and supervise only what the window itself determines."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ropewalk.data import recall
from ropewalk.data.recall_windows import RecallWindows


def characters(piece: str) -> np.ndarray:
    return np.array([ord(c) for c in piece], dtype=np.int64)


TEXT = characters("def function(argument):\n    return argument\n" * 200)


@pytest.mark.parametrize("window", [600, 1024])
def test_every_window_has_its_length_and_something_to_learn(window):
    windows = RecallWindows(characters, TEXT, window, shortest_passkey=window // 2, repeat_share=0.3)
    for number in range(60):
        tokens, evidence = windows.draw(np.random.default_rng(number))
        supervised = evidence != recall.NOWHERE
        assert len(tokens) == len(supervised) == window
        assert supervised.any()
        assert not supervised[0]
        assert (evidence < np.arange(window)).all(), "what tells a token stands before it"


def test_an_answer_is_what_stands_at_the_place_that_tells_it():
    """Plain text beside the bookkeeping: the last thing that a reader has seen the answer in."""
    kinds = set()
    for number in range(120):
        windows = RecallWindows(
            characters, TEXT, 1024, shortest_passkey=512, fewest_asked=1, again=0.25, repeat_share=0.2
        )
        tokens, evidence = windows.draw(np.random.default_rng(number))
        text = "".join(map(chr, tokens))
        for answer in np.flatnonzero(np.diff((evidence != recall.NOWHERE).astype(int), prepend=0) == 1):
            last = int(answer) + int(np.argmin(np.append(evidence[answer:] != recall.NOWHERE, False)))
            value, told = text[answer:last], evidence[answer]
            if np.ptp(evidence[answer:last]):
                kinds.add("repeat")
                assert [tokens[place] for place in evidence[answer:last]] == list(tokens[answer:last])
            elif "The pass key is" in text:
                kinds.add("pass key")
                key = value[:-1]
                assert text[: told + 1].endswith(f"The pass key is{key}. Remember it.{key} is the pass key.\n")
            elif value.endswith("\n"):
                kinds.add("record")
                asked = text[:answer].rpartition("\n")[2] + value
                assert text[: told + 1].endswith(asked)
                assert f"\n{asked}" not in text[told + 1 : answer], "nearer evidence is there"
    assert kinds == {"pass key", "record", "repeat"}


def test_a_repeat_supervises_a_chunk_that_stands_earlier_in_the_window():
    windows = RecallWindows(characters, TEXT, 1024, shortest_passkey=512, repeat_share=1.0)
    places = []
    for number in range(40):
        tokens, evidence = windows.draw(np.random.default_rng(number))
        supervised = evidence != recall.NOWHERE
        size = int(supervised.sum()) + 1
        assert 64 <= size <= 128
        assert supervised[-size + 1 :].all()
        chunk = tokens[-size:]
        found = [s for s in range(1024 - 2 * size + 1) if np.array_equal(tokens[s : s + size], chunk)]
        assert len(found) >= 1
        places.append(found[0])
        assert not np.array_equal(chunk, np.sort(chunk))
    assert min(places) < 200
    assert max(places) > 600


def test_without_repeats_the_draws_are_those_of_a_mixture_that_does_not_know_them():
    plain = RecallWindows(characters, TEXT, 1024, shortest_passkey=512)
    kinds = {bool((plain.draw(np.random.default_rng(n))[1][-40:] != recall.NOWHERE).all()) for n in range(40)}
    assert kinds == {False}


def test_the_ends_of_a_context_and_second_questions_at_once_are_as_common_as_asked_for(monkeypatch):
    asked = []

    def spy(task, questions, newline):
        asked.append((task, list(questions)))
        return whole(task, questions, newline)

    whole = recall.training_window
    monkeypatch.setattr(recall, "training_window", spy)
    windows = RecallWindows(characters, TEXT, 1024, shortest_passkey=512, fewest_asked=1, ends=0.5, again=0.25)
    for number in range(300):
        windows.draw(np.random.default_rng(number))
    records = [(task, questions) for task, questions in asked if len(task.questions) > 1]
    keys = [questions[0].depth for task, questions in asked if len(task.questions) == 1]
    first_is_an_end = [any(q[0] is end for end in (t.questions[0], t.questions[-1])) for t, q in records]
    at_once_again = [any(a is b for a, b in pairwise(q)) for _, q in records]
    for events in (first_is_an_end, at_once_again, [depth in (0.0, 1.0) for depth in keys]):
        assert len(events) > 60
        assert np.mean(events) > 0.4
    assert min(len(q) for _, q in records) == 1


def test_one_generator_gives_one_window():
    windows = RecallWindows(characters, TEXT, 1024, shortest_passkey=512, repeat_share=0.5)
    for number in range(10):
        first, second = (windows.draw(np.random.default_rng(number)) for _ in range(2))
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])
