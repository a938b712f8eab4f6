"""Learning rates: one for each method, chosen on a validation split with seed 0, before the test split is read.

The papers' 2e-5 belongs to models of billions of parameters; the built-in model learns nothing from it. A rate that is
right for one method and wrong for the other would decide a comparison, so each gets its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.readings import Reading, table_of
from ropewalk.cells.texts import VALIDATION
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.result import RateRecord

if TYPE_CHECKING:
    from ropewalk.cells.cell import Cell
    from ropewalk.cells.readings import Samples

RATES = (3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Search:
    """A choice among learning rates.

    Attributes:
        name: What cells call it.
        cell: The run whose rate is searched for; its exams do not matter.
        length: Loss at this context length decides, tokens.
        rates: Candidates.
    """

    name: str
    cell: Cell
    length: int
    rates: tuple[float, ...] = RATES

    @property
    def cells(self) -> tuple[Cell, ...]:
        """One for each rate, measured on the validation split."""
        lengths = (self.length,)
        plan = EvaluationPlan(lengths=lengths, windows_per_document=8, tasks=("paired",))
        exam = EvaluationExam(VALIDATION, plan, VALIDATION)
        return tuple(
            dataclasses.replace(
                self.cell.at_rate(rate),
                name=self._name(rate),
                about=f"{self.cell.about}, rate {rate:g}",
                exams=(exam,),
                search=None,  # else the study would give it the rate that is being searched for
            )
            for rate in self.rates
        )

    def choose(self, samples: Samples) -> RateRecord | None:
        """The rate with the smallest mean loss; one whose training or measurement failed is no candidate.

        None where no candidate is left.
        """
        losses = {}
        for rate in self.rates:
            table = table_of([(1.0, Reading(self._name(rate), VALIDATION, "paired_nll", self.length))], samples)
            if table is not None and not table.failed:
                losses[rate] = float(table.values.mean())
        if not losses:
            return None
        return RateRecord(
            name=self.name,
            of=f"NLL at {self.length:,} tokens on the validation split",
            rates=tuple(losses),
            values=tuple(losses.values()),
            chosen=min(losses, key=losses.__getitem__),
        )

    def _name(self, rate: float) -> str:
        return f"search-{self.name}-{rate:g}"
