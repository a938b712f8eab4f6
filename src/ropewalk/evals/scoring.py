"""When an answer is right: verdicts on text that may still grow.

Each rule gives a score from 0 to 1, or None while more text could still change it; decoding stops at the first score.

    first-number       1 if the first run of digits is the number (Mohtashami & Jaggi 2023, arXiv:2305.16300; PI, PoSE)
    number-at-once     the same with only blanks before it
    all-references     the share of the references that the text contains (RULER, arXiv:2404.06654, string_match_all)
    any-reference      1 if it contains one of them (RULER's string_match_part for questions, arXiv:2307.03172)

Containing disregards case. A text only grows, so the last two can only rise: they are final when full.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from ropewalk.data.retrieval_task import Scoring
from ropewalk.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.data.recall import Question

SCORINGS: tuple[str, ...] = get_args(Scoring)
DIGITS = re.compile("[0-9]+")


def score(scoring: Scoring, text: str, question: Question, *, finished: bool) -> float | None:
    """Score of an answer, 0 to 1, or None while it is open.

    Args:
        scoring: The rule.
        text: The answer so far.
        question: What was asked.
        finished: The text grows no more.

    Raises:
        UnknownNameError: There is no such rule.
    """
    if scoring in ("first-number", "number-at-once"):
        right = verdict(text, question.answer_text, finished=finished, at_once=scoring == "number-at-once")
        return None if right is None else float(right)
    if scoring not in SCORINGS:
        raise unknown_name("scoring", scoring, SCORINGS)
    found = share_found(text, question.expected)
    if scoring == "any-reference":
        found = float(found > 0)
    return found if finished or found == 1 else None


def share_found(text: str, references: Sequence[str]) -> float:
    """Share of the references that stand somewhere in the text, whatever the case."""
    lowered = text.lower()
    return sum(reference.lower() in lowered for reference in references) / len(references)


def verdict(text: str, expected: str, *, finished: bool, at_once: bool = False) -> bool | None:
    """Whether the first run of digits in `text` is the expected number; None while more text could still decide.

    Numbers compare as numbers, so leading zeros do not matter, and as wholes: 123456 is not 12345. With `at_once` only
    blanks may stand before the number.
    """
    match = DIGITS.search(text)
    if at_once and text[: match.start() if match else None].strip():
        return False
    if match is None:
        return False if finished else None
    run = match.group()
    if match.end() < len(text) or finished:
        return int(run) == int(expected)
    beginning, wanted = run.lstrip("0"), expected.lstrip("0")
    return None if wanted.startswith(beginning) else False
