"""A record of numbered lines with word names: the lines task of LongChat (LongEval)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.data import words
from ropewalk.data.facts import as_many_as_fit, lined_up, simple_fact
from ropewalk.data.retrieval_task import ManyFacts, register
from ropewalk.register import Paper

if TYPE_CHECKING:
    import numpy as np

    from ropewalk.data.facts import Fact
    from ropewalk.data.recall import Encode, RecallContext
    from ropewalk.data.retrieval_task import Scoring

HEADER = (
    "Below is a record of lines I want you to remember. Each line begins with 'line <line index>' and contains a "
    "'<REGISTER_CONTENT>' at the end of the line as a numerical value. For each line index, memorize its "
    "corresponding <REGISTER_CONTENT>. At the end of the record, I will ask you to retrieve the corresponding "
    "<REGISTER_CONTENT> of a certain line index. Now the record start:\n\n"
)
LINE = "line {key}: REGISTER_CONTENT is <{value}>\n"
QUESTION = (
    "\nNow the record is over. Tell me what is the <REGISTER_CONTENT> in line {key}? I need the number. "
    "The <REGISTER_CONTENT> in line {key} is"
)


@register("lines")
@dataclass(frozen=True)
class Lines(ManyFacts):
    """As many lines as fit; one is asked for, or one in each part of the context.

    The first number of the answer counts, as in Giraffe's and CREAM's use of the task; LongEval's own script takes the
    last of 100 tokens, which rewards luck. The beginning of the answer is given, so that base models can be scored.
    """

    source = Paper(
        title="How Long Can Open-Source LLMs Truly Promise on Context Length?",
        authors="Dacheng Li, Rulin Shao, Anze Xie, Ying Sheng, Lianmin Zheng, Joseph E. Gonzalez, Ion Stoica, "
        "Xuezhe Ma, Hao Zhang",
        year=2023,
        url="https://lmsys.org/blog/2023-06-29-longchat/",
    )
    scoring: ClassVar[Scoring] = "first-number"
    blind = "the numbers of the context"

    new_tokens: int = 35

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, facts: int | None) -> RecallContext:
        names = words.word_pairs(rng)

        def line() -> Fact:
            key, value = next(names), str(int(rng.integers(1, 50_001)))
            return simple_fact(
                encode,
                LINE.format(key=key, value=value),
                QUESTION.format(key=key),
                f" <{value}>",
                answer_text=value,
            )

        header = encode(HEADER)
        found = as_many_as_fit(line, self.room, length=length, fixed=len(header), least=facts or 2)
        placed = lined_up(found, header=header)
        return placed.ask(placed.one_in_each_part(rng, facts or 1))
