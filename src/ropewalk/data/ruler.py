"""What RULER's tasks share: the source, the sentence of noise, and the needle tasks' wording.

Hsieh et al. (2024), arXiv:2404.06654, and the authors' released configuration. Written from the specification: the
words of the prompts are theirs, the generators ours. As there, a length includes the tokens to generate, needles and
sentences stand on lines of their own, and the beginning of the answer is part of the prompt, so that base models can
be scored. Where theirs draws keys from English adjectives and nouns, ours draws pairs of words from `recall.WORDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.data import words
from ropewalk.data.facts import Fact, as_many_as_fit, lined_up, simple_fact
from ropewalk.data.retrieval_task import ManyFacts, RetrievalTask
from ropewalk.register import Paper

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ropewalk.data.recall import Encode, RecallContext, Tokens
    from ropewalk.data.retrieval_task import Scoring

RULER = Paper(
    title="RULER: What's the Real Context Size of Your Long-Context Language Models?",
    authors="Cheng-Ping Hsieh, Simeng Sun, Samuel Kriman, Shantanu Acharya, Dima Rekesh, Fei Jia and Boris Ginsburg",
    year=2024,
    arxiv="2404.06654",
)
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

HEADER = (
    "A special magic {kind} is hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the {kind} afterwards.\n"
)
NEEDLE = "One of the special magic {kind}s for {key} is: {value}.\n"
QUESTION = (
    "What is the special magic {kind} for {key} mentioned in the provided text? "
    "The special magic {kind} for {key} mentioned in the provided text is"
)


@dataclass(frozen=True)
class NeedleTask(RetrievalTask):
    """A value under a key.

    Class attributes:
        kind: `number` (seven digits) or `uuid`.
        uuid_keys: Keys are UUIDs and not pairs of words.
    """

    source = RULER
    scoring: ClassVar[Scoring] = "all-references"
    reserves = True
    kind: ClassVar[str] = "number"
    uuid_keys: ClassVar[bool] = False

    new_tokens: int = 128

    def header(self, encode: Encode) -> Tokens:
        return encode(HEADER.format(kind=self.kind))

    def needles(self, encode: Encode, rng: np.random.Generator) -> Callable[[], Fact]:
        """Draws needles, no key twice."""
        pairs = words.word_pairs(rng)

        def needle() -> Fact:
            key = words.random_uuid(rng) if self.uuid_keys else next(pairs)
            value = words.random_uuid(rng) if self.kind == "uuid" else str(int(rng.integers(10**6, 10**7)))
            return simple_fact(
                encode,
                NEEDLE.format(kind=self.kind, key=key, value=value),
                QUESTION.format(kind=self.kind, key=key),
                f" {value}",
            )

        return needle


@dataclass(frozen=True)
class NeedlesOnly(NeedleTask, ManyFacts):
    """As many needles as fit and nothing else; one is asked for, or one in each part of the context."""

    blind = "the values of the context"

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        header = self.header(encode)
        draw = self.needles(encode, rng)
        found = as_many_as_fit(draw, self.room, length=length, fixed=len(header), least=facts or 2)
        placed = lined_up(found, header=header)
        return placed.ask(placed.one_in_each_part(rng, facts or 1))
