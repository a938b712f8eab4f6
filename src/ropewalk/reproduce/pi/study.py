"""The studies of Position Interpolation (arXiv:2306.15595): whether it extends a window, and how that scales."""

from __future__ import annotations

from ropewalk.cells.texts import MODULES, PROSE
from ropewalk.errors import OptionError
from ropewalk.reproduce.pi.cells import (
    BASES,
    CLOZE,
    FAR,
    FAR_FACTORS,
    KEYS,
    LONGEST,
    METHODS,
    NAMES,
    NLL,
    SIZE_STEPS,
    STEP_SERIES,
    TRAINED,
    all_cells,
    name_of,
    quick_cells,
    scaling_cells,
    search,
)
from ropewalk.reproduce.pi.claims import all_claims, quick_claims
from ropewalk.reproduce.pi.scaling_claims import scaling_claims
from ropewalk.reproduce.study import Study
from ropewalk.result import AGAINST_CUT, K_MAX, Along, Line, Panel

PAPER = "2306.15595"
RATES = dict.fromkeys(METHODS, 1e-3)  # what the searches of the study to 8 times the window chose
MEASURED = (
    "Perplexities are of the last 128 tokens of windows, the same tokens at every context length, so a row shows what "
    "more context is worth; the paper scores whole documents by sliding windows. The row of the context that is cut to "
    "the old window is what the untouched model makes of the same tokens without anything far away."
)
FAR_NOTE = "*far* is one window of each module at every length, also beyond what a cell was trained for."
CLOZE_NOTE = (
    "*cloze* stands in the place of the multiple-choice suites (table 5): which of four names of the code comes next. "
    "All four stand in the context; the greatest summed log-likelihood wins, without division by length; chance is "
    "0.25."
)
ELSEWHERE = (
    "Not made here: more than 50 steps (table 3), targets beyond 8 times the window, models of other sizes (table 4) "
    "and summaries (table 6): `ropewalk reproduce pi-scaling` makes them."
)
QUICK_NOTES = (MEASURED, f"Trained on text alone, as in the paper; 8,192 tokens a step for every cell. {ELSEWHERE}")
NOTES = (*QUICK_NOTES, FAR_NOTE, CLOZE_NOTE)
SCALING_NOTES = (
    MEASURED,
    "One seed, and the learning rates that `ropewalk reproduce pi` searched. Trained on text alone, as in the paper; "
    "8,192 tokens a step for every cell. A training with more steps goes on from the one with fewer, which is the same "
    "as making it alone, because the rate is constant. From 16 times the window on few modules fill a window alone: "
    "shorter ones stand in it side by side and do not see each other.",
    "The steps end at 500, not at the paper's 1,000, which would take two cores another hour; from some 250 on the "
    "training text comes round again.",
    FAR_NOTE,
    CLOZE_NOTE,
    "*names* stands in the place of summaries (table 6): the names of the functions that a stretch of a module "
    "defines, decoded greedily. The model whose text is cut to the old window is asked for all of them, and is not "
    "extended.",
    "Sizes (table 4): the model of 1.3M parameters is pre-trained by this study itself, from random weights, on text "
    "and recall tasks at the old window, for fewer tokens than the built-in one; it takes the learning rates that were "
    "searched for that one. 16M parameters would be one more entry in a table of the code and are left out, because "
    "their pre-training alone takes hours of two cores: what is consistent across sizes rests on two of them.",
)


def position_interpolation(*, quick: bool) -> Study:
    """The study of PI to 8 times the window: the quick set of five cells, or all of it."""
    return Study(
        name="pi",
        title="Position Interpolation",
        paper=PAPER,
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=quick_claims() if quick else all_claims(),
        shown=((MODULES, NLL),)
        if quick
        else ((MODULES, NLL), (PROSE, NLL), (FAR, NLL), (KEYS, "passkey"), (CLOZE, CLOZE)),
        depths=() if quick else ((KEYS, "passkey", LONGEST),),
        panels=(against_cut(),) if quick else (against_cut(), keys_found(), by_factor(MODULES, (2, 4, 8))),
        searches=() if quick else tuple(search(method) for method in METHODS),
        defaults=RATES,
        notes=QUICK_NOTES if quick else NOTES,
    )


def scaling_of_interpolation(*, quick: bool) -> Study:
    """The study of how PI scales with steps, targets and sizes; it has no quick set.

    Raises:
        OptionError: A quick set is asked for.
    """
    if quick:
        raise OptionError(
            "the study of how Position Interpolation scales has one set of cells; got --quick. Leave it out, or run "
            "the quick set of pi."
        )
    rouge = tuple((NAMES, measure) for measure in ("rouge1", "rouge2", "rougeL"))
    return Study(
        name="pi-scaling",
        title="Position Interpolation: steps, targets and sizes",
        paper=PAPER,
        quick=False,
        cells=scaling_cells(),
        claims=scaling_claims(),
        shown=((MODULES, NLL), (FAR, NLL), (KEYS, "passkey"), (CLOZE, CLOZE), *rouge),
        depths=((KEYS, "passkey", LONGEST),),
        panels=(by_steps(), reach_by_steps(), by_factor(FAR, (8, *FAR_FACTORS))),
        defaults=RATES,
        notes=SCALING_NOTES,
    )


def against_cut() -> Panel:
    """Tables 1 and 2: loss by context."""
    lines = tuple(name_of(method, factor) for factor in (8, 2) for method in METHODS)
    return Panel(
        title="NLL against the context cut to the old window", of=MODULES, measure=NLL + AGAINST_CUT, cells=lines
    )


def keys_found() -> Panel:
    """Table 4 by distance."""
    cells = ("untouched", "linear-8x", "none-8x")
    return Panel(title="Pass keys found", of=KEYS, measure="passkey", cells=cells, at=LONGEST)


def by_factor(text: str, factors: tuple[int, ...]) -> Panel:
    """Where PI stops winning: both methods at their targets."""
    lines = tuple(
        Line(
            name=words,
            cells=tuple((float(factor), name_of(method, factor)) for factor in factors),
            at=tuple((text, factor * TRAINED) for factor in factors),
        )
        for method, words in METHODS.items()
    )
    axis = Along(title="target, times the old window", lines=lines)
    return Panel(title="NLL at the target against the cut context", of=text, measure=NLL + AGAINST_CUT, along=axis)


def by_steps() -> Panel:
    """Table 3: loss by steps."""
    axis = Along(title=f"training steps at {LONGEST:,} tokens", lines=tuple(_steps(method) for method in METHODS))
    return Panel(title=f"Perplexity at {LONGEST:,} tokens", of=MODULES, measure=NLL, at=LONGEST, along=axis)


def reach_by_steps() -> Panel:
    """Table 4: k_max by steps, in both sizes."""
    lines = [_steps(method) for method in METHODS]
    for base in BASES.values():
        for method, words in METHODS.items():
            cells = ((float(steps), f"{name_of(method, 8, steps)}-{base.name}") for steps in SIZE_STEPS)
            lines.append(Line(name=f"{base.about}: {words}", cells=tuple(cells)))
    axis = Along(title=f"training steps at {LONGEST:,} tokens", lines=tuple(lines))
    return Panel(title="k_max", of=KEYS, measure=K_MAX, at=LONGEST, along=axis)


def _steps(method: str) -> Line:
    """A method by its steps; none of direct fine-tuning is the untouched model."""
    start = "untouched" if method == "none" else name_of(method, 8, 0)
    series = ((float(steps), name_of(method, 8, steps)) for steps in STEP_SERIES)
    return Line(name=METHODS[method], cells=((0.0, start), *series))
