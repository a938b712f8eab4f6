"""RULER's cwe: the most common words of a numbered list, after one solved example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.data.facts import largest, too_short
from ropewalk.data.recall import Question, RecallContext, split_answer
from ropewalk.data.retrieval_task import WholeContext, register
from ropewalk.data.ruler import RULER
from ropewalk.data.words import word_list

if TYPE_CHECKING:
    from collections.abc import Sized

    from ropewalk.data.recall import Encode, Tokens
    from ropewalk.data.retrieval_task import Scoring

TEXT = (
    "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that "
    "appear most often.\n{list}\n"
)
QUESTION = (
    "Question: What are the {count} most common words in the above list? "
    "Answer: The top {count} words that appear most often in the list are:"
)


@dataclass(frozen=True)
class Mix:
    """How often words are repeated.

    Attributes:
        shortest: Tokens of context from which on the mix is used.
        common: Number of common words.
        repeats: Of a common word in the list and of another word.
        example_repeats: The same in the solved example.
        example_words: Different words in the example.
    """

    shortest: int
    common: int
    repeats: tuple[int, int]
    example_repeats: tuple[int, int]
    example_words: int


# The first two are upstream's; the others go below the length at which these leave no words to ask for.
MIXES = (
    Mix(4096, 10, (30, 3), (10, 3), 40),
    Mix(0, 10, (6, 1), (3, 1), 20),
    Mix(0, 5, (4, 1), (2, 1), 10),
    Mix(0, 3, (3, 1), (2, 1), 6),
)


@register("common-words")
@dataclass(frozen=True)
class CommonWords(WholeContext):
    """Ten words 30 times each among others three times each; six and once below 4,096 tokens, as upstream.

    Where even that does not fit, five words four times each or three words three times each among others. A list holds
    at least as many other words as common ones.
    """

    source = RULER
    scoring: ClassVar[Scoring] = "all-references"
    blind = "the different words of the list, as many as are asked for"
    reserves = True

    new_tokens: int = 120

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int) -> RecallContext:
        for mix in MIXES:
            if length >= mix.shortest and (context := self._mixed(encode, rng, length, mix)) is not None:
                return context
        least = self._parts(encode, rng, MIXES[-1], 2 * MIXES[-1].common)
        raise too_short(f"the task '{self.name}'", sum(map(len, least[:2])) + self._answer_room(least[2]), length)

    def _mixed(self, encode: Encode, rng: np.random.Generator, length: int, mix: Mix) -> RecallContext | None:
        """The longest list of a mix, or None if it would have too few words."""
        seed = int(rng.integers(2**63))

        def parts(more: int) -> tuple[Tokens, Tokens, Tokens, list[str]]:
            return self._parts(encode, np.random.default_rng(seed), mix, 2 * mix.common + more)

        def fits(more: int) -> bool:
            context, prompt, answer, _ = parts(more)
            return len(context) + len(prompt) + self._answer_room(answer) <= length

        more = largest(fits)
        if more < 0:
            return None
        count = 2 * mix.common + more
        context, prompt, answer, common = parts(more)
        question = Question(
            prompt, answer, None, len(context), " ".join(common), tuple(common), chance=mix.common / count
        )
        return RecallContext(context, (question,))

    def _answer_room(self, answer: Sized) -> int:
        return max(len(answer), self.new_tokens)

    def _parts(
        self, encode: Encode, rng: np.random.Generator, mix: Mix, count: int
    ) -> tuple[Tokens, Tokens, Tokens, list[str]]:
        """Context, question, answer, and the common words, with `count` different words in the list."""
        question = QUESTION.format(count=mix.common)
        shown, known = _numbered_list(rng, mix.example_words, mix.common, mix.example_repeats)
        listed, common = _numbered_list(rng, count, mix.common, mix.repeats)
        example = f"{TEXT.format(list=shown)}{question}{_numbered(known)}\n"
        prompt, answer = split_answer(encode, question, _numbered(common))
        return encode(example + TEXT.format(list=listed)), prompt, answer, common


def _numbered_list(
    rng: np.random.Generator, count: int, common: int, repeats: tuple[int, int]
) -> tuple[str, list[str]]:
    """The list as text, and its common words."""
    words = word_list(rng, count)
    entries = words[:common] * repeats[0] + words[common:] * repeats[1]
    shuffled = [entries[i] for i in rng.permutation(len(entries))]
    return _numbered(shuffled).strip(), words[:common]


def _numbered(words: list[str]) -> str:
    return "".join(f" {number}. {word}" for number, word in enumerate(words, start=1))
