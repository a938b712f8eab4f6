"""Long conversations with something to recall, made from a seed, in the place of ShareGPT's.

In each exchange the user pastes text, states records `word=number` in it, and asks for one that was stated, just now
or long ago; the answer is the record. So every answer stands in the conversation and nowhere else, and a loss on
answers alone (as in Entropy-ABF, arXiv:2401.07004, section 4.1) teaches recall and nothing about the text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.chat import ChatEncoder
from ropewalk.data.conversations import Turn
from ropewalk.data.corpus import standard_library
from ropewalk.data.facts import largest
from ropewalk.data.recall import RECORD, WORDS
from ropewalk.errors import DataError
from ropewalk.evals.store import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KEY = 0xC4A8  # keeps this draw apart from all others
EXCHANGE_TOKENS = 128
RECORDS = 2  # stated in each exchange
QUESTION = "What is {word}?"


@dataclass(frozen=True)
class Conversation:
    """Turns, and what was stated in them.

    Attributes:
        turns: A question first, an answer last.
        records: Word and number of each record, in the order in which they were stated.
    """

    turns: tuple[Turn, ...]
    records: tuple[tuple[str, str], ...]


def conversation(chat: ChatEncoder, texts: Sequence[str], rng: np.random.Generator, *, length: int) -> Conversation:
    """A conversation of at most `length` tokens, as the chat template writes it, and of few less.

    Args:
        chat: Writes it.
        texts: What the user pastes from.
        rng: Every draw comes from it.
        length: Tokens.

    Raises:
        DataError: The length does not hold one exchange.
    """
    exchanges = max(1, round(length / EXCHANGE_TOKENS))
    words = [WORDS[index] for index in rng.permutation(len(WORDS))[: RECORDS * exchanges]]
    records = tuple((word, str(int(rng.integers(1000, 10000)))) for word in words)
    asked = [records[int(rng.integers(0, RECORDS * (number + 1)))] for number in range(exchanges)]
    places = rng.random((exchanges, RECORDS, 2))

    def written(characters: int) -> tuple[Turn, ...]:
        """The turns with so many characters of text before each record."""
        turns = []
        for number, answer in enumerate(asked):
            stated = records[RECORDS * number : RECORDS * (number + 1)]
            pieces = [
                piece
                for place, each in zip(places[number], stated, strict=True)
                for piece in (_pasted(texts, place, characters), record(*each))
            ]
            question = QUESTION.format(word=answer[0])
            turns += [Turn("user", "\n".join([*pieces, question])), Turn("assistant", record(*answer))]
        return tuple(turns)

    size = largest(lambda characters: len(chat.encode(written(characters)).tokens) <= length)
    if size < 0:
        raise DataError(
            f"a conversation must hold at least one exchange, {len(chat.encode(written(0)).tokens)} tokens without any "
            f"text; got {length}. Make longer ones."
        )
    return Conversation(written(size), records)


def record(word: str, number: str) -> str:
    """A record as it is stated and answered."""
    return RECORD.format(word=word, value=number).rstrip("\n")


@dataclass(frozen=True)
class LongConversationSet:
    """A number of conversations whose text comes from the built-in training modules.

    Attributes:
        count: Conversations.
        window: Tokens in each, at most.
        seed: Which are drawn.
    """

    count: int
    window: int
    seed: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"long-conversations-{self.count}x{self.window}-seed-{self.seed}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the conversations as JSON Lines with the key `messages`, and returns the file.

        Raises:
            OutputError: The folder cannot be written.
        """
        lines = []
        for made in self.conversations(ChatEncoder(tokenizer)):
            messages = [{"role": turn.role, "content": turn.content} for turn in made.turns]
            lines.append(json.dumps({"messages": messages}) + "\n")
        write_text(folder / self.name, "".join(lines))
        return folder / self.name

    def conversations(self, chat: ChatEncoder) -> list[Conversation]:
        """The conversations, each from draws of its own."""
        texts = tuple(standard_library(held_out=False).documents.values())
        return [
            conversation(chat, texts, np.random.default_rng((self.seed, _KEY, number)), length=self.window)
            for number in range(self.count)
        ]


def _pasted(texts: Sequence[str], place: Sequence[float], characters: int) -> str:
    """So many characters, or fewer at an end, of a text: `place` says which and from where, 0 to 1."""
    text = texts[int(place[0] * len(texts))]
    start = int(place[1] * max(0, len(text) - characters))
    return text[start : start + characters].strip()
