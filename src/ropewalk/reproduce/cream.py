"""CREAM in miniature: arXiv:2406.07138 on the built-in model, 256 to 2,048 tokens, trained in windows of 256 alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.cells import Cell
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.exams import EvaluationExam
from ropewalk.reproduce.readings import Reading
from ropewalk.reproduce.runs import recipe, seeds
from ropewalk.reproduce.search import Search
from ropewalk.reproduce.study import Study
from ropewalk.reproduce.texts import MODULES
from ropewalk.result import Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.reproduce.exams import Exam

TRAINED, TARGET = 256, 2048  # tokens
LENGTHS = (256, 512, 1024, 2048)
NLL, RECALL, KEYS = "paired_nll", "recall", "key_value"
MIDDLE = (1 / 3, 2 / 3)  # depths
SMALLEST = 0.02  # nats per token
SMALLEST_RECALL = 0.05

RECALL_EXAM = EvaluationExam(RECALL, EvaluationPlan(lengths=LENGTHS, contexts=32, tasks=("key-value",)))
TEXT_EXAM = EvaluationExam(MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES)
EXAMS = (RECALL_EXAM, TEXT_EXAM)
QUICK_EXAMS = (
    dataclasses.replace(RECALL_EXAM, plan=dataclasses.replace(RECALL_EXAM.plan, lengths=(TRAINED, TARGET))),
    dataclasses.replace(TEXT_EXAM, plan=dataclasses.replace(TEXT_EXAM.plan, windows_per_document=2)),
)

FREQUENCIES: Mapping[str, dict[str, Any]] = {
    "linear": {"name": "linear"},
    "yarn": {"name": "yarn", "ramp": "revised"},  # as CREAM's and PoSE's released code has it
    "ntk": {"name": "ntk"},
}
FREQUENCY_NAMES = {"linear": "linear", "yarn": "revised YaRN", "ntk": "NTK"}
SAMPLERS = {"cream": "CREAM", "pose": "PoSE", "contiguous": "contiguous", "randpos": "RandPos"}
ABLATIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cream-narrow": ("CREAM, sigma 2", {"name": "cream", "sigma": 2.0}),
    "cream-wide": ("CREAM, sigma 4", {"name": "cream", "sigma": 4.0}),
    "cream-uniform": ("CREAM, uniform in place of Gaussian", {"name": "cream", "sigma": 1000.0}),
    "cream-released": ("CREAM as its code draws", {"name": "cream", "released_code": True}),
}

NOTES = (
    "No model here was ever fed a window above 256 tokens, except those that say so. Half of the windows hold recall "
    "tasks, of 256 tokens like all others.",
    "Recall: 32 contexts of 16 records at each length, all asked for; the middle is the third of the context between "
    "one third and two thirds of its depth.",
    "Contiguous and RandPos take the learning rate that was searched for PoSE with the same frequencies.",
    "Not made here: 32 and 64 times the window, a conversation-tuned base, UUID records, LongChat lines and needles.",
)


def cream(*, quick: bool) -> Study:
    """The study of CREAM: three samplers over YaRN with one seed, or everything."""
    shown = ((RECALL, KEYS), (MODULES, NLL))
    return Study(
        name="cream",
        title="CREAM: trained at the old window alone",
        paper="2406.07138",
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=(middle("yarn"),) if quick else all_claims(),
        shown=shown,
        depths=((RECALL, KEYS, TARGET),),
        panels=panels("yarn") if quick else (*panels("linear"), *panels("yarn")),
        searches=() if quick else searches(),
        defaults={f"{f}-{s}": 1e-3 for f in FREQUENCIES for s in ("cream", "pose")},
        notes=NOTES,
    )


def quick_cells() -> tuple[Cell, ...]:
    """CREAM, PoSE and contiguous positions over revised YaRN.

    Not over linear frequencies, the paper's first choice: after so few steps linear finds nothing at 8 times the window
    (pilot in the design of the built-in model), and a floor decides nothing.
    """
    samplers = ("cream", "pose", "contiguous")
    return (untouched(QUICK_EXAMS), *(trained("yarn", sampler, exams=QUICK_EXAMS) for sampler in samplers))


def all_cells() -> tuple[Cell, ...]:
    """What matters most comes first."""
    samplers = ("cream", "pose", "contiguous")
    return (
        untouched(EXAMS),
        *(trained(f, s, seed) for seed in seeds(3) for f in ("linear", "yarn") for s in samplers),
        *(trained(f, "randpos") for f in ("linear", "yarn")),
        *(trained("ntk", s) for s in SAMPLERS),
        *(ablation(name) for name in ABLATIONS),
        *(untrained(f) for f in FREQUENCIES),
        *(full_window(f) for f in ("linear", "yarn")),
        *(same_tokens(seed) for seed in seeds(3)),
    )


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def trained(frequencies: str, sampler: str, seed: int = 0, *, exams: Sequence[Exam] = EXAMS) -> Cell:
    """A model trained at the old window, with positions up to the target."""
    run = recipe(
        "reproduce-cream",
        method=FREQUENCIES[frequencies],
        positions={"name": sampler},
        train={"seed": seed},
        data={"window": TRAINED},
    )
    about = f"{FREQUENCY_NAMES[frequencies]}, {SAMPLERS[sampler]}"
    return Cell(f"{frequencies}-{sampler}", about, run, tuple(exams), search=searched(frequencies, sampler))


def searched(frequencies: str, sampler: str) -> str:
    """Whose learning rate a cell takes; ntk takes yarn's, which leaves its fast pairs alone as well."""
    family = "linear" if frequencies == "linear" else "yarn"
    return f"{family}-{'cream' if sampler == 'cream' else 'pose'}"


def ablation(name: str) -> Cell:
    """CREAM over linear frequencies, with another place of its middle."""
    about, positions = ABLATIONS[name]
    run = recipe("reproduce-cream", positions=positions, data={"window": TRAINED})
    return Cell(f"linear-{name}", f"linear, {about}", run, EXAMS, search="linear-cream")


def untrained(frequencies: str) -> Cell:
    """Frequencies without any training."""
    run = recipe("reproduce-cream", method=FREQUENCIES[frequencies], train={"steps": 0})
    return Cell(f"{frequencies}-untrained", f"{FREQUENCY_NAMES[frequencies]}, untrained", run, EXAMS)


def full_window(frequencies: str) -> Cell:
    """What training at the target itself brings with as many tokens."""
    factor = TARGET // TRAINED
    run = recipe(
        "reproduce-cream",
        method=FREQUENCIES[frequencies],
        positions={"name": "contiguous"},
        train={"batch": 32 // factor, "micro_batch": 1},
        data={"window": TARGET},
    )
    about = f"{FREQUENCY_NAMES[frequencies]}, windows of {TARGET:,} tokens"
    return Cell(f"{frequencies}-full-window", about, run, EXAMS, search=searched(frequencies, "pose"))


def same_tokens(seed: int) -> Cell:
    """The control: the same windows, nothing extended."""
    run = recipe(
        "reproduce-cream",
        target_length=TRAINED,
        method={"name": "none"},
        positions={"name": "contiguous"},
        train={"seed": seed},
    )
    return Cell("control", "the same tokens, nothing extended", run, EXAMS, search="yarn-pose")


def searches() -> tuple[Search, ...]:
    """Of the learning rates of CREAM and PoSE, over linear and YaRN."""
    return tuple(
        Search(searched(f, s), trained(f, s, exams=()), TARGET) for f in ("linear", "yarn") for s in ("cream", "pose")
    )


def all_claims() -> tuple[Claim, ...]:
    """Everything that is judged."""
    return (
        *(middle(f) for f in ("linear", "yarn", "ntk")),
        *(overall(f, other) for f in ("linear", "yarn") for other in ("pose", "contiguous")),
        *(more_in_the_middle(f) for f in ("linear", "yarn")),
        gaussian(),
        randpos_fails(),
        costs_inside(),
    )


def middle(frequencies: str) -> Claim:
    """The middle claim: facts there are found more often than with PoSE."""
    figures = {
        "linear": "140 keys, index 69 of 140: 23.4 against 7.6; 75 keys, index 37: 56.0 against 37.4",
        "yarn": "140 keys, index 69: 5.8 against 2.8; 75 keys, index 37: 47.6 against 12.2",
        "ntk": "140 keys, index 69: 6.0 against 0; 75 keys, index 37: 52.6 against 44.6",
    }
    return Claim(
        name=f"middle-{frequencies}",
        source="Lost in the Middle table",
        words=f"CREAM finds more in the middle than PoSE, over {FREQUENCY_NAMES[frequencies]} at 8 times the window.",
        figure=figures[frequencies],
        terms=minus(_recall(f"{frequencies}-cream", MIDDLE), _recall(f"{frequencies}-pose", MIDDLE)),
        contrast="share of middle records found with CREAM minus with PoSE",
        smallest_effect=SMALLEST_RECALL,
        headline=True,
    )


def overall(frequencies: str, other: str) -> Claim:
    """The same at all depths, against PoSE and contiguous."""
    figures = {"linear": "75 keys, mean: 65.2 against PoSE 50.9", "yarn": "75 keys, mean: 73.4 against PoSE 50.0"}
    return Claim(
        name=f"recall-{frequencies}-against-{other}",
        source="Lost in the Middle table",
        words=f"CREAM finds more than {SAMPLERS[other]} positions at all depths together, over "
        f"{FREQUENCY_NAMES[frequencies]} frequencies.",
        figure=figures[frequencies] if other == "pose" else "none; 0 from 4,200 tokens on for the untouched model",
        terms=minus(_recall(f"{frequencies}-cream"), _recall(f"{frequencies}-{other}")),
        contrast=f"share of records found with CREAM minus with {SAMPLERS[other]} positions",
        smallest_effect=SMALLEST_RECALL,
        headline=other == "pose",
    )


def more_in_the_middle(frequencies: str) -> Claim:
    """Whether the gain is the middle's own, or one of all depths."""
    cream_cell, pose_cell = f"{frequencies}-cream", f"{frequencies}-pose"
    return Claim(
        name=f"gain-is-in-the-middle-{frequencies}",
        source="the name of the method",
        words=f"CREAM's gain over PoSE is larger in the middle than elsewhere, over {FREQUENCY_NAMES[frequencies]}.",
        figure="75 keys, linear, gain by index 0, 18, 37, 54, 74: 0.2, 21.2, 18.6, 19.8, 11.8",
        terms=(
            *minus(_recall(cream_cell, MIDDLE), _recall(pose_cell, MIDDLE)),
            *minus(_recall(pose_cell), _recall(cream_cell)),
        ),
        contrast="gain in the middle minus gain at all depths",
        smallest_effect=SMALLEST_RECALL,
    )


def gaussian() -> Claim:
    """The ablation of the truncated Gaussian."""
    return Claim(
        name="gaussian-helps",
        source="ablation",
        words="A truncated Gaussian for the middle's place is better in the middle than a uniform draw.",
        figure="not readable to us",
        terms=minus(_recall("linear-cream", MIDDLE), _recall("linear-cream-uniform", MIDDLE)),
        contrast="share of middle records found with the Gaussian minus with a uniform draw",
        smallest_effect=SMALLEST_RECALL,
    )


def randpos_fails() -> Claim:
    """RandPos loses the language."""
    return Claim(
        name="randpos-fails",
        source="LongChat lines",
        words="RandPos fails: its NLL at the target is at least a tenth of a nat above CREAM's.",
        figure="LongChat lines: RandPos 0 at every length; in PoSE's table 1 perplexity 15.2 against 4.6",
        terms=minus(_nll("linear-randpos", TARGET), _nll("linear-cream", TARGET)),
        contrast=f"NLL with RandPos minus NLL with CREAM at {TARGET:,} tokens",
        smallest_effect=0.1,
    )


def costs_inside() -> Claim:
    """Short tasks are kept."""
    return Claim(
        name="costs-little-inside",
        source="language-model benchmarks",
        words="CREAM costs little inside the old window: at most the smallest effect above the untouched model.",
        figure="not readable to us",
        terms=minus(_nll("untouched", TRAINED), _nll("yarn-cream", TRAINED)),
        contrast=f"NLL of the untouched model minus NLL of CREAM over revised YaRN at {TRAINED} tokens",
        smallest_effect=-SMALLEST,
    )


def panels(frequencies: str) -> tuple[Panel, ...]:
    """Recall by depth, and by length."""
    cells = tuple(f"{frequencies}-{sampler}" for sampler in ("cream", "pose", "contiguous"))
    name = FREQUENCY_NAMES[frequencies]
    return (
        Panel(title=f"Records found by depth, {name}", of=RECALL, measure=KEYS, cells=cells, at=TARGET),
        Panel(title=f"Records found by length, {name}", of=RECALL, measure=KEYS, cells=cells),
    )


def _recall(cell: str, depths: tuple[float, float] | None = None) -> Reading:
    return Reading(cell, RECALL, KEYS, TARGET, depths)


def _nll(cell: str, length: int) -> Reading:
    return Reading(cell, MODULES, NLL, length)
