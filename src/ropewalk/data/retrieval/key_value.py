"""Short records `word=number` in repeated sentences: fits into a window of a few hundred tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.data import recall
from ropewalk.data.facts import EMPTY, scattered, simple_fact
from ropewalk.data.retrieval.json_kv import LOST_IN_THE_MIDDLE
from ropewalk.data.retrieval_task import ManyFacts, register
from ropewalk.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from ropewalk.data.recall import Encode, RecallContext
    from ropewalk.data.retrieval_task import Scoring


@register("key-value")
@dataclass(frozen=True)
class KeyValue(ManyFacts):
    """`keys` records, evenly spread, at random places within their part.

    After Lost in the Middle and RULER's multi-key needle, with keys and values that small models can copy.
    """

    source = LOST_IN_THE_MIDDLE
    scoring: ClassVar[Scoring] = "number-at-once"
    blind = "the values of the context"

    keys: int = 10
    digits: int = 4

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        asked = facts or self.keys
        keys = max(self.keys, asked)
        if keys > len(recall.WORDS):
            raise OptionError(f"records are named after one of {len(recall.WORDS)} words each; got {keys} records.")
        records = []
        for index in rng.permutation(len(recall.WORDS))[:keys]:
            word, value = recall.WORDS[index], str(int(rng.integers(10 ** (self.digits - 1), 10**self.digits)))
            record = "\n" + recall.RECORD.format(word=word, value=value)
            records.append(simple_fact(encode, record, "\n" + recall.RECORD_QUESTION.format(word=word), value))
        filler = recall.GrassFiller(encode(recall.GRASS))
        size = length - self.common_room(records)
        placed = scattered(records, filler, rng, header=EMPTY, size=size, parts=asked)
        return placed.ask(placed.one_in_each_part(rng, asked))
