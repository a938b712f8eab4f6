"""Where the answers stand in a conversation as a chat template writes it.

A template says so itself where it has `{% generation %}` marks, which may be wrong or missing. Otherwise it is found by
construction: every content is replaced by a placeholder, and what the template writes around the placeholders is
compared with the conversation as it stands. That depends on the sequence of roles only, so it is done once for each
sequence. A template may write other things than it was given (Qwen3 leaves out the reasoning of earlier answers): then
an answer is what stands between the parts that are known, if it ends as the answer does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.data.conversations import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Write = Callable[[Sequence[Turn], bool], str]
    """Writes turns with the template; with True, the prompt for the next answer behind them. Raises `RefusedError`."""

PLACEHOLDER = re.compile("\ue000(\\d+)\ue001")  # of the private use area: no template looks for it, or strips it
LAST_WORD = re.compile(r"\w*\W*\Z")  # of an answer, with what stands behind it: no template may rewrite that
LIKENESS = 100  # characters of an answer's end that are looked at


class RefusedError(ValueError):
    """A template refuses a conversation, in its own words."""


@dataclass(frozen=True)
class Answer:
    """Where one answer stands, in characters of the text.

    Attributes:
        start: What a model writes begins here, behind the prompt for an answer.
        content: The content begins here; between the two may stand a blank, or an empty block of reasoning.
        end: Behind the mark that ends the turn.
    """

    start: int
    content: int
    end: int


@dataclass(frozen=True)
class Skeleton:
    """What a template writes around the contents of one sequence of roles.

    Attributes:
        turns: Indexes of the turns in the order in which their contents stand in the text.
        before: What stands before each of these contents; before an answer, up to the end of the prompt for it.
        openings: What stands between the prompt and the content, for each of these turns; empty for others.
        closings: The mark behind the content that ends the turn, for each of these turns; empty for others.
        last: What stands behind all.
    """

    turns: tuple[int, ...]
    before: tuple[str, ...]
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    last: str

    def behind(self, number: int) -> str:
        """What stands between the content at place `number` and the next one, or the end."""
        following = self.before[number + 1] if number + 1 < len(self.before) else self.last
        return self.closings[number] + following


class Skeletons:
    """The skeletons of one template, each made once."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._made: dict[tuple[str, ...], Skeleton | None] = {}
        # What an answer begins and ends with is told by the text around it, at whatever place of a conversation.
        self._openings: dict[str, str] = {}
        self._closings: dict[str, str] = {}

    def of(self, roles: tuple[str, ...]) -> Skeleton | None:
        """The skeleton of a sequence of roles; None if answers are missing in it, or not in order.

        Raises:
            RefusedError: The template refuses the sequence.
        """
        if roles not in self._made:
            self._made[roles] = self._make(roles)
        return self._made[roles]

    def _make(self, roles: tuple[str, ...]) -> Skeleton | None:
        turns = [Turn(role, f"\ue000{index}\ue001") for index, role in enumerate(roles)]
        first, *parts = PLACEHOLDER.split(self._write(turns, False))
        indexes, literals = [int(index) for index in parts[::2]], [first, *parts[1::2]]
        answers = [index for index in indexes if roles[index] == "assistant"]
        if answers != [i for i, role in enumerate(roles) if role == "assistant"] or len(set(indexes)) < len(indexes):
            return None
        openings, closings = [""] * len(indexes), [""] * len(indexes)
        for place, index in enumerate(indexes):
            if roles[index] == "assistant":
                openings[place] = self._opening(turns[:index], literals[place])
                closings[place] = self._closing(turns[: index + 1], literals[place + 1])
        ends = ["", *closings]
        frames = [literal.removeprefix(end) for literal, end in zip(literals, ends, strict=True)]
        before = [frame.removesuffix(opening) for frame, opening in zip(frames, openings, strict=False)]
        return Skeleton(tuple(indexes), tuple(before), tuple(openings), tuple(closings), frames[-1])

    def _opening(self, asked: Sequence[Turn], literal: str) -> str:
        """What stands between the prompt for an answer and its content; `literal` is all that stands before that."""
        if literal not in self._openings:
            opening = literal[len(literal.rstrip(" ")) :]
            try:
                prompt = PLACEHOLDER.split(self._write(asked, True))[-1]
                if literal.startswith(prompt) and prompt != PLACEHOLDER.split(self._write(asked, False))[-1]:
                    opening = literal[len(prompt) :]
            except RefusedError:
                pass  # not written without its answer: the template has no prompt to tell
            self._openings[literal] = opening
        return self._openings[literal]

    def _closing(self, answered: Sequence[Turn], literal: str) -> str:
        """The mark that ends an answer: what stands behind it when it is the last turn, without white space behind."""
        if literal not in self._closings:
            try:
                behind = PLACEHOLDER.split(self._write(answered, False))[-1]
            except RefusedError:
                behind = ""
            closing = behind.rstrip() or behind
            self._closings[literal] = closing if literal.startswith(closing) else ""
        return self._closings[literal]


def answers_in(text: str, turns: Sequence[Turn], skeleton: Skeleton) -> tuple[Answer, ...] | None:
    """Where the answers stand in a text, or None if the text is not what the skeleton says."""
    answers: list[Answer] = []
    place = 0
    for number, index in enumerate(skeleton.turns):
        if not text.startswith(skeleton.before[number], place):
            return None
        start = place + len(skeleton.before[number])
        begin = start + len(skeleton.openings[number])
        end = _end_of(text, begin, turns[index].content, skeleton.behind(number))
        if turns[index].role == "assistant":
            if end is None or not text.startswith(skeleton.openings[number], start):
                begin, end = start, _end_of_rewritten(text, start, turns, skeleton, number)
            if end is not None:
                end += len(skeleton.closings[number])
                answers.append(Answer(start, begin, end))
        if end is None:
            return None
        place = end
    return tuple(answers) if text[place:] == skeleton.last else None


def marks_hold(
    marks: Sequence[tuple[int, int]], text: str, turns: Sequence[Turn], own: Sequence[Answer] | None
) -> bool:
    """Whether the marks of a template hold every answer with the mark that ends it, and nothing of other turns.

    Args:
        marks: First character and the one behind the last of each marked stretch.
        text: The conversation as the template writes it.
        turns: The conversation.
        own: The answers by construction; None where that failed, and then each mark must hold the end of its answer.
    """
    contents = [turn.content for turn in turns if turn.role == "assistant"]
    if len(marks) != len(contents):
        return False
    if own is None:
        return all(resembles(text[start:end], content) for (start, end), content in zip(marks, contents, strict=True))
    return all(
        answer.start <= start <= answer.content and answer.end <= end and not text[answer.end : end].strip()
        for (start, end), answer in zip(marks, own, strict=True)
    )


def resembles(written: str, content: str) -> bool:
    """Whether what a template wrote holds the end of a content."""
    word = LAST_WORD.search(content.strip()[-LIKENESS:])
    return word is not None and word[0] in written


def forms(content: str) -> tuple[str, ...]:
    """A content as templates write it: as it is, or stripped."""
    return (content, content.strip(), content.rstrip(), content.lstrip())


def _end_of(text: str, start: int, content: str, behind: str) -> int | None:
    """Where a content ends that stands at `start`, as it is or stripped, with `behind` behind it."""
    for form in forms(content):
        if text.startswith(form, start) and text.startswith(behind, start + len(form)):
            return start + len(form)
    return None


def _end_of_rewritten(text: str, start: int, turns: Sequence[Turn], skeleton: Skeleton, number: int) -> int | None:
    """Where an answer ends that is not written as it was given: at the next part that is known."""
    content, closing = turns[skeleton.turns[number]].content, skeleton.closings[number]
    if number + 1 == len(skeleton.turns):
        behind = closing + skeleton.last
        end = len(text) - len(behind) if text.endswith(behind) else -1
    else:
        following = turns[skeleton.turns[number + 1]]
        next_forms = ("",) if following.role == "assistant" else forms(following.content)
        needles = [closing + skeleton.before[number + 1] + form for form in next_forms]
        end = next((found for needle in needles if (found := text.find(needle, start)) >= 0), -1)
    return end if end >= start and resembles(text[start:end], content) else None
