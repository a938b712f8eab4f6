"""The models: Entropy-ABF's recipe at the old window, weights on what gaps part, and anchors to the original."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.runs import recipe, seeds
from ropewalk.cells.texts import MODULES
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.samples import SampleSet
from ropewalk.reproduce.search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.cells.exams import Exam

TRAINED, TARGET, FAR = 256, 1024, 2048  # tokens: the old window, Entropy-ABF's target, and that of the others
LENGTHS = (256, 512, 1024, 2048)
SAMPLES = 100
NLL, RECALL, KEYS = "paired_nll", "recall", "key_value"
GAP_WEIGHT = 3.0
ANCHORS = (0.25, 0.5, 1.0)

TEXT_EXAM = EvaluationExam(MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES)
RECALL_EXAM = EvaluationExam(RECALL, EvaluationPlan(lengths=LENGTHS, contexts=32, tasks=("key-value",)))
EXAMS = (TEXT_EXAM, RECALL_EXAM)
QUICK_EXAM = dataclasses.replace(TEXT_EXAM, plan=dataclasses.replace(TEXT_EXAM.plan, windows_per_document=2))

SIX_STEPS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "entropy-abf-cream": ("Entropy-ABF, CREAM, 256 tokens", {}),
    "entropy-abf-short": ("Entropy-ABF, contiguous, 256 tokens", {"positions": {"name": "contiguous"}}),
    "entropy-abf-pose": ("Entropy-ABF, PoSE, 256 tokens", {"positions": {"name": "pose"}}),
    "abf-cream": ("ABF, CREAM, 256 tokens", {"method": {"name": "abf"}}),
    "entropy-abf": (
        "Entropy-ABF, contiguous, 1,024 tokens",
        {"positions": {"name": "contiguous"}, "train": {"micro_batch": 2}, "data": {"window": TARGET}},
    ),
    "control": (
        "the same samples of 256 tokens, nothing extended",
        {"target_length": TRAINED, "method": {"name": "none"}, "positions": {"name": "contiguous"}},
    ),
}
SEARCHED = ("entropy-abf-cream", "entropy-abf-short", "entropy-abf-pose", "entropy-abf")
SHARED_SEARCH = {"abf-cream": "entropy-abf-cream", "control": "entropy-abf-short"}

REVISED_YARN = {"name": "yarn", "ramp": "revised"}
SAMPLERS = {"cream": "CREAM", "pose": "PoSE"}
# What an anchor is laid over: the run file, its entries, and what tables call it.
ANCHORED: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "yarn-cream": (
        "reproduce-cream",
        {"method": REVISED_YARN, "positions": {"name": "cream"}, "data": {"window": TRAINED}},
        "revised YaRN, CREAM",
    ),
    "linear-8x": ("reproduce-pi", {}, "PI, 2,048 tokens"),
}
# Rates that the studies of CREAM and of PI chose; nothing is searched for a second time.
BORROWED = {"yarn-cream": 1e-3, "yarn-pose": 3e-4, "linear": 1e-3}


def quick_cells() -> tuple[Cell, ...]:
    """Entropy-ABF's six steps at the old window, with CREAM's and with contiguous positions, three seeds."""
    names = ("entropy-abf-cream", "entropy-abf-short")
    exams = (QUICK_EXAM,)
    return (untouched(exams), *(six_steps(name, seed, exams=exams) for seed in seeds(3) for name in names))


def all_cells() -> tuple[Cell, ...]:
    """What matters most comes first."""
    return (
        untouched(EXAMS),
        *(six_steps(name, seed) for seed in seeds(3) for name in SIX_STEPS),
        untrained(),
        *(
            cell
            for seed in seeds(3)
            for sampler in SAMPLERS
            for cell in (skipping(sampler, seed), weighed(sampler, seed))
        ),
        weighed("cream", 0, repeats=True),
        anchored("linear-8x", 0.0),
        *(anchored(name, weight) for weight in ANCHORS for name in ANCHORED),
        same_tokens(),
    )


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def six_steps(name: str, seed: int, *, exams: Sequence[Exam] = EXAMS) -> Cell:
    """100 samples, 6 steps: Entropy-ABF's recipe with one choice changed."""
    about, entries = SIX_STEPS[name]
    entries = {**entries, "train": {**entries.get("train", {}), "seed": seed}}
    run = recipe("reproduce-compositions", **entries)
    samples = SampleSet(SAMPLES, run.data.window or TRAINED, seed)
    return Cell(name, about, run, tuple(exams), samples=samples, search=SHARED_SEARCH.get(name, name))


def untrained() -> Cell:
    """Entropy-ABF without its six steps."""
    run = recipe("reproduce-compositions", train={"steps": 0})
    return Cell("entropy-abf-untrained", "Entropy-ABF, untrained", run, EXAMS)


def skipping(sampler: str, seed: int = 0, **train: Any) -> Cell:
    """CREAM's study in short: revised YaRN, 60 steps of windows of the old length, half of them recall tasks."""
    run = recipe(
        "reproduce-cream",
        method=REVISED_YARN,
        positions={"name": sampler},
        train={"seed": seed, **train},
        data={"window": TRAINED},
    )
    name = f"yarn-{sampler}"
    return Cell(name, f"revised YaRN, {SAMPLERS[sampler]}", run, EXAMS, search=name)


def weighed(sampler: str, seed: int, *, repeats: bool = False) -> Cell:
    """The same with a higher weight on what is told from across a gap."""
    cell = skipping(sampler, seed, gap={"weight": GAP_WEIGHT, "repeats": repeats})
    what = "answers and repeats" if repeats else "answers"
    return dataclasses.replace(
        cell,
        name=f"{cell.name}-{'repeats' if repeats else 'gap'}-{GAP_WEIGHT:g}",
        about=f"{cell.about}, {what} across a gap x {GAP_WEIGHT:g}",
    )


def anchored(name: str, weight: float) -> Cell:
    """A model that the original one teaches inside the old window with so much weight; 0 teaches nothing."""
    file, entries, about = ANCHORED[name]
    run = recipe(file, **entries, train={"seed": 0, "restoration": weight})
    search = "linear" if name == "linear-8x" else name
    if not weight:
        return Cell(name, about, run, EXAMS, search=search)
    return Cell(anchored_name(name, weight), f"{about}, anchor {weight:g}", run, EXAMS, search=search)


def anchored_name(name: str, weight: float) -> str:
    """Of a cell; without an anchor it is the plain one."""
    return f"{name}-anchor-{weight:g}" if weight else name


def same_tokens() -> Cell:
    """The control of the longer cells: the same windows as CREAM's, nothing extended."""
    run = recipe(
        "reproduce-cream",
        target_length=TRAINED,
        method={"name": "none"},
        positions={"name": "contiguous"},
        train={"seed": 0},
    )
    return Cell("control-60", "the windows of CREAM's 60 steps, nothing extended", run, EXAMS, search="yarn-pose")


def searches() -> tuple[Search, ...]:
    """Of the learning rates of six steps."""
    return tuple(Search(name, six_steps(name, 0, exams=()), TARGET) for name in SEARCHED)
