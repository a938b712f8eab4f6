"""What the paper claims of extending to 2, 4 and 8 times the window (tables 1 to 5), registered before the runs."""

from __future__ import annotations

import math

from ropewalk.cells.readings import Reading
from ropewalk.cells.texts import MODULES, PROSE
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.pi.cells import CLOZE, FEW_STEPS, KEYS, LONGEST, NLL, STEPS, TRAINED, name_of

SMALLEST = 0.02  # nats per token: two per cent of a perplexity
SMALLEST_RECALL = 0.1
SMALLEST_CLOZE = 0.05
FAR_KEYS = (0.0, 1 - 2 * TRAINED / LONGEST)  # depths of keys at least two old windows before the question


def quick_claims() -> tuple[Claim, ...]:
    """The contrast that the quick set is made for, at two factors."""
    return tuple(adapts_faster(factor, MODULES) for factor in (8, 2))


def all_claims() -> tuple[Claim, ...]:
    """Everything that the study judges."""
    faster = [adapts_faster(factor, of) for factor in (8, 4, 2) for of in (MODULES, PROSE)]
    return (
        *faster,
        explodes(),
        gains_from_context(),
        direct_gains_nothing(),
        keys_reach(),
        *costs(),
        early(),
        *(choices_cost_little(factor) for factor in (2, 8)),
    )


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
        terms=minus(nll(name_of("none", factor), length, of), nll(name_of("linear", factor), length, of)),
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
        terms=minus(nll("untouched", LONGEST), nll("untouched", TRAINED)),
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
        terms=minus(nll("linear-8x", TRAINED), nll("linear-8x", LONGEST)),
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
        terms=minus(nll("none-8x", LONGEST), nll("none-8x", TRAINED)),
        contrast=f"NLL of direct fine-tuning at {LONGEST:,} tokens minus at {TRAINED}",
        smallest_effect=SMALLEST,
    )


def keys_reach() -> Claim:
    """Table 4: the effective window by pass keys."""
    return Claim(
        name="keys-reach-8x",
        source="table 4",
        words="PI's effective window reaches the target where direct fine-tuning's hardly leaves the old one: it finds "
        f"more pass keys that stand {2 * TRAINED} tokens or more before the question.",
        figure="k_max at 8K after 200 steps: 8,192 against 1,792; direct fine-tuning after 10,000 steps: 2,560",
        terms=minus(far_keys("linear-8x"), far_keys("none-8x")),
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
            terms=minus(nll("untouched", TRAINED), nll("linear-8x", TRAINED)),
            contrast=f"NLL of the untouched model minus NLL of PI at {TRAINED} tokens",
            smallest_effect=-SMALLEST,
        ),
        Claim(
            name="farther-costs-more",
            source="tables 1 and 5",
            words="A longer target costs more inside the old window: 8 times against 2 times.",
            figure="PG-19 at 2,048 tokens, 7B: 7.13 for 8K, 7.23 for 32K; BoolQ 73.2 for 8K, 64.7 for 32K",
            terms=minus(nll("linear-8x", TRAINED), nll("linear-2x", TRAINED)),
            contrast=f"NLL of PI to {LONGEST:,} minus NLL of PI to {2 * TRAINED} tokens, at {TRAINED} tokens",
            smallest_effect=SMALLEST,
        ),
    )


def early() -> Claim:
    """Table 3: nearly everything is learned in the first fifth of the steps."""
    first = FEW_STEPS
    return Claim(
        name="adapts-early",
        source="table 3",
        words=f"Most is learned early: the first {first} of {STEPS} steps bring four fifths of what all bring.",
        figure="8K: 16.10 without training, 7.12 after 200 steps, 6.95 after 1,000",
        terms=(
            (0.2, nll("linear-8x-0", LONGEST)),
            (-1.0, nll(name_of("linear", 8, first), LONGEST)),
            (0.8, nll("linear-8x", LONGEST)),
        ),
        contrast=f"fall of NLL at {LONGEST:,} tokens in {first} steps minus four fifths of that in {STEPS}",
        smallest_effect=SMALLEST,
    )


def choices_cost_little(factor: int) -> Claim:
    """Table 5: multiple choice inside the old window."""
    return Claim(
        name=f"choices-cost-little-{factor}x",
        source="table 5",
        words=f"PI to {factor} times the window costs little inside the old one: of names, at most one in twenty more "
        "is chosen wrongly.",
        figure="BoolQ, 7B: 76.1 untouched, 73.2 at 4 times, 64.7 at 16 times the window",
        terms=minus(choices(name_of("linear", factor)), choices("untouched")),
        contrast=f"share of names chosen rightly by PI minus by the untouched model, in {TRAINED} tokens",
        smallest_effect=-SMALLEST_CLOZE,
    )


def nll(cell: str, length: int, of: str = MODULES) -> Reading:
    """Loss of a cell at a context length."""
    return Reading(cell, of, NLL, length)


def far_keys(cell: str) -> Reading:
    """Share of the pass keys that stand at least two old windows before the question."""
    return Reading(cell, KEYS, "passkey", LONGEST, FAR_KEYS)


def choices(cell: str) -> Reading:
    """Share of the names of the code that are chosen rightly."""
    return Reading(cell, CLOZE, CLOZE, TRAINED)
