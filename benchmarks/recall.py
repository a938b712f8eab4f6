"""Lines 6 and 7: pass keys one by one, needles at many depths and lengths, many keys in one context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import peers
from shapes import DIGITS, FIRST_WORD, document, scaled, word_tokenizer
from side_by_side import Line, by_turns

from ropewalk.data.facts import Fact
from ropewalk.data.recall import RecallContext
from ropewalk.evals.retrieval import answer_all
from ropewalk.evals.shared_prefix import answer_grid, grid_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shapes import Shape

    from ropewalk.evals.retrieval import Answer

    Cells = Mapping[tuple[int, int], Answer]

# After the token `4` the model writes 56789 and a word; after a word it writes words.
ASKS, WANDERS = DIGITS["4"], FIRST_WORD
RIGHT, WRONG = "56789", "98765"
QUESTION = 16


def fact(rng: np.random.Generator, *, last: int = ASKS, key: str = RIGHT, statement: int = 24) -> Fact:
    """A statement that holds the key, and a question whose last token decides what is answered."""
    answer = np.asarray([DIGITS[digit] for digit in key])
    words = rng.integers(FIRST_WORD, 4000, size=statement + QUESTION)
    return Fact(
        np.concatenate([words[: statement - len(answer)], answer]), np.append(words[-QUESTION + 1 :], last), answer, key
    )


def passkey(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    """One key of two is right. Against both ways of generating, and where the answer has no number in ten tokens."""
    (length,) = scaled(shape, 768)
    for number, cached, last, what, target in (
        ("6", False, ASKS, "a number comes", 9.5),
        ("6c", True, ASKS, "a number comes", 2.5),
        ("6w", False, WANDERS, "no number in ten tokens", None),
    ):
        rng = np.random.default_rng(0)
        facts = [fact(rng, last=last), fact(rng, last=last, key=WRONG)]
        contexts = [grid_cell(document(shape, length, seed), f, length // 3, length) for seed, f in enumerate(facts)]
        yield answers_line(
            model,
            shape,
            repeats,
            contexts,
            cached=cached,
            number=number,
            name=f"passkey verdict, {what}",
            workload=f"prompts of {length:,} tokens, ten new tokens",
            time_target=target,
        )


def many_keys(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    """11 keys at even depths of one context, at 4 lengths; the peer reads a prompt for each of the 44 questions."""
    del repeats  # the peer is slow and the ratio far from 1
    lengths = list(shape.key_prompts)
    rng, depths = np.random.default_rng(0), 11
    kinds = [(ASKS, RIGHT), (ASKS, WRONG), (ASKS, RIGHT), (WANDERS, RIGHT)]
    contexts = []
    for seed, length in enumerate(lengths):
        facts = [fact(rng, last=kinds[i % 4][0], key=kinds[i % 4][1], statement=8) for i in range(depths)]
        contexts.append(spread(facts, document(shape, length - QUESTION - 5, seed)))
    yield answers_line(
        model,
        shape,
        1,
        contexts,
        cached=False,
        number="7k",
        name=f"{depths} keys x {len(lengths)} lengths, one reading for each length",
        workload=f"prompts of {lengths} tokens, ten new tokens",
        time_target=10.0,
    )


def spread(facts: Sequence[Fact], haystack: np.ndarray[Any, Any]) -> RecallContext:
    """Facts written over the haystack at even depths, the first at its start and the last at its end."""
    context, questions = haystack.copy(), []
    size = len(facts[0].statement)
    for f, start in zip(facts, np.linspace(0, len(haystack) - size, len(facts)).astype(int), strict=True):
        context[start : start + size] = f.statement
        depth = float(start) / len(haystack)
        questions.append(f.question(depth=depth, position=int(start) + size, chance=1 / len(facts)))
    return RecallContext(context, tuple(questions))


def answers_line(
    model: Any,
    shape: Shape,
    repeats: int,
    contexts: Sequence[RecallContext],
    *,
    cached: bool,
    number: str,
    name: str,
    workload: str,
    time_target: float | None,
) -> Line:
    tokenizer = word_tokenizer(shape)
    agreement, cost, other = by_turns(
        lambda: [answer for row in answer_all(model, tokenizer, contexts) for answer in row],
        lambda: peers.generated_answers(model, tokenizer, contexts, use_cache=cached),
        same_answers,
        repeats=repeats,
    )
    prompts = [len(c.context) + len(q.prompt) for c in contexts for q in c.questions]
    new = [(size, 9) for size in prompts] if cached else [(0, size + i) for size in prompts for i in range(1, 10)]
    ours = [(0, len(c.context)) for c in contexts]
    ours += [(len(c.context), len(q.prompt) + len(q.answer)) for c in contexts for q in c.questions]
    answers = sum(len(q.answer) + len(q.prompt) for c in contexts for q in c.questions)
    theirs = shape.arithmetic([*((0, size) for size in prompts), *new], 10 * len(prompts))
    return Line(
        number=number,
        name=name,
        peer="YaRN: generate, cache" if cached else "PoSE, LongRoPE: generate, no cache",
        shape=shape.name,
        workload=workload,
        agreement=agreement,
        ours=cost,
        theirs=other,
        time_limit=theirs / shape.arithmetic(ours, answers),
        time_target=time_target,
    )


def same_answers(answers: Sequence[Answer], generated: Sequence[tuple[bool, list[int]]]) -> str:
    """The verdict of every question, and the text that it was reached from."""
    for answer, (right, tokens) in zip(answers, generated, strict=True):
        if answer.correct is not right or tokens[: len(answer.tokens)] != answer.tokens:
            raise AssertionError(f"verdict {answer.correct} from {answer.tokens}; generate: {right} from {tokens}")
    return f"{len(answers)} verdicts and texts the same, {sum(right for right, _ in generated)} right"


def relative_grid(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    """Depths from 0 to 1: only the text before a needle is shared."""
    (length,) = scaled(shape, 1024)
    depths = np.linspace(0, 1, 11)
    yield grid_line(
        model,
        shape,
        repeats,
        [([round(depth * (length - 48)) for depth in depths], [length])],
        number="7",
        name=f"needle grid, {len(depths)} depths of a length",
        time_target=1.7,
    )


def lattice(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    """Positions and lengths on one grid: the text after a needle serves every length."""
    (longest,) = scaled(shape, 1024)
    lengths = [longest * k // 4 for k in range(1, 5)]
    positions = [longest * k // 8 for k in range(8)]
    yield grid_line(
        model,
        shape,
        repeats,
        [(positions, lengths)],
        number="7l",
        name="needle grid, positions on a lattice",
        time_target=2.5,
    )


def grid_line(
    model: Any,
    shape: Shape,
    repeats: int,
    grids: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    number: str,
    name: str,
    time_target: float,
) -> Line:
    """The needle at (positions) x (lengths) of each grid, against one teacher-forced forward for each cell.

    A number at once is what teacher forcing decides. Random weights never write it, but what they write first depends
    on the whole cell, and that is compared.
    """
    needle, tokenizer = fact(np.random.default_rng(0)), word_tokenizer(shape)
    haystack = document(shape, max(length for _, lengths in grids for length in lengths))

    def ours() -> list[Cells]:
        return [
            answer_grid(model, tokenizer, haystack, needle, positions=p, lengths=n, scoring="number-at-once")
            for p, n in grids
        ]

    contexts = {cell: grid_cell(haystack, needle, *cell) for found in ours() for cell in found}
    agreement, cost, other = by_turns(
        ours,
        lambda: dict(zip(contexts, peers.forced_answers(model, list(contexts.values())), strict=True)),
        same_verdicts,
        repeats=repeats,
    )
    tail = len(needle.prompt) + len(needle.answer)
    each = shape.arithmetic([(0, length) for _, length in contexts], sum(length for _, length in contexts))
    return Line(
        number=number,
        name=name,
        peer="EasyContext: teacher-forced, each cell",
        shape=shape.name,
        workload=f"{len(contexts)} cells to {len(haystack):,} tokens",
        agreement=agreement,
        ours=cost,
        theirs=other,
        time_limit=each / shape.arithmetic(list(shared_rows(grids, set(contexts), tail)), tail * len(contexts)),
        time_target=time_target,
    )


def shared_rows(
    grids: Sequence[tuple[Sequence[int], Sequence[int]]], cells: set[tuple[int, int]], tail: int
) -> Iterator[tuple[int, int]]:
    """What sharing must read: (tokens before, tokens read)."""
    for positions, lengths in grids:
        chains = {p: [length for length in lengths if (p, length) in cells] for p in positions}
        chains = {position: reached for position, reached in chains.items() if reached}
        yield 0, max(chains)
        for position, reached in chains.items():
            yield position, max(reached) - tail - position
            yield from ((length - tail, tail) for length in reached)


def same_verdicts(found: Sequence[Cells], forced: Mapping[tuple[int, int], tuple[bool, list[int]]]) -> str:
    """The verdict of every cell, and the token that the model writes first there."""
    verdicts = {cell: (answer.correct, answer.tokens[0]) for cells in found for cell, answer in cells.items()}
    reference = {cell: (right, written[0]) for cell, (right, written) in forced.items()}
    if verdicts != reference:
        raise AssertionError(f"verdicts differ at {sorted(c for c in forced if verdicts.get(c) != reference[c])}")
    different = len({token for _, token in verdicts.values()})
    return f"verdicts and first tokens of {len(forced)} cells the same, {different} different tokens"
