"""What the paper claims of more steps, another size and farther targets, registered before the runs."""

from __future__ import annotations

from ropewalk.cells.readings import Reading
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.pi.cells import (
    BASES,
    FAR,
    FAR_FACTORS,
    LONGEST,
    NAMES,
    NAMES_WINDOW,
    STEPS,
    TRAINED,
    name_of,
)
from ropewalk.reproduce.pi.claims import (
    SMALLEST,
    SMALLEST_CLOZE,
    SMALLEST_RECALL,
    choices,
    choices_cost_little,
    far_keys,
    nll,
)

SMALLEST_ROUGE = 0.05
FEW, MANY = 100, 500  # steps


def scaling_claims() -> tuple[Claim, ...]:
    """Everything that the study of scaling judges."""
    sizes = [claim for base in BASES for claim in (faster_at_size(base), keys_at_size(base))]
    return (
        *(faster_far(factor) for factor in FAR_FACTORS),
        ahead_in_the_end(),
        few_steps_suffice(),
        keys_with_fewer_steps(),
        *sizes,
        choices_cost_little(FAR_FACTORS[-1]),
        farther_choices_cost_more(),
        whole_text_helps(),
    )


def faster_far(factor: int) -> Claim:
    """Table 1 at targets beyond 8 times the window: where PI stops winning."""
    length = factor * TRAINED
    return Claim(
        name=f"adapts-faster-{factor}x-far",
        source="table 1",
        words=f"PI adapts faster than direct fine-tuning also to {factor} times the window: after the same {STEPS} "
        f"steps its NLL at {length:,} tokens is lower.",
        figure="PI, 7B to 32K (16 times): 6.77 at 32,768 tokens; direct fine-tuning was not taken that far",
        terms=minus(nll(name_of("none", factor), length, FAR), nll(name_of("linear", factor), length, FAR)),
        contrast=f"NLL of direct fine-tuning minus NLL of PI at {length:,} tokens",
        smallest_effect=SMALLEST,
    )


def ahead_in_the_end() -> Claim:
    """Table 1 at 8 times the window with ten times the steps of the study to that target."""
    return Claim(
        name="adapts-faster-8x-most-steps",
        source="table 1",
        words=f"PI is ahead of direct fine-tuning also after the same {MANY} steps at 8 times the window: its NLL at "
        f"{LONGEST:,} tokens is lower.",
        figure="PG-19, 4x, PI after 1,000 steps against direct fine-tuning after 10,000: 7B 6.95 against 7.69",
        terms=minus(nll(name_of("none", 8, MANY), LONGEST), nll(name_of("linear", 8, MANY), LONGEST)),
        contrast=f"NLL of direct fine-tuning minus NLL of PI at {LONGEST:,} tokens",
        smallest_effect=SMALLEST,
    )


def few_steps_suffice() -> Claim:
    """Table 3: what 1,000 steps bring is there after 200."""
    return Claim(
        name="few-steps-suffice",
        source="table 3",
        words=f"A fifth of the training suffices: {FEW} of {MANY:,} steps bring nine tenths of what all bring.",
        figure="8K: 16.10 without training, 7.12 after 200 steps, 6.95 after 1,000: 97 % of the fall in NLL",
        terms=(
            (0.1, nll("linear-8x-0", LONGEST)),
            (-1.0, nll(name_of("linear", 8, FEW), LONGEST)),
            (0.9, nll(name_of("linear", 8, MANY), LONGEST)),
        ),
        contrast=f"fall of NLL at {LONGEST:,} tokens in {FEW} steps minus nine tenths of that in {MANY:,}",
        smallest_effect=SMALLEST,
    )


def keys_with_fewer_steps() -> Claim:
    """Table 4: more steps do not help direct fine-tuning."""
    return Claim(
        name="keys-reach-with-fewer-steps",
        source="table 4",
        words=f"No amount of training makes up for it: PI after {FEW} steps finds more far pass keys than direct "
        f"fine-tuning after {MANY:,}.",
        figure="k_max at 8K: PI 8,192 after 200 steps; direct fine-tuning 2,304 after 1,000 and 2,560 after 10,000",
        terms=minus(far_keys(name_of("linear", 8, FEW)), far_keys(name_of("none", 8, MANY))),
        contrast=f"share of far pass keys found by PI after {FEW} steps minus by direct fine-tuning after {MANY:,}",
        smallest_effect=SMALLEST_RECALL,
    )


def faster_at_size(base: str) -> Claim:
    """Tables 1 and 4: the same in other sizes."""
    return Claim(
        name=f"adapts-faster-8x-{base}",
        source="tables 1 and 4",
        words=f"The size of the model changes nothing: with {BASES[base].about}, too, PI has the lower NLL at "
        f"{LONGEST:,} tokens after the same {STEPS} steps.",
        figure="4 times the window, 33B as 7B: 5.71 against 6.21, and 6.95 against 7.69",
        terms=minus(
            nll(f"{name_of('none', 8)}-{base}", LONGEST),
            nll(f"{name_of('linear', 8)}-{base}", LONGEST),
        ),
        contrast=f"NLL of direct fine-tuning minus NLL of PI at {LONGEST:,} tokens",
        smallest_effect=SMALLEST,
    )


def keys_at_size(base: str) -> Claim:
    """Table 4: the effective window is the target in every size."""
    return Claim(
        name=f"keys-reach-8x-{base}",
        source="table 4",
        words=f"The size of the model changes nothing: with {BASES[base].about}, too, PI finds more far pass keys than "
        f"direct fine-tuning after {FEW} steps.",
        figure="k_max at 8K after 200 steps, 33B as 7B: 8,192 against 1,792",
        terms=minus(
            far_keys(f"{name_of('linear', 8, FEW)}-{base}"),
            far_keys(f"{name_of('none', 8, FEW)}-{base}"),
        ),
        contrast="share of far pass keys found by PI minus by direct fine-tuning",
        smallest_effect=SMALLEST_RECALL,
    )


def farther_choices_cost_more() -> Claim:
    """Table 5: the cost grows with the target."""
    return Claim(
        name="farther-choices-cost-more",
        source="table 5",
        words="A longer target costs more inside the old window: names are chosen worse after 32 times than after "
        "8 times.",
        figure="BoolQ, 7B: 73.2 at 4 times, 64.7 at 16 times the window",
        terms=minus(choices(name_of("linear", 8)), choices(name_of("linear", 32))),
        contrast=f"share of names chosen rightly by PI to {LONGEST:,} minus by PI to {32 * TRAINED:,} tokens",
        smallest_effect=SMALLEST_CLOZE,
    )


def whole_text_helps() -> Claim:
    """Table 6: a summary needs the document."""
    return Claim(
        name="whole-text-helps",
        source="table 6",
        words=f"A model extended by PI uses a long text for a task: it lists function names of {NAMES_WINDOW:,} tokens "
        f"better than an unextended one that is shown {TRAINED}.",
        figure="GovReport, 7B to 16K: ROUGE-1, -2, -L 60.0, 28.0, 29.5, near systems made for the task",
        terms=minus(
            Reading("names-linear", NAMES, "rougeL", NAMES_WINDOW), Reading("names-cut", NAMES, "rougeL", TRAINED)
        ),
        contrast="ROUGE-L of the model that reads the whole text minus of the one that reads its beginning",
        smallest_effect=SMALLEST_ROUGE,
        mechanism_only="a model of this size learns a list and no summary, and the paper compares with other systems",
    )
