"""Facts and where they stand: scattered in filler, or one after the other until the context is full.

Depth is measured over the body of a context, without the instruction before it: the place where a fact begins
divided by the body's length, so that it lies in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.data.recall import Question, RecallContext, split_answer
from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ropewalk.data.recall import Encode, Filler, Tokens

EMPTY = np.zeros(0, dtype=np.int64)
# The room for an answer is a multiple of this, so that contexts of one length mostly share forwards.
ROOM_STEP = 8


@dataclass(frozen=True)
class Fact:
    """A statement and the question that it answers.

    Attributes:
        statement: Tokens as they stand in the context.
        prompt: Tokens of the question, up to the answer.
        answer: Tokens of the expected answer.
        answer_text: The answer as text.
    """

    statement: Tokens
    prompt: Tokens
    answer: Tokens
    answer_text: str

    def question(self, *, depth: float, position: int, chance: float) -> Question:
        return Question(self.prompt, self.answer, depth, position, self.answer_text, chance=chance)


@dataclass(frozen=True)
class Placed:
    """A context and where its facts begin.

    Attributes:
        context: `[tokens]`.
        facts: In order.
        starts: Index of each fact's first token.
        body: Index of the first token after the instruction.
        end: Index after the last token of the body.
    """

    context: Tokens
    facts: tuple[Fact, ...]
    starts: tuple[int, ...]
    body: int
    end: int

    def depth(self, index: int) -> float:
        """Of the fact with that index, in [0, 1)."""
        return (self.starts[index] - self.body) / (self.end - self.body)

    def ask(self, chosen: Iterable[int]) -> RecallContext:
        """The context with questions about the chosen facts; blind picking takes one of all its facts."""
        questions = tuple(
            self.facts[i].question(
                depth=self.depth(i),
                position=self.starts[i] + len(self.facts[i].statement),
                chance=1 / len(self.facts),
            )
            for i in chosen
        )
        return RecallContext(self.context, questions)

    def one_in_each_part(self, rng: np.random.Generator, parts: int) -> list[int]:
        """Index of one fact in each of `parts` equal parts of the body, at random where a part has several.

        Raises:
            OptionError: A part has none.
        """
        found: dict[int, list[int]] = {part: [] for part in range(parts)}
        for index in range(len(self.facts)):
            found[part_of(self.depth(index), parts)].append(index)
        if not all(found.values()):
            raise OptionError(
                f"a context must hold a fact in each of its {parts} parts, because one question goes to each; "
                f"the {len(self.facts)} facts that fit leave some empty. Measure longer lengths, ask for fewer "
                "parts, or leave this task out."
            )
        return [int(rng.choice(indices)) for indices in found.values()]


def part_of(depth: float, parts: int = 10) -> int:
    """Which of `parts` equal parts a depth lies in, 0 to `parts` - 1; a depth of 1 lies in the last one."""
    return min(parts - 1, int(depth * parts + 1e-9))


def simple_fact(encode: Encode, statement: str, question: str, answer: str, *, answer_text: str | None = None) -> Fact:
    """A fact from texts; `answer` with the blank or sign before it, `answer_text` without (by default stripped)."""
    prompt, tokens = split_answer(encode, question, answer)
    return Fact(encode(statement), prompt, tokens, answer.strip() if answer_text is None else answer_text)


def scattered(
    facts: Sequence[Fact], filler: Filler, rng: np.random.Generator, *, header: Tokens, size: int, parts: int
) -> Placed:
    """Facts in filler, spread evenly over `parts` parts and at random places within each.

    A fact lies wholly within its part. A part with several facts is divided evenly among them.

    Args:
        facts: At least `parts`.
        filler: Stands everywhere else.
        rng: For the places, and for the filler.
        header: Instruction before the body.
        size: Tokens of the whole context.
        parts: Equal parts of the body, each of which holds the same number of facts or one more.

    Raises:
        OptionError: The facts do not fit.
    """
    if not 0 < parts <= len(facts):
        raise OptionError(
            f"each part of a context holds a fact, so there are from 1 to {len(facts)} parts; got {parts}."
        )
    body = size - len(header)
    bounds = _slots(body, len(facts), parts)
    widest = max(len(fact.statement) for fact in facts)
    missing = max(len(f.statement) - (b - a) for f, (a, b) in zip(facts, bounds, strict=True))
    if missing > 0:
        raise OptionError(
            f"{len(facts)} facts of up to {widest} tokens, each in its own part of a context, need about "
            f"{(widest + 1) * parts * -(-len(facts) // parts):,} tokens after an instruction of {len(header)}; got "
            f"{max(0, body):,}. Measure longer lengths, ask for fewer facts, or leave this task out."
        )
    pieces, starts, place = [header], [], 0
    for fact, (low, high) in zip(facts, bounds, strict=True):
        start = int(rng.integers(low, high - len(fact.statement) + 1))
        pieces += [filler(rng, start - place), fact.statement]
        starts.append(len(header) + start)
        place = start + len(fact.statement)
    context = np.concatenate([*pieces, filler(rng, body - place)])
    return Placed(context, tuple(facts), tuple(starts), len(header), size)


def lined_up(facts: Sequence[Fact], *, header: Tokens, footer: Tokens = EMPTY) -> Placed:
    """Facts one after the other, without filler."""
    sizes = [len(fact.statement) for fact in facts]
    starts = (len(header) + np.cumsum([0, *sizes])).tolist()
    context = np.concatenate([header, *(fact.statement for fact in facts), footer])
    return Placed(context, tuple(facts), tuple(starts[:-1]), len(header), starts[-1])


def as_many_as_fit(
    draw: Callable[[], Fact], room: Callable[[Fact], int], *, length: int, fixed: int, least: int = 2
) -> list[Fact]:
    """Facts from `draw` while they, and the longest room for a question about one of them, fit.

    Args:
        draw: Gives the next fact.
        room: Tokens of the question about a fact, and of its answer.
        length: Tokens of everything.
        fixed: Tokens of what stands there anyway.
        least: Facts without which there is nothing to find.

    Raises:
        OptionError: Fewer than `least` fit.
    """
    facts: list[Fact] = []
    used = widest = 0
    while True:
        fact = draw()
        widest = max(widest, room(fact))
        size = len(fact.statement)
        if fixed + used + size + widest > length:
            break
        used += size
        facts.append(fact)
    if len(facts) < least:
        missing = (least - len(facts)) * size
        raise too_short(f"a context of at least {least} facts", fixed + used + missing + widest, length)
    return facts


def largest(fits: Callable[[int], bool]) -> int:
    """The largest number from 0 on that fits, where nothing fits above one that does not; -1 if 0 does not."""
    if not fits(0):
        return -1
    low, high = 0, 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def too_short(what: str, needed: int, length: int) -> OptionError:
    """The error for a length into which a task does not fit."""
    return OptionError(
        f"{what} needs at least {needed:,} tokens; got {length:,}. Measure longer lengths, or leave this task out."
    )


def _slots(body: int, facts: int, parts: int) -> list[tuple[int, int]]:
    """From and to, in tokens of the body, where each fact may stand."""
    inside = np.bincount(np.arange(facts) * parts // facts, minlength=parts)
    edges = [
        ((part + i / count) / parts, (part + (i + 1) / count) / parts)
        for part, count in enumerate(inside)
        for i in range(count)
    ]
    # Rounded up at both ends, so that a start is never in the part before.
    return [(int(np.ceil(a * body - 1e-9)), int(np.ceil(b * body - 1e-9))) for a, b in edges]
