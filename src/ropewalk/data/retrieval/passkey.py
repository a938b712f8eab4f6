"""One pass key in repeated sentences: the prompt of landmark attention, as PI, YaRN and PoSE use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.data import recall
from ropewalk.data.retrieval_task import SingleFact, register
from ropewalk.errors import OptionError
from ropewalk.register import Paper

if TYPE_CHECKING:
    import numpy as np

    from ropewalk.data.recall import Encode, RecallContext
    from ropewalk.data.retrieval_task import Scoring

LANDMARK = Paper(
    title="Landmark Attention: Random-Access Infinite Context Length for Transformers",
    authors="Amirkeivan Mohtashami and Martin Jaggi",
    year=2023,
    arxiv="2305.16300",
)


@register("passkey")
@dataclass(frozen=True)
class Passkey(SingleFact):
    """A number of `digits` digits, stated twice, in a prompt of exactly the given length.

    PI draws five digits; the landmark script draws from 1 to 49,999. A smoke test: failing it disproves an extension,
    passing it proves little, because the key is the only new thing in the text.
    """

    source = LANDMARK
    scoring: ClassVar[Scoring] = "first-number"
    blind = "all numbers of that many digits"

    digits: int = 5
    task_line: bool = True

    def draw(self, encode: Encode, rng: np.random.Generator, *, length: int, depth: float) -> RecallContext:
        filler = recall.GrassFiller(encode(recall.GRASS))
        try:
            return recall.passkey(
                encode, filler, rng, length=length, depth=depth, digits=self.digits, task_line=self.task_line
            )
        except ValueError as error:
            raise OptionError(f"{error}. Measure longer lengths, or leave this task out.") from error
