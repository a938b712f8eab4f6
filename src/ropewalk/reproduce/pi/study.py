"""The study of Position Interpolation: tables 1 to 6 of arXiv:2306.15595."""

from __future__ import annotations

from ropewalk.cells.texts import MODULES, PROSE
from ropewalk.reproduce.pi.added_claims import added_claims
from ropewalk.reproduce.pi.cells import (
    BASES,
    CLOZE,
    FAR,
    FAR_FACTORS,
    KEYS,
    LONG_SERIES,
    LONGEST,
    METHODS,
    NAMES,
    NLL,
    SIZE_STEPS,
    STEP_SERIES,
    STEPS,
    TRAINED,
    all_cells,
    name_of,
    quick_cells,
    search,
)
from ropewalk.reproduce.pi.claims import first_claims, quick_claims
from ropewalk.reproduce.study import Study
from ropewalk.result import AGAINST_CUT, K_MAX, Along, Line, Panel

QUICK_NOTES = (
    "Perplexities are of the last 128 tokens of windows, the same tokens at every context length, so a row shows what "
    "more context is worth; the paper scores whole documents by sliding windows. The row of the context that is cut to "
    "the old window is what the untouched model makes of the same tokens without anything far away.",
    "Trained on text alone, as in the paper; 8,192 tokens a step for every cell. Not made here: models of other sizes "
    "(table 4), multiple-choice tasks (table 5) and summaries (table 6), and windows beyond 8 times the old one.",
)
NOTES = (
    QUICK_NOTES[0],
    "Trained on text alone, as in the paper; 8,192 tokens a step for every cell. From 16 times the window on few "
    "modules fill a window alone: shorter ones stand in it side by side and do not see each other. All models but "
    "those of another size start from the built-in one.",
    "*far* is one window of each module at every length, also beyond what a cell was trained for.",
    "*cloze* stands in the place of the multiple-choice suites (table 5): which of four names of the code comes next. "
    "All four stand in the context; the greatest summed log-likelihood wins, without division by length; chance is "
    "0.25.",
    "*names* stands in the place of summaries (table 6): the names of the functions that a stretch of a module "
    "defines, decoded greedily. The model whose text is cut to the old window is asked for all of them, and is not "
    "extended.",
    "Sizes (table 4): the model of 1.3M parameters is pre-trained by this study itself, from random weights, on text "
    "and recall tasks at the old window, for fewer tokens than the built-in one; it takes the learning rates that were "
    "searched for that one. 16M parameters would be one more entry in a table of the code and are left out, because "
    "their pre-training alone takes hours of two cores: what is consistent across sizes rests on two of them.",
)


def position_interpolation(*, quick: bool) -> Study:
    """The study of PI: the quick set of five cells, or all tables."""
    whole = ((MODULES, NLL), (PROSE, NLL), (FAR, NLL), (KEYS, "passkey"), (CLOZE, CLOZE))
    rouge = tuple((NAMES, measure) for measure in ("rouge1", "rouge2", "rougeL"))
    return Study(
        name="pi",
        title="Position Interpolation",
        paper="2306.15595",
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=quick_claims() if quick else (*first_claims(), *added_claims()),
        shown=((MODULES, NLL),) if quick else (*whole, *rouge),
        depths=() if quick else ((KEYS, "passkey", LONGEST),),
        panels=(against_cut(),) if quick else (against_cut(), keys_found(), by_factor(), by_steps(), reach_by_steps()),
        searches=() if quick else tuple(search(method) for method in METHODS),
        defaults=dict.fromkeys(METHODS, 1e-3),
        notes=QUICK_NOTES if quick else NOTES,
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


def by_factor() -> Panel:
    """Where PI stops winning: both methods at their targets."""
    factors = (2, 4, 8, *FAR_FACTORS)
    lines = tuple(
        Line(
            name=words,
            cells=tuple((float(factor), name_of(method, factor)) for factor in factors),
            at=tuple((FAR if factor in FAR_FACTORS else MODULES, factor * TRAINED) for factor in factors),
        )
        for method, words in METHODS.items()
    )
    axis = Along(title="target, times the old window", lines=lines)
    return Panel(title="NLL at the target against the cut context", of=MODULES, measure=NLL + AGAINST_CUT, along=axis)


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
    series = ((float(steps), name_of(method, 8, steps)) for steps in sorted((*STEP_SERIES, STEPS, *LONG_SERIES)))
    return Line(name=METHODS[method], cells=((0.0, start), *series))
