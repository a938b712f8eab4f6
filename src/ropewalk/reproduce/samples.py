"""Training examples that a cell brings along: a fixed number of stretches of text, each one window long.

Entropy-ABF's 100 samples are conversations of at least 10,000 tokens. The built-in model knows no conversations, so in
its place stand stretches of the modules that it was trained on, every token of which is learned.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError
from ropewalk.evals.store import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_KEY = 0x5A3E  # keeps this draw apart from all others
BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class SampleSet:
    """A number of disjoint stretches of the built-in training modules.

    Attributes:
        count: Samples.
        window: Tokens in each.
        seed: Which stretches are drawn.
    """

    count: int
    window: int
    seed: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"stretches-{self.count}x{self.window}-seed-{self.seed}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the samples as JSON Lines with the key `text`, and returns the file.

        Raises:
            DataError: The modules do not hold so many stretches.
            OutputError: The folder cannot be written.
        """
        lines = [json.dumps({"text": text}) + "\n" for text in self.texts(tokenizer)]
        write_text(folder / self.name, "".join(lines))
        return folder / self.name

    def texts(self, tokenizer: Any) -> list[str]:
        """The samples as text; read again, each has `window` tokens or a few less, never more."""
        documents = _tokenised_modules(tokenizer)
        slots = [(n, start) for n, d in enumerate(documents) for start in range(0, len(d) - self.window, self.window)]
        if len(slots) < self.count:
            raise DataError(
                f"{self.count} samples of {self.window:,} tokens are to be drawn from the training modules; they hold "
                f"{len(slots)}. Take fewer samples, or shorter ones."
            )
        order = np.random.default_rng((self.seed, _KEY)).permutation(len(slots))
        found: list[str] = []
        for place in order:
            document, start = slots[int(place)]
            text = text_of(tokenizer, documents[document][start : start + self.window])
            if BROKEN not in text:
                found.append(text)
            if len(found) == self.count:
                break
        return found


@lru_cache(maxsize=1)  # two million tokens take seconds, and every seed draws from the same ones
def _tokenised_modules(tokenizer: Any) -> tuple[NDArray[np.int64], ...]:
    return tuple(
        np.asarray(tokenizer.encode(text, add_special_tokens=False, verbose=False), dtype=np.int64)
        for text in standard_library(held_out=False).documents.values()
    )


def text_of(tokenizer: Any, tokens: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """The text of tokens, without so many of the last ones that it has no more tokens when it is read again.

    A cut in the middle of a word can be read as other, and more, tokens.
    """
    for size in range(len(tokens), 0, -1):
        text = str(tokenizer.decode(tokens[:size], clean_up_tokenization_spaces=False))
        if len(tokenizer.encode(text, add_special_tokens=False, verbose=False)) <= len(tokens):
            return text
    return ""
