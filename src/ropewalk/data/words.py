"""Words, pairs of words, made-up words and UUIDs, drawn from a generator: nothing is downloaded."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ropewalk.data.recall import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

CONSONANTS = "bdfgklmnprstvz"
VOWELS = "aeiou"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYLLABLES = 4  # 70 to the fourth: 24 million made-up words


def word_list(rng: np.random.Generator, count: int) -> list[str]:
    """`count` different words: real ones first, then made-up ones when they have run out.

    RULER draws from a list of a few thousand English words and changes to a longer one beyond that.
    """
    words = [WORDS[i] for i in rng.permutation(len(WORDS))[:count]]
    known = set(words)
    while len(words) < count:
        word = _made_up(rng)
        if word not in known:
            known.add(word)
            words.append(word)
    return words


def word_pairs(rng: np.random.Generator) -> Iterator[str]:
    """Pairs such as `amber-falcon`, none twice.

    Raises:
        ValueError: All pairs are used up.
    """
    for number in rng.permutation(len(WORDS) ** 2):
        first, second = divmod(int(number), len(WORDS))
        yield f"{WORDS[first]}-{WORDS[second]}"
    raise ValueError(f"there are {len(WORDS) ** 2:,} different pairs of words, which are used up")


def coded_words(rng: np.random.Generator, count: int, letters: int) -> list[str]:
    """`count` different strings of `letters` random lower-case letters."""
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), size=letters))] = None
    return list(words)


def random_uuid(rng: np.random.Generator) -> str:
    """A version 4 UUID."""
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def _made_up(rng: np.random.Generator) -> str:
    consonants = rng.integers(0, len(CONSONANTS), size=SYLLABLES)
    vowels = rng.integers(0, len(VOWELS), size=SYLLABLES)
    return "".join(CONSONANTS[c] + VOWELS[v] for c, v in zip(consonants, vowels, strict=True))
