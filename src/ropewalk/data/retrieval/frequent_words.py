"""RULER's fwe: the three most frequent of made-up words whose frequencies follow a zeta law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.data.facts import largest, too_short
from ropewalk.data.recall import Question, RecallContext, split_answer
from ropewalk.data.retrieval_task import WholeContext, register
from ropewalk.data.ruler import RULER
from ropewalk.data.words import coded_words
from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from ropewalk.data.recall import Encode
    from ropewalk.data.retrieval_task import Scoring

TEXT = (
    "Read the following coded text and track the frequency of each coded word. "
    "Find the three most frequently appeared coded words. {words}\n"
)
QUESTION = (
    "Question: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently "
    "appeared words in the above coded text? "
    "Answer: According to the coded text above, the three most frequently appeared words are:"
)
DOTS = "..."
ASKED = 3
RIVALS = 3  # at least so many other words, because otherwise there is nothing to choose from
LETTERS = 6
TOKENS_PER_WORD = 50  # upstream's size of the vocabulary: a word for each so many tokens of the length


@register("frequent-words")
@dataclass(frozen=True)
class FrequentWords(WholeContext):
    """Rank 1 is dots, which do not count; ranks 2 to 4 are asked for.

    Rank r stands floor(n r^-alpha / zeta(alpha)) times in n words. Where a short text gives lower ranks as many places
    as rank 4, they are left out, because the question would have no answer.
    """

    source = RULER
    scoring: ClassVar[Scoring] = "all-references"
    blind = "the words of the context, three of them"
    reserves = True

    new_tokens: int = 50
    alpha: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha > 1:
            raise OptionError(
                f"alpha must be above 1, because the zeta law has no mean below; got {self.alpha}. RULER takes 2."
            )

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int) -> RecallContext:
        vocabulary = [DOTS, *coded_words(rng, max(ASKED + RIVALS, length // TOKENS_PER_WORD - 1), LETTERS)]
        asked = tuple(vocabulary[1 : ASKED + 1])
        prompt, answer = split_answer(encode, QUESTION, " " + " ".join(asked))
        size = length - len(prompt) - max(len(answer), self.new_tokens)
        order = rng.random(length)  # a text has fewer words than tokens

        def text(number: int) -> str:
            counts = word_counts(number, len(vocabulary), self.alpha)
            words = np.repeat(np.asarray(vocabulary), counts)
            return TEXT.format(words=" ".join(words[np.argsort(order[: len(words)], kind="stable")]))

        least = _least_words(self.alpha)
        more = largest(lambda extra: least + extra <= length and len(encode(text(least + extra))) <= size)
        if more < 0:
            raise too_short(f"the task '{self.name}'", length - size + len(encode(text(least))), length)
        context = encode(text(least + more))
        different = int((word_counts(least + more, len(vocabulary), self.alpha)[1:] > 0).sum())
        question = Question(prompt, answer, None, len(context), " ".join(asked), asked, chance=ASKED / different)
        return RecallContext(context, (question,))


def word_counts(number: int, vocabulary: int, alpha: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How often each rank stands in a text of about `number` words, `[vocabulary]`."""
    ranks = np.arange(1, vocabulary + 1)
    counts: np.ndarray[tuple[int], np.dtype[np.int64]]
    counts = np.floor(number * ranks**-alpha / _zeta(alpha)).astype(np.int64)
    rivals = np.arange(vocabulary) > ASKED
    counts[rivals & (counts >= counts[ASKED])] = 0
    return counts


def _least_words(alpha: float) -> int:
    """Words from which on there are rivals, and none of them as frequent as the last word that is asked for."""
    ranks = ASKED + RIVALS + 1
    number = int(np.ceil(_zeta(alpha) * ranks**alpha))
    while (word_counts(number, ranks, alpha)[1:] > 0).sum() < ASKED + RIVALS:
        number += 1
    return number


def _zeta(alpha: float, terms: int = 10_000) -> float:
    """Riemann's zeta function: a sum, and the integral over what it leaves out, good to 1e-8 at alpha = 2."""
    ranks = np.arange(1, terms + 1, dtype=np.float64)
    return float((ranks**-alpha).sum() + (terms + 0.5) ** (1 - alpha) / (alpha - 1))
