"""Training windows of synthetic recall: pass keys, key-value records and streams, and repeats from far back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ropewalk.data import recall

if TYPE_CHECKING:
    from ropewalk.rope import Integers

RECORD_TOKENS = 8  # a record and its line break in the built-in tokenizer; others may need more, see `_key_value`


class RecallWindows:
    """Draws windows of exactly `window` tokens; only answers are supervised.

    Attributes:
        window: Tokens in a window.
        shortest_passkey: Passkey prompts are uniform between this and the window.
        repeat_share: Share of windows whose end repeats a chunk from anywhere before.
        fewest_asked: Questions about the records of a window, at least.
        ends: Share of pass keys and of first questions at an end of the context, where a uniform draw seldom falls.
        again: Share of questions and records that come a second time at once: the nearest fact, rare among others.
    """

    def __init__(
        self,
        encode: recall.Encode,
        text: Integers,
        window: int,
        *,
        shortest_passkey: int,
        repeat_share: float = 0.0,
        fewest_asked: int = 4,
        ends: float = 0.0,
        again: float = 0.0,
    ) -> None:
        """Prepares fillers: the repeated sentence (twice as likely), slices of `text`, and random words."""
        self.encode, self.window, self.shortest_passkey = encode, window, shortest_passkey
        self.text, self.repeat_share = text, repeat_share
        self.fewest_asked, self.ends, self.again = fewest_asked, ends, again
        self.newline = encode("\n")
        grass = recall.GrassFiller(encode(recall.GRASS))
        words = recall.WordFiller(tuple(encode(f" {word}") for word in recall.WORDS))
        self.fillers: list[recall.Filler] = [grass, grass, recall.TextFiller(text), words]

    def draw(self, rng: np.random.Generator) -> tuple[Integers, Integers]:
        """Tokens, and the evidence of each: the place in the window that tells it.

        Returns:
            Two arrays `[window]`. What is supervised has evidence, and nothing else: all other tokens have `NOWHERE`.
        """
        if self.repeat_share and rng.random() < self.repeat_share:
            return self._repeat(rng)
        kind = rng.random()
        if kind < 0.35:
            tokens, evidence = self._passkey(rng)
        elif kind < 0.7:
            tokens, evidence = self._key_value(rng)
        else:
            keys = int(rng.integers(2, max(3, self.window // 12)))
            tokens, evidence = recall.key_value_stream(
                self.encode, rng, length=self.window, keys=min(keys, len(recall.WORDS)), again=self.again
            )
        tokens, evidence = tokens[: self.window], evidence[: self.window]
        padding = self.window - len(tokens)
        return (
            np.concatenate([tokens, np.resize(self.newline, padding)]),
            np.concatenate([evidence, np.full(padding, recall.NOWHERE)]),
        )

    def _passkey(self, rng: np.random.Generator) -> tuple[Integers, Integers]:
        task = recall.passkey(
            self.encode,
            self.fillers[rng.integers(len(self.fillers))],
            rng,
            length=int(rng.integers(self.shortest_passkey, self.window)),
            depth=float(rng.integers(2)) if rng.random() < self.ends else rng.random(),
            digits=int(rng.choice([1, 2, 3, 4, 5, 5, 5])),
            task_line=bool(rng.random() < 0.5),
        )
        return recall.training_window(task, task.questions, self.newline)

    def _key_value(self, rng: np.random.Generator) -> tuple[Integers, Integers]:
        asked = int(rng.integers(self.fewest_asked, 13))
        most = (self.window - RECORD_TOKENS * asked) // RECORD_TOKENS
        task = recall.key_value(
            self.encode,
            self.fillers[rng.integers(len(self.fillers))],
            rng,
            length=self.window - 1 - RECORD_TOKENS * (asked - 1),
            keys=int(rng.integers(4, min(16, most) + 1)),
        )
        order = list(rng.permutation(len(task.questions)))
        if rng.random() < self.ends:
            end = int(rng.choice([0, len(order) - 1]))
            order.insert(0, order.pop(order.index(end)))
        chosen = [i for i in order for _ in range(2 if rng.random() < self.again else 1)]
        return recall.training_window(task, [task.questions[i] for i in chosen[:asked]], self.newline)

    def _repeat(self, rng: np.random.Generator) -> tuple[Integers, Integers]:
        """Text, a chunk, text, the chunk again. The chunk is of single tokens of the text in random order.

        Real text would not do: a model that has read it before repeats it from memory, not from the window.
        """
        size = int(rng.integers(self.window // 16, self.window // 8 + 1))
        chunk = rng.choice(self.text, size=size)
        filler = recall.TextFiller(self.text)(rng, self.window - 2 * size)
        before = int(rng.integers(0, len(filler) + 1))
        tokens = np.concatenate([filler[:before], chunk, filler[before:], chunk])
        evidence = np.full(self.window, recall.NOWHERE)
        evidence[self.window - size + 1 :] = before + np.arange(1, size)  # its first token comes unannounced
        return tokens, evidence
