"""Recall tasks made from a seed: passkey, key-value records, key-value streams.

Each task is a `RecallContext`: one context that holds facts, and questions about single facts. An evaluation reads
the context once and asks every question; a training window is the context followed by some of the questions. Pieces
are tokenised one by one, so that a length is a true number of tokens of the model's own tokenizer.

Landmark passkey prompt: Mohtashami & Jaggi (2023), arXiv:2305.16300, as PI, YaRN and PoSE use it.
Key-value records: after Liu et al. (2023), arXiv:2307.03172, and RULER's multi-key needle, with short keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]
    Places = np.ndarray[tuple[int], np.dtype[np.int64]]
    Encode = Callable[[str], Tokens]

TASK_LINE = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. "
    "I will quiz you about the important information there.\n"
)
GRASS = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
PASSKEY_FACT = "\nThe pass key is {key}. Remember it. {key} is the pass key.\n"
PASSKEY_QUESTION = "\nWhat is the pass key? The pass key is"

WORDS = (
    "acorn amber anchor apple apron arrow autumn badge baker bamboo barrel basket beacon berry birch bishop blanket "
    "bonnet bottle branch bridge bronze bucket butter button cabin cactus camel candle canyon carbon carpet castle "
    "cedar cellar chalk cherry circus clover cobalt coffee comet copper coral cotton cradle crayon cricket crystal "
    "curtain daisy desert diamond dolphin donkey dragon drum eagle earth echo elbow ember engine falcon feather "
    "fiddle finger forest fossil fountain galaxy garden garlic ginger glacier goblet granite guitar hammer harbor "
    "hazel helmet honey horizon island ivory jacket jasmine jewel jungle kettle kitten ladder lantern lemon lizard "
    "lobster magnet mango maple marble meadow melon mirror monkey morning mountain museum mustard napkin needle "
    "nickel nutmeg ocean olive onion orange orchid otter oyster paddle panda paper parrot pebble pencil pepper "
    "piano pigeon pillow planet plum pocket potato prairie pumpkin puzzle quartz rabbit raven ribbon river rocket "
    "saddle salmon sandal sapphire shadow shovel silver sparrow spider spoon spruce squirrel statue stone summer "
    "sunset tailor temple thimble thunder tiger timber tomato tulip tunnel turtle valley velvet violet violin "
    "walnut wagon whistle willow window winter wizard yellow zebra"
).split()
NOWHERE = -1  # the place of what tells a token that nothing tells
RECORD = "{word}={value}\n"
RECORD_QUESTION = "{word}="


@dataclass(frozen=True)
class Question:
    """One question about a context.

    Attributes:
        prompt: Tokens after the context, up to the answer.
        answer: Tokens of the expected answer.
        depth: Where the fact stands, 0 at the context's start, 1 at its end; None if the whole context is asked about.
        position: Index in the context of the first token after the fact; a context cut here or later still answers.
        answer_text: The answer as text, for a decoded comparison.
        references: What the answer is compared with, where that is not `answer_text` as a whole.
        chance: Expected score of somebody who picks blindly among the candidates that the task names.
    """

    prompt: Tokens
    answer: Tokens
    depth: float | None
    position: int
    answer_text: str
    references: tuple[str, ...] = ()
    chance: float = 0.0

    @property
    def expected(self) -> tuple[str, ...]:
        """The texts that a right answer contains."""
        return self.references or (self.answer_text,)


@dataclass(frozen=True)
class RecallContext:
    """A context and questions that it answers."""

    context: Tokens
    questions: tuple[Question, ...]

    @property
    def length(self) -> int:
        """Tokens that a model reads for the longest single question, answer included."""
        return len(self.context) + max(len(q.prompt) + len(q.answer) for q in self.questions)

    @property
    def chance(self) -> float:
        """Expected score of blind picking, mean over the questions: the baseline to print beside a score."""
        return float(np.mean([question.chance for question in self.questions]))


class Filler(Protocol):
    """Tokens without information, exactly as many as asked for."""

    def __call__(self, rng: np.random.Generator, tokens: int) -> Tokens: ...


@dataclass(frozen=True)
class GrassFiller:
    """The sentence that everyone repeats, cut at a token."""

    sentence: Tokens

    def __call__(self, rng: np.random.Generator, tokens: int) -> Tokens:
        del rng
        return np.resize(self.sentence, tokens)


@dataclass(frozen=True)
class TextFiller:
    """A slice of real text."""

    stream: Tokens

    def __call__(self, rng: np.random.Generator, tokens: int) -> Tokens:
        start = int(rng.integers(0, max(1, len(self.stream) - tokens)))
        return np.resize(self.stream[start : start + tokens], tokens)


@dataclass(frozen=True)
class WordFiller:
    """Words in random order."""

    words: tuple[Tokens, ...]

    def __call__(self, rng: np.random.Generator, tokens: int) -> Tokens:
        if tokens == 0:
            return np.zeros(0, dtype=np.int64)
        draws = rng.integers(0, len(self.words), size=tokens)
        return np.concatenate([self.words[i] for i in draws])[:tokens]


def split_answer(encode: Encode, question: str, answer: str) -> tuple[Tokens, Tokens]:
    """Tokens of the question and of the answer as they follow each other in running text.

    Tokenizers join a blank to the word after it; encoding both together finds the answer's true tokens. Where the
    joint tokens do not start with the question's own, the two are encoded apart.
    """
    head, joint = encode(question), encode(question + answer)
    if len(joint) > len(head) and np.array_equal(joint[: len(head)], head):
        return head, joint[len(head) :]
    return head, encode(answer)


def passkey(
    encode: Encode,
    filler: Filler,
    rng: np.random.Generator,
    *,
    length: int,
    depth: float,
    digits: int = 5,
    task_line: bool = True,
) -> RecallContext:
    """One pass key of `digits` digits at `depth`, in a prompt of exactly `length` tokens with the answer.

    Raises:
        ValueError: The length leaves no room for the fact and the question.
    """
    low = 0 if digits == 1 else 10 ** (digits - 1)
    key = str(int(rng.integers(low, 10**digits)))
    prompt, answer = split_answer(encode, PASSKEY_QUESTION, f" {key}")
    header = encode(TASK_LINE) if task_line else np.zeros(0, dtype=np.int64)
    fact = encode(PASSKEY_FACT.format(key=key))
    room = length - len(header) - len(fact) - len(prompt) - len(answer)
    if room < 0:
        raise ValueError(f"a passkey prompt needs at least {length - room} tokens; got {length}")
    before = round(depth * room)
    context = np.concatenate([header, filler(rng, before), fact, filler(rng, room - before)])
    position = len(header) + before + len(fact)
    question = Question(prompt, answer, depth, position, key, chance=1 / (10**digits - low))
    return RecallContext(context, (question,))


def key_value(
    encode: Encode,
    filler: Filler,
    rng: np.random.Generator,
    *,
    length: int,
    keys: int = 16,
    digits: int = 4,
    asked: int | None = None,
) -> RecallContext:
    """`keys` records `word=value` at even depths in filler; `asked` of them (all by default) become questions.

    Without filler in between (a short length) the records follow each other. The context leaves room for one
    question and its answer within `length` tokens.

    Raises:
        ValueError: The records do not fit.
    """
    words = [WORDS[i] for i in rng.permutation(len(WORDS))[:keys]]
    values = [str(int(v)) for v in rng.integers(10 ** (digits - 1), 10**digits, size=keys)]
    records = [encode(RECORD.format(word=w, value=v)) for w, v in zip(words, values, strict=True)]
    newline = encode("\n")
    pairs = [split_answer(encode, RECORD_QUESTION.format(word=w), v) for w, v in zip(words, values, strict=True)]
    tail = max(len(prompt) + len(answer) for prompt, answer in pairs) + len(newline)
    room = length - tail - sum(len(record) + len(newline) for record in records)
    if room < 0:
        raise ValueError(f"{keys} key-value records need at least {length - room} tokens; got {length}")
    cuts = np.linspace(0, room, keys + 1).round().astype(int)
    pieces: list[Tokens] = []
    ends = []
    size = 0
    for index, record in enumerate(records):
        gap = int(cuts[index + 1] - cuts[index])
        for piece in (filler(rng, gap), newline, record):
            pieces.append(piece)
            size += len(piece)
        ends.append(size)
    context = np.concatenate(pieces)
    chosen = range(keys) if asked is None else sorted(rng.permutation(keys)[:asked])
    questions = tuple(
        Question(
            np.concatenate([newline, pairs[i][0]]),
            pairs[i][1],
            ends[i] / max(1, len(context)),
            ends[i],
            values[i],
            chance=1 / keys,
        )
        for i in chosen
    )
    return RecallContext(context, questions)


def key_value_stream(
    encode: Encode, rng: np.random.Generator, *, length: int, keys: int, digits: int = 4, again: float = 0.0
) -> tuple[Tokens, Places]:
    """Records without end, drawn from `keys` words; a repeated word repeats its value.

    A record follows itself at once with probability `again`, above what the draw of words gives.

    Returns:
        Tokens, `[length]`, and the evidence of each, `[length]`: where the last earlier record ends that tells a
        repeated word's value and the line break after it, `NOWHERE` for all other tokens.
    """
    words = [WORDS[i] for i in rng.permutation(len(WORDS))[:keys]]
    values = [str(int(v)) for v in rng.integers(10 ** (digits - 1), 10**digits, size=keys)]
    pairs = [split_answer(encode, RECORD_QUESTION.format(word=w), v) for w, v in zip(words, values, strict=True)]
    newline = encode("\n")
    tokens: list[Tokens] = []
    evidence: list[Places] = []
    told: dict[int, int] = {}
    size, index = 0, 0
    while size < length:
        if not told or rng.random() >= again:
            index = int(rng.integers(0, keys))
        prompt, answer = pairs[index]
        tokens += [prompt, answer, newline]
        evidence += [
            np.full(len(prompt), NOWHERE),
            np.full(len(answer) + len(newline), told.get(index, NOWHERE)),
        ]
        size += len(prompt) + len(answer) + len(newline)
        told[index] = size - 1
    return np.concatenate(tokens)[:length], np.concatenate(evidence)[:length]


def training_window(task: RecallContext, questions: Sequence[Question], newline: Tokens) -> tuple[Tokens, Places]:
    """The context, then question and answer after question and answer.

    The line break after an answer counts as part of it: a model must learn where a number ends.

    Returns:
        Tokens, and the evidence of each: the place of the last token of the fact that tells an answer (of the answer
        before, where a question comes again), `NOWHERE` for tokens that are no answers.
    """
    tokens, evidence = [task.context], [np.full(len(task.context), NOWHERE)]
    size, told = len(task.context), {question.position: question.position - 1 for question in questions}
    for question in questions:
        answer = len(question.answer) + len(newline)
        tokens += [question.prompt, question.answer, newline]
        evidence += [np.full(len(question.prompt), NOWHERE), np.full(answer, told[question.position])]
        size += len(question.prompt) + answer
        told[question.position] = size - 1
    return np.concatenate(tokens), np.concatenate(evidence)
