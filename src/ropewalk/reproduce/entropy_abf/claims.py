"""What the paper claims, as differences that were written down before the runs: loss, recall and exempt layers."""

from __future__ import annotations

from ropewalk.cells.readings import Reading
from ropewalk.cells.texts import MODULES
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.entropy_abf.cells import MATCHED, NAMES
from ropewalk.reproduce.entropy_abf.exams import BEYOND, NLL, RECALL, TARGET, TRAINED

SMALLEST = 0.01  # nats per token
SMALLEST_RECALL = 0.05


def nll(cell: str, length: int) -> Reading:
    """Loss of a cell on held-out modules."""
    return Reading(cell, MODULES, NLL, length)


def scale_helps() -> tuple[Claim, ...]:
    """What the paper is named after: the scale at equal base, at the tuned window and beyond it."""
    return (
        Claim(
            name="scale-helps-at-target",
            source="table 2",
            words=f"The entropy-aware scale helps: at the tuned window of {TARGET:,} tokens Entropy-ABF's NLL is lower "
            "than ABF's with the same base, after 6 steps on the same 100 samples.",
            figure="LongBench-12 at 16K after 3,500 samples: 39.1 against 38.6; after 100: 37.4 against 35.1",
            terms=minus(nll("abf", TARGET), nll("entropy-abf", TARGET)),
            contrast=f"NLL of ABF minus NLL of Entropy-ABF at {TARGET:,} tokens",
            smallest_effect=SMALLEST,
            headline=True,
        ),
        Claim(
            name="scale-helps-beyond",
            source="table 4",
            words=f"The scale keeps the model robust beyond the tuned window: the same at {BEYOND:,} tokens.",
            figure="LongBench-12 at 32K, tuned for 16K: 39.1 against 37.6",
            terms=minus(nll("abf", BEYOND), nll("entropy-abf", BEYOND)),
            contrast=f"NLL of ABF minus NLL of Entropy-ABF at {BEYOND:,} tokens",
            smallest_effect=SMALLEST,
            headline=True,
        ),
    )


def all_claims() -> tuple[Claim, ...]:
    """Everything else that is judged."""
    figures = {"linear": "33.8", "ntk-by-parts": "31.9", "yarn": "30.9"}
    return (
        *(beats(method, figure) for method, figure in figures.items()),
        *(robust(method, other) for method, other in (("yarn", "yarn"), ("yarn-8", "yarn"), ("linear-8", "linear"))),
        *recall_claims(),
        few_samples(),
        *exempt_claims(),
        costs_inside(),
    )


def beats(method: str, figure: str) -> Claim:
    """Table 5 at 100 samples: the ranking."""
    return Claim(
        name=f"beats-{method}",
        source="table 5",
        words=f"After 6 steps on 100 samples Entropy-ABF is better than {NAMES[method]} at the tuned window.",
        figure=f"LongBench-12 after 100 samples: 37.4 against {figure}",
        terms=minus(nll(method, TARGET), nll("entropy-abf", TARGET)),
        contrast=f"NLL of {NAMES[method]} minus NLL of Entropy-ABF at {TARGET:,} tokens",
        smallest_effect=SMALLEST,
        headline=True,
    )


def robust(cell_name: str, method: str) -> Claim:
    """Table 4 at twice the tuned window, also at matched stretch."""
    matched = cell_name != method
    name = MATCHED[cell_name][1] if matched else NAMES[method]
    return Claim(
        name=f"robust-beyond-{cell_name}",
        source="table 4",
        words=f"Beyond the tuned window Entropy-ABF is better than {name}"
        + (" (matched stretch)." if matched else "."),
        figure="LongBench-12 at 32K: 39.1 against PI 28.4, YaRN 28.6; without matched stretch",
        terms=minus(nll(cell_name, BEYOND), nll("entropy-abf", BEYOND)),
        contrast=f"NLL of {name} minus NLL of Entropy-ABF at {BEYOND:,} tokens",
        smallest_effect=SMALLEST,
        headline=not matched,
    )


def recall_claims() -> tuple[Claim, ...]:
    """Retrieval, the paper's LongEval line retrieval."""
    return tuple(
        Claim(
            name=f"recall-{length}",
            source="section 4",
            words=f"The scale helps retrieval at {length:,} tokens: more records are found than with ABF of equal "
            "base.",
            figure="none for ABF against Entropy-ABF",
            terms=minus(
                Reading("entropy-abf", RECALL, "key_value", length), Reading("abf", RECALL, "key_value", length)
            ),
            contrast=f"share of records found by Entropy-ABF minus by ABF at {length:,} tokens",
            smallest_effect=SMALLEST_RECALL,
        )
        for length in (TARGET, BEYOND)
    )


def few_samples() -> Claim:
    """Table 5: 100 samples suffice."""
    return Claim(
        name="hundred-samples-suffice",
        source="table 5",
        words="100 samples are enough: 1,000 bring Entropy-ABF no more than the smallest effect.",
        figure="LongBench-12: 37.4 after 100, 38.3 after 1,000, 39.1 after 3,500",
        terms=minus(nll("entropy-abf-1000-samples", TARGET), nll("entropy-abf", TARGET)),
        contrast=f"NLL after 1,000 samples minus NLL after 100, at {TARGET:,} tokens",
        smallest_effect=-SMALLEST,
        headline=True,
        mechanism_only="that 100 samples suffice rests on a strong pretrained model, and the built-in model is none",
    )


def exempt_claims() -> tuple[Claim, ...]:
    """Section 4: the first two layers should keep their logits."""
    others = {"exempt-0": "scaling every layer", "exempt-1": "exempting one"}
    return tuple(
        Claim(
            name=f"two-exempt-against-{name}",
            source="section 4",
            words=f"Exempting the first two layers is better than {words}.",
            figure="none for a single choice; entropy rises from the third layer on",
            terms=minus(nll(name, BEYOND), nll("entropy-abf", BEYOND)),
            contrast=f"NLL of {words} minus NLL of exempting two, at {BEYOND:,} tokens",
            smallest_effect=SMALLEST,
        )
        for name, words in others.items()
    )


def costs_inside() -> Claim:
    """Table 4's first column: nothing is lost inside the old window."""
    return Claim(
        name="costs-little-inside",
        source="table 4",
        words="Entropy-ABF keeps what the model could inside its window, as well as PI does or better.",
        figure="LongBench-12 at 4K: 36.3 against PI 36.2",
        terms=minus(nll("linear", TRAINED), nll("entropy-abf", TRAINED)),
        contrast=f"NLL of PI minus NLL of Entropy-ABF at {TRAINED} tokens",
        smallest_effect=-SMALLEST,
    )
