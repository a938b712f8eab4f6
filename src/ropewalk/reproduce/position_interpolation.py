"""Position Interpolation in miniature: tables 1 to 5 of arXiv:2306.15595 on the built-in model."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.cells import Cell
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.exams import EvaluationExam
from ropewalk.reproduce.readings import Reading
from ropewalk.reproduce.runs import recipe, seeds
from ropewalk.reproduce.search import Search
from ropewalk.reproduce.study import Study
from ropewalk.reproduce.texts import MODULES, PROSE
from ropewalk.result import AGAINST_CUT, Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.reproduce.exams import Exam

TRAINED = 256  # tokens: the built-in model's window
LENGTHS = (256, 512, 1024, 2048)
LONGEST = LENGTHS[-1]
STEP_TOKENS = 8192
STEPS = 50
STEP_SERIES = (10, 25, 100, 200)
DISTANCES = 16
METHODS = {"linear": "PI", "none": "direct fine-tuning"}
NLL = "paired_nll"
SMALLEST = 0.02  # nats per token: two per cent of a perplexity
SMALLEST_RECALL = 0.1
KEYS = "distances"

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
QUICK_EXAM = dataclasses.replace(MODULES_EXAM, plan=dataclasses.replace(MODULES_EXAM.plan, windows_per_document=2))
ALL_EXAMS = (MODULES_EXAM, PROSE_EXAM, KEYS_EXAM)

NOTES = (
    "Perplexities are of the last 128 tokens of windows, the same tokens at every context length, so a row shows what "
    "more context is worth; the paper scores whole documents by sliding windows. The row of the context that is cut to "
    "the old window is what the untouched model makes of the same tokens without anything far away.",
    "Trained on text alone, as in the paper; 8,192 tokens a step for every cell. Not made here: models of other sizes "
    "(table 4), multiple-choice tasks (table 5) and summaries (table 6), and windows beyond 8 times the old one.",
)


def position_interpolation(*, quick: bool) -> Study:
    """The study of PI: the quick set of five cells, or all tables."""
    return Study(
        name="pi",
        title="Position Interpolation",
        paper="2306.15595",
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=quick_claims() if quick else all_claims(),
        shown=((MODULES, NLL),) if quick else ((MODULES, NLL), (PROSE, NLL), (KEYS, "passkey")),
        depths=() if quick else ((KEYS, "passkey", LONGEST),),
        panels=panels(quick=quick),
        searches=() if quick else tuple(search(method) for method in METHODS),
        defaults=dict.fromkeys(METHODS, 1e-3),
        notes=NOTES,
    )


def quick_cells() -> tuple[Cell, ...]:
    """PI and direct fine-tuning at 2 and 8 times the window, one seed."""
    exams = (QUICK_EXAM,)
    return (untouched(exams), *(extended(m, f, exams=exams) for f in (8, 2) for m in METHODS))


def all_cells() -> tuple[Cell, ...]:
    """Tables 1 to 5; what matters most comes first."""
    headline = [extended(m, 8, exams=ALL_EXAMS, seed=seed) for seed in seeds(3) for m in METHODS]
    double = [extended(m, 2, exams=ALL_EXAMS, seed=seed) for seed in seeds(3) for m in METHODS]
    control = [same_tokens(seed) for seed in seeds(3)]
    fourfold = [extended(m, 4, exams=ALL_EXAMS) for m in METHODS]
    series = [extended(m, 8, exams=ALL_EXAMS, steps=steps) for steps in STEP_SERIES for m in METHODS]
    untrained = extended("linear", 8, exams=ALL_EXAMS, steps=0)
    return (untouched(ALL_EXAMS), untrained, *headline, *double, *control, *fourfold, *series)


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def extended(method: str, factor: int, *, exams: Sequence[Exam], seed: int = 0, steps: int = STEPS) -> Cell:
    """A model that is trained at `factor` times the window."""
    target = factor * TRAINED
    batch = STEP_TOKENS // target
    run = recipe(
        "reproduce-pi",
        target_length=target,
        method={"name": method},
        train={"steps": steps, "batch": batch, "micro_batch": max(1, batch // 4), "seed": seed},
    )
    about = f"{METHODS[method]}, {target:,} tokens" + ("" if steps == STEPS else f", {steps} steps")
    return Cell(name_of(method, factor, steps), about, run, tuple(exams), search=method)


def same_tokens(seed: int) -> Cell:
    """The control: as many tokens at the old window, nothing extended."""
    batch = STEP_TOKENS // TRAINED
    run = recipe(
        "reproduce-pi",
        target_length=TRAINED,
        method={"name": "none"},
        train={"batch": batch, "micro_batch": batch // 4, "seed": seed},
    )
    return Cell("control", "the same tokens at the old window", run, ALL_EXAMS, search="none")


def name_of(method: str, factor: int, steps: int = STEPS) -> str:
    """Of a cell."""
    return f"{method}-{factor}x" + ("" if steps == STEPS else f"-{steps}")


def search(method: str) -> Search:
    """Of the learning rate of a method, at 8 times the window."""
    return Search(method, extended(method, 8, exams=()), LONGEST)


def quick_claims() -> tuple[Claim, ...]:
    """The contrast that the quick set is made for, at two factors."""
    return tuple(adapts_faster(factor, MODULES) for factor in (8, 2))


def all_claims() -> tuple[Claim, ...]:
    """Everything that is judged."""
    faster = [adapts_faster(factor, of) for factor in (8, 4, 2) for of in (MODULES, PROSE)]
    return (*faster, explodes(), gains_from_context(), direct_gains_nothing(), keys_reach(), *costs(), early())


def adapts_faster(factor: int, of: str) -> Claim:
    """Table 1 and 2: PI against direct fine-tuning after the same steps."""
    length = factor * TRAINED
    figures = {
        MODULES: "PG-19, 4x after 1,000 steps against 10,000: 7B 6.95 against 7.69, 33B 5.71 against 6.21",
        PROSE: "Proof-pile, 4x: 7B 2.39 against 2.73, 33B 2.18 against 2.47",
    }
    return Claim(
        name=f"adapts-faster-{factor}x-{of}",
        source="table 1" if of == MODULES else "table 2",
        words=f"PI adapts faster than direct fine-tuning: after the same {STEPS} steps at {factor} times the window "
        f"its NLL at {length:,} tokens is lower ({of}).",
        figure=figures[of],
        terms=minus(_nll(name_of("none", factor), length, of), _nll(name_of("linear", factor), length, of)),
        contrast=f"NLL of direct fine-tuning minus NLL of PI at {length:,} tokens",
        smallest_effect=SMALLEST,
        headline=factor == 8 or of == MODULES,
    )


def explodes() -> Claim:
    """Section 2.2: the untouched model beyond its window."""
    return Claim(
        name="extrapolation-explodes",
        source="section 2.2, table 1",
        words=f"Without an extension perplexity explodes beyond the window: at {LONGEST:,} tokens it is at least three "
        f"times that at {TRAINED}.",
        figure="7B: 7.20 at 2,048, above 1,000 from 4,096 on",
        terms=minus(_nll("untouched", LONGEST), _nll("untouched", TRAINED)),
        contrast=f"NLL of the untouched model at {LONGEST:,} tokens minus at {TRAINED}",
        smallest_effect=math.log(3),
        headline=True,
    )


def gains_from_context() -> Claim:
    """Table 1: perplexity falls with the context."""
    return Claim(
        name="pi-gains-from-context",
        source="table 1",
        words="A model extended by PI uses its longer window: NLL falls from the old window to the new one.",
        figure="7B to 32K: 7.23 at 2,048 tokens, 6.77 at 32,768",
        terms=minus(_nll("linear-8x", TRAINED), _nll("linear-8x", LONGEST)),
        contrast=f"NLL of PI at {TRAINED} tokens minus at {LONGEST:,}",
        smallest_effect=SMALLEST,
        headline=True,
    )


def direct_gains_nothing() -> Claim:
    """Table 1: direct fine-tuning gets worse with context."""
    return Claim(
        name="direct-loses-with-context",
        source="table 1",
        words="Direct fine-tuning does not use the longer window: its NLL rises from the old window to the new one.",
        figure="7B to 8K after 10,000 steps: 7.21 at 2,048 tokens, 7.69 at 8,192",
        terms=minus(_nll("none-8x", LONGEST), _nll("none-8x", TRAINED)),
        contrast=f"NLL of direct fine-tuning at {LONGEST:,} tokens minus at {TRAINED}",
        smallest_effect=SMALLEST,
    )


def keys_reach() -> Claim:
    """Table 4: the effective window by pass keys."""
    far = (0.0, 1 - 2 * TRAINED / LONGEST)
    return Claim(
        name="keys-reach-8x",
        source="table 4",
        words="PI's effective window reaches the target where direct fine-tuning's hardly leaves the old one: it finds "
        f"more pass keys that stand {2 * TRAINED} tokens or more before the question.",
        figure="k_max at 8K after 200 steps: 8,192 against 1,792; direct fine-tuning after 10,000 steps: 2,560",
        terms=minus(
            Reading("linear-8x", KEYS, "passkey", LONGEST, far), Reading("none-8x", KEYS, "passkey", LONGEST, far)
        ),
        contrast="share of far pass keys found by PI minus by direct fine-tuning",
        smallest_effect=SMALLEST_RECALL,
        headline=True,
    )


def costs() -> tuple[Claim, ...]:
    """Table 1's first column and table 5: what is lost inside the old window."""
    return (
        Claim(
            name="costs-little-inside",
            source="tables 1 and 5",
            words="PI costs little inside the old window: NLL there is at most the smallest effect above the untouched "
            "model's.",
            figure="PG-19 at 2,048, 7B: 7.20 untouched, 7.13 to 7.23 extended; BoolQ 76.1, 73.2 at 8K, 64.7 at 32K",
            terms=minus(_nll("untouched", TRAINED), _nll("linear-8x", TRAINED)),
            contrast=f"NLL of the untouched model minus NLL of PI at {TRAINED} tokens",
            smallest_effect=-SMALLEST,
        ),
        Claim(
            name="farther-costs-more",
            source="tables 1 and 5",
            words="A longer target costs more inside the old window: 8 times against 2 times.",
            figure="PG-19 at 2,048 tokens, 7B: 7.13 for 8K, 7.23 for 32K; BoolQ 73.2 for 8K, 64.7 for 32K",
            terms=minus(_nll("linear-8x", TRAINED), _nll("linear-2x", TRAINED)),
            contrast=f"NLL of PI to {LONGEST:,} minus NLL of PI to {2 * TRAINED} tokens, at {TRAINED} tokens",
            smallest_effect=SMALLEST,
        ),
    )


def early() -> Claim:
    """Table 3: nearly everything is learned in the first fifth of the steps."""
    first = STEP_SERIES[0]
    return Claim(
        name="adapts-early",
        source="table 3",
        words=f"Most is learned early: the first {first} of {STEPS} steps bring four fifths of what all bring.",
        figure="8K: 16.10 without training, 7.12 after 200 steps, 6.95 after 1,000",
        terms=(
            (0.2, _nll("linear-8x-0", LONGEST)),
            (-1.0, _nll(name_of("linear", 8, first), LONGEST)),
            (0.8, _nll("linear-8x", LONGEST)),
        ),
        contrast=f"fall of NLL at {LONGEST:,} tokens in {first} steps minus four fifths of that in {STEPS}",
        smallest_effect=SMALLEST,
    )


def panels(*, quick: bool) -> tuple[Panel, ...]:
    """Loss by context; for the whole study also keys by distance."""
    lines = tuple(name_of(method, factor) for factor in (8, 2) for method in METHODS)
    title = "NLL against the context cut to the old window"
    text = Panel(title=title, of=MODULES, measure=NLL + AGAINST_CUT, cells=lines)
    if quick:
        return (text,)
    cells = ("untouched", "linear-8x", "none-8x")
    return (text, Panel(title="Pass keys found", of=KEYS, measure="passkey", cells=cells, at=LONGEST))


def _nll(cell: str, length: int, of: str = MODULES) -> Reading:
    return Reading(cell, of, NLL, length)
