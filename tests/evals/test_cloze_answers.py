"""The name with the greatest summed log-likelihood is the answer: what a forward over each whole sequence says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from evals_models import tiny_llama

from ropewalk.data.cloze import ClozeQuestion
from ropewalk.evals.cloze import answer_cloze, candidate_scores

WINDOW = 40


def questions(count: int = 5) -> list[ClozeQuestion]:
    rng = np.random.default_rng(3)
    return [
        ClozeQuestion(
            name=f"m{number % 2}@{number}",
            module=f"m{number % 2}",
            context=rng.integers(1, 97, size=30),
            candidates=tuple(rng.integers(1, 97, size=size) for size in rng.permutation([1, 2, 3, 7])),
        )
        for number in range(count)
    ]


def plain_scores(model, question, *, shift: int = 0):
    """One forward for each candidate, one log-softmax for each of its tokens."""
    found = []
    for candidate in question.candidates:
        whole = torch.as_tensor(np.concatenate([question.context, candidate]))[None]
        with torch.no_grad():
            logits = model(input_ids=whole).logits[0].double()
        first = len(question.context) + shift
        found.append(
            sum(float(torch.log_softmax(logits[first + place - 1], -1)[token]) for place, token in enumerate(candidate))
        )
    return found


def test_scores_are_those_of_whole_sequences():
    model = tiny_llama()
    scores = candidate_scores(model, questions(), window=WINDOW)
    expected = [plain_scores(model, question) for question in questions()]
    assert scores == pytest.approx(np.array(expected), abs=1e-4)


def test_the_check_would_catch_scores_of_the_wrong_places_and_means_in_place_of_sums():
    model = tiny_llama()
    scores = candidate_scores(model, questions(), window=WINDOW)
    shifted = np.array([plain_scores(model, question, shift=-1) for question in questions()])
    sizes = np.array([[len(candidate) for candidate in question.candidates] for question in questions()])
    assert abs(scores - shifted).max() > 0.5
    assert (scores.argmax(1) != (scores / sizes).argmax(1)).any()


def test_a_rope_that_depends_on_the_length_is_read_whole():
    scaling = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = tiny_llama(max_position_embeddings=32, rope_parameters=scaling)
    for question, row in zip(questions(), candidate_scores(model, questions(), window=WINDOW), strict=True):
        alone = tiny_llama(max_position_embeddings=32, rope_parameters=scaling)
        for candidate, score in zip(question.candidates, row, strict=True):
            one = ClozeQuestion(question.name, question.module, question.context, (candidate,))
            alone(input_ids=torch.as_tensor(question.context[:1])[None])  # back to the start
            assert score == pytest.approx(plain_scores(alone, one)[0], abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_the_likeliest_name_is_the_answer_whatever_the_batches(batch_tokens):
    model = tiny_llama()
    told = []
    samples = answer_cloze(
        model, questions(), window=WINDOW, batch_tokens=batch_tokens, progress=lambda *report: told.append(report)
    )
    expected = [float(np.argmax(plain_scores(model, question)) == 0) for question in questions()]
    assert [sample.value for sample in samples] == expected
    assert {(s.measure, s.length, s.chance, s.depth) for s in samples} == {("cloze", WINDOW, 0.25, None)}
    assert [s.cluster for s in samples] == [question.module for question in questions()]
    assert told[-1] == ("cloze", 5, 5)


def test_equal_scores_are_no_answer():
    same = [ClozeQuestion(q.name, q.module, q.context, (q.candidates[0],) * 4) for q in questions(2)]
    assert [sample.value for sample in answer_cloze(tiny_llama(), same, window=WINDOW)] == [0.0, 0.0]


def test_a_model_without_finite_logits_fails_and_is_not_wrong():
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight[0, 0] = math.nan
    samples = answer_cloze(model, questions(2), window=WINDOW)
    assert {(sample.status, sample.value) for sample in samples} == {("failed", None)}
