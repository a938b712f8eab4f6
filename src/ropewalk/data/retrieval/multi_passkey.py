"""Many named pass keys in one context, asked one by one from a single reading of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.data import recall
from ropewalk.data.facts import scattered, simple_fact
from ropewalk.data.retrieval.passkey import LANDMARK
from ropewalk.data.retrieval_task import ManyFacts, register
from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from ropewalk.data.facts import Fact
    from ropewalk.data.recall import Encode, RecallContext, Tokens
    from ropewalk.data.retrieval_task import Scoring

FACT = "\nThe pass key of {name} is {key}. Remember it. {key} is the pass key of {name}.\n"
QUESTION = "\nWhat is the pass key of {name}? The pass key of {name} is"


@register("multi-passkey")
@dataclass(frozen=True)
class MultiPasskey(ManyFacts):
    """`keys` named pass keys in repeated sentences, evenly spread, at random places within their part.

    Harder than the single pass key, because the other keys distract.
    """

    source = LANDMARK
    scoring: ClassVar[Scoring] = "first-number"
    blind = "the keys of the context"

    keys: int = 10
    digits: int = 5
    task_line: bool = True

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        asked = facts or self.keys
        keys = max(self.keys, asked)
        known = _named_keys(encode, rng, keys, self.digits)
        header: Tokens = encode(recall.TASK_LINE) if self.task_line else np.zeros(0, dtype=np.int64)
        placed = scattered(
            known,
            recall.GrassFiller(encode(recall.GRASS)),
            rng,
            header=header,
            size=length - self.common_room(known),
            parts=asked,
        )
        return placed.ask(placed.one_in_each_part(rng, asked))


def _named_keys(encode: Encode, rng: np.random.Generator, keys: int, digits: int) -> list[Fact]:
    if keys > len(recall.WORDS):
        raise OptionError(f"pass keys are named after one of {len(recall.WORDS)} words each; got {keys} keys.")
    low = 0 if digits == 1 else 10 ** (digits - 1)
    found = []
    for index in rng.permutation(len(recall.WORDS))[:keys]:
        name, key = recall.WORDS[index], str(int(rng.integers(low, 10**digits)))
        found.append(simple_fact(encode, FACT.format(name=name, key=key), QUESTION.format(name=name), f" {key}"))
    return found
