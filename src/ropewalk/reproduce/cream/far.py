"""32 and 64 times the window: 8,192 and 16,384 tokens, still trained in windows of 256.

CREAM's sigma grows with the factor unless it is given. Its head in continuity mode is 32 tokens at both factors: 4 f is
cut to an eighth of the window, because at 64 times a head and a tail of 4 f tokens would leave no middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.runs import recipe
from ropewalk.cells.texts import MODULES
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.cream.cells import FREQUENCIES, FREQUENCY_NAMES, SAMPLERS, searched
from ropewalk.reproduce.cream.exams import TRAINED

if TYPE_CHECKING:
    from ropewalk.cells.exams import Exam

FAR, FAR_TEXT = "far", "far-modules"
LENGTHS = {32: (256, 2048, 8192), 64: (256, 2048, 8192, 16_384)}  # tokens, by factor
CONTEXTS = 4  # of 16 records; a context of 16,384 tokens takes as long as 13 of 2,048
# PoSE over linear and contiguous positions stop at 32 times, where they show what they show.
CELLS = {
    32: (("linear", "cream"), ("linear", "pose"), ("yarn", "cream"), ("yarn", "pose"), ("yarn", "contiguous")),
    64: (("linear", "cream"), ("yarn", "cream"), ("yarn", "pose")),
}
# Every module holds 8,192 tokens, and only nine of them 16,384.
FAR_TEXT_EXAM = EvaluationExam(
    FAR_TEXT,
    EvaluationPlan(lengths=LENGTHS[32], documents=8, windows_per_document=1, tasks=("paired",)),
    MODULES,
)


def far_recall(factor: int) -> EvaluationExam:
    """Records at lengths up to the target; the same contexts at lengths that two factors share."""
    return EvaluationExam(FAR, EvaluationPlan(lengths=LENGTHS[factor], contexts=CONTEXTS, tasks=("key-value",)))


def far_exams(factor: int) -> tuple[Exam, ...]:
    """What is measured of a model of a factor."""
    return (far_recall(factor), FAR_TEXT_EXAM)


def far_cells() -> tuple[Cell, ...]:
    """CREAM, PoSE and, as the control of equal stretch and tokens, contiguous positions."""
    return tuple(far_cell(frequencies, sampler, factor) for factor in CELLS for frequencies, sampler in CELLS[factor])


def far_cell(frequencies: str, sampler: str, factor: int) -> Cell:
    """A model trained at the old window, with positions up to a far target."""
    run = recipe(
        "reproduce-cream",
        target_length=factor * TRAINED,
        method=FREQUENCIES[frequencies],
        positions={"name": sampler},
        data={"window": TRAINED},
    )
    about = f"{FREQUENCY_NAMES[frequencies]}, {SAMPLERS[sampler]}, {factor} times"
    name = f"{frequencies}-{sampler}-{factor}x"
    return Cell(name, about, run, far_exams(factor), search=searched(frequencies, sampler))
