"""Scoring rules against plain restatements of upstream's, on whole texts and on growing ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.data.recall import Question
from ropewalk.errors import UnknownNameError
from ropewalk.evals.scoring import SCORINGS, score

TEXTS = st.text(alphabet="aB1 2.", max_size=12)
REFERENCES = st.lists(st.text(alphabet="Ab12", min_size=1, max_size=3), min_size=1, max_size=4)


def asked(*references: str) -> Question:
    return Question(np.array([1]), np.array([2]), None, 0, references[0], references)


def match_all(text: str, references: list[str]) -> float:
    """RULER's string_match_all for one sample."""
    return sum([1.0 if r.lower() in text.lower() else 0.0 for r in references]) / len(references)


def match_part(text: str, references: list[str]) -> float:
    """RULER's string_match_part for one sample."""
    return max([1.0 if r.lower() in text.lower() else 0.0 for r in references])


ORACLES = {"all-references": match_all, "any-reference": match_part}


@given(TEXTS, REFERENCES, st.sampled_from(sorted(ORACLES)))
def test_a_finished_text_scores_as_upstream(text, references, scoring):
    assert score(scoring, text, asked(*references), finished=True) == pytest.approx(ORACLES[scoring](text, references))


@given(TEXTS, TEXTS, REFERENCES, st.sampled_from(SCORINGS))
def test_a_score_that_is_given_early_is_the_score_of_the_whole_text(text, more, references, scoring):
    question = asked("12", *references) if scoring in ORACLES else asked("12")
    early = score(scoring, text, question, finished=False)
    late = score(scoring, text + more, question, finished=True)
    assert late is not None
    assert early in (None, late)


def test_a_question_scores_full_with_any_of_its_references():
    """Bite: the average over references, as in lm-eval 0.4.13, gives a third for one of three."""
    question, text = asked("Paris", "Lyon", "Nice"), "it is paris"
    assert score("any-reference", text, question, finished=True) == 1.0
    assert match_all(text, list(question.expected)) == pytest.approx(1 / 3)


def test_all_references_are_awaited_until_the_text_ends():
    question = asked("one", "two")
    assert score("all-references", "ONE", question, finished=False) is None
    assert score("all-references", "ONE", question, finished=True) == 0.5
    assert score("all-references", "one, Two", question, finished=False) == 1.0


def test_any_reference_ends_at_the_first_one():
    assert score("any-reference", "so two", asked("one", "two"), finished=False) == 1.0
    assert score("any-reference", "so", asked("one", "two"), finished=False) is None


def test_numbers_are_compared_as_whole_numbers():
    assert score("first-number", "is 012, 13", asked("12"), finished=False) == 1.0
    assert score("first-number", "is 123 12", asked("12"), finished=True) == 0.0
    assert score("number-at-once", "is 12.", asked("12"), finished=False) == 0.0


def test_an_unknown_rule_is_refused():
    with pytest.raises(UnknownNameError, match=r"no scoring is called 'any'.*Known: all-references, any-reference"):
        score("any", "text", asked("a"), finished=True)  # type: ignore[arg-type]
