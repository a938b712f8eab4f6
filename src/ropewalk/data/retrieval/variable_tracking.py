"""RULER's vt: a chain of assignments in noise, after one solved example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.data.facts import largest, too_short
from ropewalk.data.recall import Question, RecallContext, split_answer
from ropewalk.data.retrieval_task import WholeContext, register
from ropewalk.data.ruler import NOISE, RULER
from ropewalk.data.words import coded_words

if TYPE_CHECKING:
    import numpy as np

    from ropewalk.data.recall import Encode
    from ropewalk.data.retrieval_task import Scoring

TEXT = "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{lines}\n"
QUESTION = (
    "Question: Find all variables that are assigned the value {value} in the text above. "
    "Answer: According to the chain(s) of variable assignment in the text above, {count} variables are assigned the "
    "value {value}, they are:"
)
EXAMPLE_TOKENS = 500  # upstream's size of the solved example; less in short contexts
EXAMPLE_SHARE = 3


@dataclass(frozen=True)
class _Chain:
    """Variables, their value, and where each assignment stands among the noise, 0 to 1."""

    names: list[str]
    value: int
    places: list[float]

    @classmethod
    def drawn(cls, rng: np.random.Generator, hops: int, letters: int) -> _Chain:
        names = [word.upper() for word in coded_words(rng, hops + 1, letters)]
        return cls(names, int(rng.integers(10_000, 100_000)), sorted(rng.random(hops + 1).tolist()))

    def text(self, noises: int) -> str:
        sources = [str(self.value), *(f"VAR {name}" for name in self.names)]
        lines = [NOISE] * noises
        for index, (name, source, place) in enumerate(zip(self.names, sources, self.places, strict=False)):
            lines.insert(int(place * (noises + 1)) + index, f"VAR {name} = {source}")
        return TEXT.format(lines="\n".join(lines))

    @property
    def question(self) -> str:
        return QUESTION.format(value=self.value, count=len(self.names))

    @property
    def answer(self) -> str:
        return " " + " ".join(self.names)


@register("variable-tracking")
@dataclass(frozen=True)
class VariableTracking(WholeContext):
    """One chain of `hops` hops among sentences of noise; the score is the share of its variables that are named.

    The example has names of three letters, as upstream, and is smaller where a third of the context is below its 500
    tokens. As in all of RULER's tasks, naming more than was asked costs nothing.
    """

    source = RULER
    scoring: ClassVar[Scoring] = "all-references"
    blind = "the variables of the example and of the text"
    reserves = True

    new_tokens: int = 30
    hops: int = 4

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int) -> RecallContext:
        shown, chain = _Chain.drawn(rng, self.hops, 3), _Chain.drawn(rng, self.hops, 5)
        prompt, answer = split_answer(encode, chain.question, chain.answer)

        def example(noises: int) -> str:
            return f"{shown.text(noises)}{shown.question}{shown.answer}\n\n"

        room = min(EXAMPLE_TOKENS, length // EXAMPLE_SHARE)
        before = example(max(0, largest(lambda noises: len(encode(example(noises))) <= room)))
        size = length - len(prompt) - max(len(answer), self.new_tokens)
        noises = largest(lambda noises: len(encode(before + chain.text(noises))) <= size)
        if noises < 0:
            needed = length - size + len(encode(before + chain.text(0)))
            raise too_short(f"the task '{self.name}'", needed, length)
        context = encode(before + chain.text(noises))
        names = tuple(chain.names)
        question = Question(prompt, answer, None, len(context), chain.answer.strip(), names, chance=0.5)
        return RecallContext(context, (question,))
