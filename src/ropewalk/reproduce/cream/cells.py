"""The models at 8 times the window: samplers over frequencies, ablations, controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.cells.cell import Cell
from ropewalk.cells.runs import recipe, seeds
from ropewalk.reproduce.cream.exams import EXAMS, FORMATS_EXAM, HEADLINE_EXAMS, QUICK_EXAMS, TARGET, TRAINED
from ropewalk.reproduce.search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.cells.exams import Exam

FREQUENCIES: Mapping[str, dict[str, Any]] = {
    "linear": {"name": "linear"},
    "yarn": {"name": "yarn", "ramp": "revised"},  # as CREAM's and PoSE's released code has it
    "ntk": {"name": "ntk"},
}
FREQUENCY_NAMES = {"linear": "linear", "yarn": "revised YaRN", "ntk": "NTK"}
SAMPLERS = {"cream": "CREAM", "pose": "PoSE", "contiguous": "contiguous", "randpos": "RandPos"}
ABLATIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cream-narrow": ("CREAM, sigma 2", {"sigma": 2.0}),
    "cream-wide": ("CREAM, sigma 4", {"sigma": 4.0}),
    "cream-uniform": ("CREAM, uniform in place of Gaussian", {"sigma": 1000.0}),
    "cream-released": ("CREAM as its code draws", {"released_code": True}),
    "cream-sigma-2.5": ("CREAM, sigma 2.5", {"sigma": 2.5}),
    "cream-sigma-3.5": ("CREAM, sigma 3.5", {"sigma": 3.5}),
    "cream-continuity-0": ("CREAM, relativity alone", {"continuity": 0.0}),
    "cream-continuity-25": ("CREAM, continuity in 25 %", {"continuity": 0.25}),
    "cream-continuity-75": ("CREAM, continuity in 75 %", {"continuity": 0.75}),
    "cream-continuity-100": ("CREAM, continuity alone", {"continuity": 1.0}),
}
LINEAR_ABLATIONS = ("cream-narrow", "cream-wide", "cream-uniform", "cream-released")
# Over linear frequencies hardly anything is found after so few steps, so what recall decides is asked of YaRN.
YARN_ABLATIONS = tuple(name for name in ABLATIONS if name != "cream-released")


def quick_cells() -> tuple[Cell, ...]:
    """CREAM, PoSE and contiguous positions over revised YaRN.

    Not over linear frequencies, the paper's first choice: after so few steps linear finds nothing at 8 times the window
    (pilot in the design of the built-in model), and a floor decides nothing.
    """
    samplers = ("cream", "pose", "contiguous")
    return (untouched(QUICK_EXAMS), *(trained("yarn", sampler, exams=QUICK_EXAMS) for sampler in samplers))


def cells_at_eight_times(extra: Sequence[Exam] = ()) -> tuple[Cell, ...]:
    """What matters most comes first.

    Args:
        extra: What only the untouched model is measured on besides: exams of other parts of the study.
    """
    samplers = ("cream", "pose", "contiguous")
    return (
        untouched((*HEADLINE_EXAMS, FORMATS_EXAM, *extra)),
        *(trained(f, s, seed) for seed in seeds(3) for f in ("linear", "yarn") for s in samplers),
        *(trained(f, "randpos") for f in ("linear", "yarn")),
        *(trained("ntk", s, exams=EXAMS) for s in SAMPLERS),
        *(ablation("linear", name) for name in LINEAR_ABLATIONS),
        *(untrained(f) for f in FREQUENCIES),
        *(full_window(f) for f in ("linear", "yarn")),
        *(same_tokens(seed) for seed in seeds(3)),
        *(trained(f, "randpos", seed, exams=EXAMS) for seed in seeds(3)[1:] for f in ("linear", "yarn")),
        *(ablation("yarn", name) for name in YARN_ABLATIONS),
    )


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def trained(frequencies: str, sampler: str, seed: int = 0, *, exams: Sequence[Exam] = HEADLINE_EXAMS) -> Cell:
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


def ablation(frequencies: str, name: str) -> Cell:
    """CREAM with another place of its middle, or another mix of its modes."""
    about, options = ABLATIONS[name]
    run = recipe(
        "reproduce-cream",
        method=FREQUENCIES[frequencies],
        positions={"name": "cream", **options},
        data={"window": TRAINED},
    )
    about = f"{FREQUENCY_NAMES[frequencies]}, {about}"
    return Cell(f"{frequencies}-{name}", about, run, EXAMS, search=searched(frequencies, "cream"))


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
