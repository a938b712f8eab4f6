"""A JSON object of UUIDs, or of shorter identifiers: the key-value retrieval of Lost in the Middle."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ropewalk.data import words
from ropewalk.data.facts import Fact, as_many_as_fit, lined_up, simple_fact, too_short
from ropewalk.data.retrieval_task import ManyFacts, register
from ropewalk.errors import OptionError
from ropewalk.register import Paper

if TYPE_CHECKING:
    from ropewalk.data.recall import Encode, RecallContext
    from ropewalk.data.retrieval_task import Scoring

LOST_IN_THE_MIDDLE = Paper(
    title="Lost in the Middle: How Language Models Use Long Contexts",
    authors="Nelson F. Liu, Kevin Lin, John Hewitt, Ashwin Paranjape, Michele Bevilacqua, Fabio Petroni, Percy Liang",
    year=2023,
    arxiv="2307.03172",
)
HEADER = "Extract the value corresponding to the specified key in the JSON object below.\n\nJSON data:\n{"
RECORD = '{join}"{key}": "{value}"'
JOIN, END = ",\n ", "}"
QUESTION = '\n\nKey: "{key}"\nCorresponding value:'
# Where the paper puts the record that is asked for; other sizes are divided evenly.
GOLD = {75: (0, 18, 37, 54, 74), 140: (0, 34, 69, 104, 139)}
POSITIONS = 5
UUID_DIGITS = 32


@register("json-kv")
@dataclass(frozen=True)
class JsonKeyValue(ManyFacts):
    """`keys` records, 75, 140 or 300 in the paper; as many as fit if not given.

    The paper moves one record to each of five positions in turn, in prompts of their own; here five records are asked
    for at these positions from one reading of the context. The value is looked for in 50 tokens.

    With `digits` keys and values are the first so many hexadecimal digits of UUIDs: two records of whole ones, with the
    question, do not fit into a window of 256 tokens.
    """

    source = LOST_IN_THE_MIDDLE
    scoring: ClassVar[Scoring] = "any-reference"
    blind = "the values of the context"

    new_tokens: int = 50
    keys: int | None = None
    digits: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.digits is not None and self.digits > UUID_DIGITS:
            raise OptionError(f"a UUID has {UUID_DIGITS} hexadecimal digits; got digits = {self.digits}. Take fewer.")

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        header, footer = encode(HEADER), encode(END)
        joins = itertools.chain([""], itertools.repeat(JOIN))
        if self.keys is None:
            records = as_many_as_fit(
                lambda: self._record(encode, rng, next(joins)),
                self.room,
                length=length,
                fixed=len(header) + len(footer),
                least=facts or 2,
            )
        else:
            records = [self._record(encode, rng, next(joins)) for _ in range(self.keys)]
        placed = lined_up(records, header=header, footer=footer)
        needed = len(placed.context) + max(self.room(record) for record in records)
        if needed > length:
            raise too_short(f"a JSON object of {len(records)} records", needed, length)
        if facts is not None:
            return placed.ask(placed.one_in_each_part(rng, facts))
        return placed.ask(gold_positions(len(records)))

    def _record(self, encode: Encode, rng: np.random.Generator, join: str) -> Fact:
        key, value = self._identifier(rng), self._identifier(rng)
        statement = RECORD.format(join=join, key=key, value=value)
        return simple_fact(encode, statement, QUESTION.format(key=key), f' "{value}"', answer_text=value)

    def _identifier(self, rng: np.random.Generator) -> str:
        whole = words.random_uuid(rng)
        return whole if self.digits is None else whole.replace("-", "")[: self.digits]


def gold_positions(keys: int) -> tuple[int, ...]:
    """Indices of the records that are asked for: first, last, and three in between."""
    even = tuple(int(place) for place in np.linspace(0, keys - 1, min(keys, POSITIONS)))
    return GOLD.get(keys, even)
