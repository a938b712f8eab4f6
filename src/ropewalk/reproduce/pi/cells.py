"""The models of the study, and what is measured of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ropewalk.adapters import Shape
from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.runs import recipe, seeds
from ropewalk.cells.texts import MODULES, PROSE
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.bases import PretrainedBase
from ropewalk.reproduce.function_names import ListingExam, ListingExamples
from ropewalk.reproduce.own_exams import ClozeExam
from ropewalk.reproduce.search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.cells.exams import Exam

TRAINED = 256  # tokens: the built-in model's window
LENGTHS = (256, 512, 1024, 2048)
LONGEST = LENGTHS[-1]
FAR_LENGTHS = (256, 2048, 4096, 8192)
FAR_FACTORS = (16, 32)
STEP_TOKENS = 8192
STEPS = 50
FEW_STEPS = 10
STEP_SERIES = (FEW_STEPS, STEPS, 100, 200, 500)  # theirs: up to 1,000, which would take two cores another hour
SIZE_STEPS = (FEW_STEPS, STEPS, 100)  # of the cells of other sizes
DISTANCES = 16
NAMES_WINDOW = 1024
METHODS = {"linear": "PI", "none": "direct fine-tuning"}
NLL, KEYS, FAR, CLOZE, NAMES = "paired_nll", "distances", "far", "cloze", "names"

MODULES_EXAM = EvaluationExam(
    MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES
)
PROSE_EXAM = EvaluationExam(PROSE, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), PROSE)
# Table 4: pass keys at evenly spaced distances from the end of a full window.
KEYS_EXAM = EvaluationExam(
    KEYS,
    EvaluationPlan(
        lengths=(LONGEST,),
        depths=tuple(1 - j / DISTANCES for j in range(1, DISTANCES + 1)),
        trials=10,
        tasks=("passkey",),
    ),
)
# One window of each module, the same for every cell, so that all targets are compared on the same tokens.
FAR_EXAM = EvaluationExam(
    FAR, EvaluationPlan(lengths=FAR_LENGTHS, windows_per_document=1, tasks=("paired",), batch_tokens=8192), MODULES
)
CLOZE_EXAM = ClozeExam(CLOZE, MODULES, TRAINED)
QUICK_EXAM = dataclasses.replace(MODULES_EXAM, plan=dataclasses.replace(MODULES_EXAM.plan, windows_per_document=2))
ALL_EXAMS = (MODULES_EXAM, PROSE_EXAM, KEYS_EXAM)
DOUBLE_EXAMS = (*ALL_EXAMS, CLOZE_EXAM)
HEADLINE_EXAMS = (*DOUBLE_EXAMS, FAR_EXAM)
FAR_EXAMS = (FAR_EXAM, CLOZE_EXAM)
STEPS_EXAMS = (MODULES_EXAM, KEYS_EXAM)
SERIES_EXAMS = (*STEPS_EXAMS, CLOZE_EXAM, FAR_EXAM)

# Table 4's sizes. Heads of 64 channels and four layers throughout, as in the built-in model of 4.2 million parameters.
# A further size is one more entry: Shape(4, 512) has 15 million, and would take hours of two cores.
BASES = {
    "1m": PretrainedBase("1m", "1.3M parameters", recipe("reproduce-pi-base"), Shape(layers=4, width=128)),
}


def quick_cells() -> tuple[Cell, ...]:
    """PI and direct fine-tuning at 2 and 8 times the window, one seed."""
    exams = (QUICK_EXAM,)
    return (untouched(exams), *(extended(m, f, exams=exams) for f in (8, 2) for m in METHODS))


def all_cells() -> tuple[Cell, ...]:
    """Tables 1, 2, 4 and 5 at 2, 4 and 8 times the window; what matters most comes first."""
    headline = [extended(m, 8, exams=HEADLINE_EXAMS, seed=seed) for seed in seeds(3) for m in METHODS]
    double = [extended(m, 2, exams=DOUBLE_EXAMS, seed=seed) for seed in seeds(3) for m in METHODS]
    return (
        untouched(HEADLINE_EXAMS),
        extended("linear", 8, exams=ALL_EXAMS, steps=0),
        *headline,
        *double,
        *(same_tokens(DOUBLE_EXAMS, seed) for seed in seeds(3)),
        *(extended(m, 4, exams=ALL_EXAMS) for m in METHODS),
        extended("linear", 8, exams=ALL_EXAMS, steps=FEW_STEPS),
    )


def scaling_cells() -> tuple[Cell, ...]:
    """Tables 3, 4 and 6, and table 1 beyond 8 times the window: steps, targets and sizes, one seed each."""
    by_steps = zip(*(step_series(method) for method in METHODS), strict=True)
    return (
        untouched(SERIES_EXAMS),
        extended("linear", 8, exams=STEPS_EXAMS, steps=0),
        *(cell for cells in by_steps for cell in cells),
        *(extended(m, factor, exams=FAR_EXAMS) for factor in FAR_FACTORS for m in METHODS),
        same_tokens(SERIES_EXAMS),
        *names_cells(),
        *(cell for base in BASES.values() for cell in size_cells(base)),
    )


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def extended(
    method: str,
    factor: int,
    *,
    exams: Sequence[Exam],
    seed: int = 0,
    steps: int = STEPS,
    base: PretrainedBase | None = None,
) -> Cell:
    """A model that is trained at `factor` times the window."""
    target = factor * TRAINED
    batch = STEP_TOKENS // target
    run = recipe(
        "reproduce-pi",
        target_length=target,
        method={"name": method},
        train={"steps": steps, "batch": batch, "micro_batch": max(1, batch // 4), "seed": seed},
    )
    about = f"{METHODS[method]}, {target:,} tokens" + ("" if steps == STEPS else f", {steps:,} steps")
    name = name_of(method, factor, steps)
    if base is not None:
        name, about = f"{name}-{base.name}", f"{base.about}: {about}"
    return Cell(name, about, run, tuple(exams), search=method, base=base)


def same_tokens(exams: Sequence[Exam], seed: int = 0) -> Cell:
    """The control: as many tokens at the old window, nothing extended."""
    batch = STEP_TOKENS // TRAINED
    run = recipe(
        "reproduce-pi",
        target_length=TRAINED,
        method={"name": "none"},
        train={"batch": batch, "micro_batch": batch // 4, "seed": seed},
    )
    return Cell("control", "the same tokens at the old window", run, tuple(exams), search="none")


def step_series(method: str) -> tuple[Cell, ...]:
    """A model at 8 times the window after more and more steps; each training goes on from the one before."""
    cells: list[Cell] = []
    for steps in STEP_SERIES:
        exams = SERIES_EXAMS if steps == STEPS else STEPS_EXAMS
        cells.append(_longer(extended(method, 8, exams=exams, steps=steps), cells))
    return tuple(cells)


def size_cells(base: PretrainedBase) -> tuple[Cell, ...]:
    """A base of another size as it is, and extended with more and more steps."""
    as_it_is = Cell(f"untouched-{base.name}", f"{base.about}: untouched", None, STEPS_EXAMS, base=base)
    trained: list[Cell] = []
    for method in METHODS:
        series: list[Cell] = []
        for steps in SIZE_STEPS:
            series.append(_longer(extended(method, 8, exams=STEPS_EXAMS, steps=steps, base=base), series))
        trained += series
    return (as_it_is, *trained)


def _longer(cell: Cell, shorter: Sequence[Cell]) -> Cell:
    return dataclasses.replace(cell, shorter=shorter[-1]) if shorter else cell


def names_cells() -> tuple[Cell, ...]:
    """Table 6: models that list function names, with the whole text and with the text cut to the old window."""
    cells = []
    for name, method, window in (
        ("names-linear", "linear", NAMES_WINDOW),
        ("names-none", "none", NAMES_WINDOW),
        ("names-cut", "none", TRAINED),
    ):
        cut = None if window == NAMES_WINDOW else window
        about = f"lists names: {METHODS[method]}, {window:,} tokens" if cut is None else "lists names: text cut to 256"
        run = recipe("reproduce-pi-names", target_length=window, method={"name": method})
        exam = ListingExam(NAMES, MODULES, NAMES_WINDOW, cut)
        samples = ListingExamples(NAMES_WINDOW, cut, seed=0)
        cells.append(Cell(name, about, run, (exam,), samples=samples, search=method))
    return tuple(cells)


def name_of(method: str, factor: int, steps: int = STEPS) -> str:
    """Of a cell."""
    return f"{method}-{factor}x" + ("" if steps == STEPS else f"-{steps}")


def search(method: str) -> Search:
    """Of the learning rate of a method, at 8 times the window."""
    return Search(method, extended(method, 8, exams=()), LONGEST)
