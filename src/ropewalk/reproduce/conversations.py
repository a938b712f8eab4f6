"""Conversations that are made from a seed, in the place of ShareGPT: a user tells facts, shares text, and asks.

What is asked was told in an earlier turn, so an answer can be right only by reading back. Long windows make long
conversations: exchanges are added while they fit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ropewalk.data.chat import ChatEncoder
from ropewalk.data.conversations import Turn
from ropewalk.data.corpus import standard_library
from ropewalk.data.recall import WORDS
from ropewalk.evals.store import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Exchange = tuple[Turn, Turn]

_KEY = 0xC4A7  # keeps this draw apart from all others
KINDS = {"tell": 0.35, "ask": 0.45, "share": 0.2}
SHORTEST_SHARE = 40  # characters


@dataclass(frozen=True)
class ConversationSet:
    """A number of conversations, each of at most one window in the chat template of the model.

    Attributes:
        count: Conversations.
        window: Tokens that none of them exceeds.
        seed: Which are drawn.
        learns: `answers`, with the marks that end them, as chat models do; or `everything`, as one text.
    """

    count: int
    window: int
    seed: int
    learns: Literal["answers", "everything"] = "answers"

    @property
    def name(self) -> str:
        """Of the file."""
        return f"conversations-{self.count}x{self.window}-seed-{self.seed}-{self.learns}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the conversations as JSON Lines, and returns the file.

        The key is `messages` where answers are learned, and `text` where everything is.

        Raises:
            DataError: The tokenizer has no chat template that can be used.
            OutputError: The folder cannot be written.
        """
        encoder = ChatEncoder(tokenizer)
        write_text(
            folder / self.name, "".join(json.dumps(self._entry(turns, encoder)) + "\n" for turns in self.draw(encoder))
        )
        return folder / self.name

    def draw(self, encoder: ChatEncoder) -> list[tuple[Turn, ...]]:
        """The conversations, each with a question at its end."""
        texts = tuple(standard_library(held_out=False).documents.values())
        return [
            _conversation(np.random.default_rng((self.seed, _KEY, number)), encoder, texts, self.window)
            for number in range(self.count)
        ]

    def _entry(self, turns: Sequence[Turn], encoder: ChatEncoder) -> dict[str, Any]:
        if self.learns == "everything":
            return {"text": encoder.written(turns).text}
        return {"messages": [{"role": turn.role, "content": turn.content} for turn in turns]}


def _conversation(
    rng: np.random.Generator, encoder: ChatEncoder, texts: Sequence[str], window: int
) -> tuple[Turn, ...]:
    """Exchanges while they fit; those after the last question are left out, and so is a draw without any question."""
    while True:
        facts: dict[str, str] = {}
        exchanges: list[Exchange] = []
        last = used = 0
        while True:
            kind = str(rng.choice(list(KINDS), p=list(KINDS.values()))) if facts else "tell"
            exchange = _exchange(kind, rng, facts, texts, window)
            # The first of an exchange's tokens may mark a beginning; counted each time, the sum is never too small.
            used += len(encoder.encode(exchange).tokens)
            if used > window:
                break
            exchanges.append(exchange)
            if kind == "ask":
                last = len(exchanges)
        if last:
            return tuple(turn for exchange in exchanges[:last] for turn in exchange)


def _exchange(
    kind: str, rng: np.random.Generator, facts: dict[str, str], texts: Sequence[str], window: int
) -> Exchange:
    """A question of the user's with its answer; what is told is added to the facts."""
    if kind == "ask":
        word = str(rng.choice(list(facts)))
        return Turn("user", f"What is {word}?"), Turn("assistant", f"{word} is {facts[word]}.")
    unused = [word for word in WORDS if word not in facts]
    if kind == "share" or not unused:
        shared = _stretch(rng, texts, int(rng.integers(SHORTEST_SHARE, max(2 * SHORTEST_SHARE, window // 2) + 1)))
        return Turn("user", f"Read this:\n{shared}"), Turn("assistant", "I have read it.")
    word, value = str(rng.choice(unused)), str(int(rng.integers(1000, 10_000)))
    facts[word] = value
    return Turn("user", f"Remember that {word} is {value}."), Turn("assistant", f"I will remember {word}.")


def _stretch(rng: np.random.Generator, texts: Sequence[str], characters: int) -> str:
    """About so many characters of a module, from the beginning of a word on."""
    text = texts[int(rng.integers(len(texts)))]
    start = int(rng.integers(max(1, len(text) - 2 * characters)))
    words = text[start : start + 2 * characters].split(" ")[1:]
    return " ".join(words)[:characters].strip() or text[:characters].strip()
