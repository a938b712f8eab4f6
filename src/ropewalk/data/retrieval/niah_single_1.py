"""RULER's niah_single_1: one number under one key in repeated sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.data.facts import too_short
from ropewalk.data.recall import RecallContext
from ropewalk.data.retrieval_task import SingleFact, register
from ropewalk.data.ruler import NOISE, NeedleTask

if TYPE_CHECKING:
    from ropewalk.data.recall import Encode


@register("niah-single-1")
@dataclass(frozen=True)
class NiahSingle1(NeedleTask, SingleFact):
    """The needle stands between two sentences, at an exact depth: the first and the last sentence may be cut."""

    blind = "all numbers of seven digits"

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, depth: float) -> RecallContext:
        header, fact, sentence = self.header(encode), self.needles(encode, rng)(), encode(NOISE + "\n")
        rest = len(header) + len(fact.statement) + self.common_room([fact])
        filler = length - rest
        if filler < 0:
            raise too_short(f"the task '{self.name}'", rest, length)
        before = round(depth * filler)
        turned = np.roll(sentence, before)  # begins so that the last of `before` tokens ends a sentence
        context = np.concatenate(
            [header, np.resize(turned, before), fact.statement, np.resize(sentence, filler - before)]
        )
        position = len(header) + before + len(fact.statement)
        return RecallContext(context, (fact.question(depth=depth, position=position, chance=1 / 9_000_000),))
