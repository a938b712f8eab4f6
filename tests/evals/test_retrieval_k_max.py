"""PI's k_max: the grid of distances, the rule of the first failure, and what a measurement says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evals_models import character_tokenizer, tiny_llama

from ropewalk.data import recall
from ropewalk.errors import OptionError
from ropewalk.evals import tasks
from ropewalk.evals.k_max import DistanceRow, k_max, last_distance, passkey_at_distance


def rows(*successes: int, step: int = 256) -> list[DistanceRow]:
    return [DistanceRow(distance=step * i, trials=10, successes=n) for i, n in enumerate(successes, start=1)]


@pytest.mark.parametrize(
    ("successes", "expected"),
    [
        ((10, 9, 8, 7, 3, 2, 2, 1, 10, 10), 1792),  # an entry of the paper's table 4: seven distances of 256
        ((1, 10, 10), 0),
        ((2,) * 32, 8192),
        ((), 0),
    ],
)
def test_the_first_distance_below_20_percent_ends_it(successes, expected):
    assert last_distance(rows(*successes), 0.2) == expected


def test_two_of_ten_pass_and_one_does_not():
    assert last_distance(rows(2), 0.2) == 256
    assert last_distance(rows(1), 0.2) == 0


def characters(text: str) -> np.ndarray:
    return np.array([ord(c) for c in text], dtype=np.int64)


@pytest.mark.parametrize("distance", [200, 333, 500])
def test_a_key_stands_exactly_at_its_distance_from_the_end_of_the_prompt(distance):
    context = passkey_at_distance(characters, (0, 1), 1000, distance)
    (question,) = context.questions
    assert context.length == 1000
    prompt = "".join(map(chr, np.concatenate([context.context, question.prompt])))
    assert len(prompt) - prompt.index(recall.PASSKEY_FACT.format(key=question.answer_text)) == distance


def test_a_distance_too_long_or_too_short_is_put_at_the_end_that_is_nearest():
    longest = passkey_at_distance(characters, (0, 1), 1000, 1000)
    shortest = passkey_at_distance(characters, (0, 1), 1000, 5)
    assert "".join(map(chr, longest.context)).startswith(recall.TASK_LINE + "\nThe pass key is")
    assert "".join(map(chr, shortest.context)).endswith("is the pass key.\n")


def measured(model, **settings):
    tokenizer = character_tokenizer()
    return k_max(model, tokenizer, tasks.encoder(tokenizer), 400, **settings)


def test_a_model_that_finds_nothing_has_k_max_0_after_one_distance():
    found = measured(tiny_llama(), distances=4, trials=3)
    assert (found.k_max, found.target_length, len(found.rows)) == (0, 400, 1)
    assert (found.rows[0].trials, found.rows[0].successes, found.rows[0].failed) == (3, 0, 0)


def test_a_survey_goes_on_and_says_the_same():
    found = measured(tiny_llama(), distances=4, trials=2, survey=True)
    assert (found.k_max, len(found.rows)) == (0, 4)
    distances = [row.distance for row in found.rows]
    assert distances == sorted(distances)
    assert distances[1:3] == [200, 300] or distances[1] == 200


def test_failed_prompts_are_counted_and_are_no_successes():
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    (row,) = measured(model, trials=2).rows
    assert (row.failed, row.successes) == (2, 0)


@pytest.mark.parametrize("settings", [{"distances": 0}, {"trials": 0}, {"threshold": 0.0}, {"threshold": 1.5}])
def test_nothing_to_try_is_refused(settings):
    with pytest.raises(OptionError, match=r"at least one distance, one trial and a threshold in \(0, 1\]; got"):
        measured(tiny_llama(), **settings)


def test_a_window_too_short_for_the_prompt_is_refused():
    with pytest.raises(OptionError, match=r"needs at least \d+ tokens; got 60. Measure k_max of a longer window"):
        passkey_at_distance(characters, (0,), 60, 30)
