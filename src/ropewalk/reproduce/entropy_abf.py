"""Entropy-ABF in miniature: 100 samples and 6 steps of arXiv:2401.07004 on the built-in model, 256 to 1,024 tokens."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.cells import Cell
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.exams import EvaluationExam
from ropewalk.reproduce.readings import Reading
from ropewalk.reproduce.runs import recipe, seeds
from ropewalk.reproduce.samples import SampleSet
from ropewalk.reproduce.search import Search
from ropewalk.reproduce.study import Study
from ropewalk.reproduce.texts import MODULES
from ropewalk.result import AGAINST_CUT, Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.reproduce.exams import Exam

TRAINED, TARGET, BEYOND = 256, 1024, 2048  # tokens
LENGTHS = (256, 512, 1024, 2048)
BASE = 500.0  # of the built-in model
FACTOR = TARGET // TRAINED
SAMPLES, BATCH, EPOCHS = 100, 32, 2
NLL, RECALL = "paired_nll", "recall"
SMALLEST = 0.01  # nats per token
SMALLEST_RECALL = 0.05
TITLE = "NLL against the context cut to the old window"

TEXT_EXAM = EvaluationExam(MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES)
RECALL_EXAM = EvaluationExam(RECALL, EvaluationPlan(lengths=LENGTHS, contexts=16, tasks=("key-value",)))
EXAMS = (TEXT_EXAM, RECALL_EXAM)
QUICK_EXAM = dataclasses.replace(TEXT_EXAM, plan=dataclasses.replace(TEXT_EXAM.plan, windows_per_document=2))

FIVE: Mapping[str, dict[str, Any]] = {
    "linear": {"name": "linear"},
    "ntk-by-parts": {"name": "ntk-by-parts"},
    "yarn": {"name": "yarn"},
    "abf": {"name": "abf"},
    "entropy-abf": {"name": "entropy-abf"},
}
NAMES = {"linear": "PI", "ntk-by-parts": "NTK-by-parts", "yarn": "YaRN", "abf": "ABF", "entropy-abf": "Entropy-ABF"}
MATCHED: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "linear-8": ("linear", "PI, factor 8", {"name": "linear", "factor": 8.0}),
    "yarn-8": ("yarn", "YaRN, factor 8", {"name": "yarn", "factor": 8.0}),
    "abf-8": ("abf", "ABF, base x 8", {"name": "abf", "base": 8 * BASE}),
    "entropy-abf-8": ("entropy-abf", "Entropy-ABF, base x 8", {"name": "entropy-abf", "base": 8 * BASE}),
    "abf-16": ("abf", "ABF, base x 16", {"name": "abf", "base": 16 * BASE}),
    "entropy-abf-16": ("entropy-abf", "Entropy-ABF, base x 16", {"name": "entropy-abf", "base": 16 * BASE}),
}
EXEMPT = {0: "no layer exempt (the released code)", 1: "layer 0 exempt", 3: "layers 0 to 2 exempt"}

NOTES = (
    "The 100 samples are 100 stretches of 1,024 tokens of modules that the built-in model was trained on, other ones "
    "for each seed; every token is learned. The paper's are conversations of which the answers are learned. Each model "
    "sees 3 x 32 of them in each of 2 epochs.",
    "The context of 2,048 tokens is twice the window that the models were tuned for. There the stretch decides, so "
    "Entropy-ABF is compared with ABF of the same base, and with PI and YaRN stretched by 8 instead of 4 as well.",
    "Entropy-ABF takes the learning rate that was searched for ABF, so that nothing but the scale differs.",
    "Not made here: 3,500 samples, loss on answers of long conversations, the data composition of table 3, LongBench.",
)


def entropy_abf(*, quick: bool) -> Study:
    """The study of Entropy-ABF: ABF with and without the scale, or everything."""
    return Study(
        name="entropy-abf",
        title="Entropy-ABF: 100 samples, 6 steps",
        paper="2401.07004",
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=scale_helps() if quick else (*scale_helps(), *all_claims()),
        shown=((MODULES, NLL),) if quick else ((MODULES, NLL), (RECALL, "key_value")),
        panels=panels(quick=quick),
        searches=() if quick else tuple(search(method) for method in FIVE if method != "entropy-abf"),
        defaults=dict.fromkeys(FIVE, 1e-3),
        notes=NOTES,
    )


def quick_cells() -> tuple[Cell, ...]:
    """ABF and Entropy-ABF of equal base, three seeds."""
    pairs = [five(method, seed, exams=(QUICK_EXAM,)) for seed in seeds(3) for method in ("abf", "entropy-abf")]
    return (untouched((QUICK_EXAM,)), *pairs)


def all_cells() -> tuple[Cell, ...]:
    """What matters most comes first."""
    return (
        untouched(EXAMS),
        *(five(method, seed) for seed in seeds(3) for method in FIVE),
        *(cell(name, about, method, search=searched) for name, (searched, about, method) in MATCHED.items()),
        *(exempt(layers, words) for layers, words in EXEMPT.items()),
        *(five(method, 0, count=count) for count in (32, 1000) for method in ("abf", "entropy-abf", "yarn")),
        *(untrained(method) for method in FIVE),
        *(same_tokens(seed) for seed in seeds(3)),
    )


def untouched(exams: Sequence[Exam]) -> Cell:
    """The built-in model as it is."""
    return Cell("untouched", "untouched", None, tuple(exams))


def five(method: str, seed: int, *, count: int = SAMPLES, exams: Sequence[Exam] = EXAMS) -> Cell:
    """One of the paper's five methods, trained on so many samples."""
    name = method if count == SAMPLES else f"{method}-{count}-samples"
    about = NAMES[method] if count == SAMPLES else f"{NAMES[method]}, {count:,} samples"
    return cell(name, about, FIVE[method], search=method, seed=seed, count=count, exams=exams)


def cell(
    name: str,
    about: str,
    method: dict[str, Any],
    *,
    search: str,
    seed: int = 0,
    count: int = SAMPLES,
    exams: Sequence[Exam] = EXAMS,
) -> Cell:
    """A model trained at 4 times the window."""
    run = recipe("reproduce-entropy-abf", method=method, train={"steps": steps_of(count), "seed": seed})
    return Cell(name, about, run, tuple(exams), samples=SampleSet(count, TARGET, seed), search=searched(search))


def steps_of(samples: int) -> int:
    """Updates of 2 epochs whose last, incomplete batches are dropped."""
    return EPOCHS * (samples // BATCH)


def searched(method: str) -> str:
    """Whose learning rate a method takes."""
    return "abf" if method == "entropy-abf" else method


def exempt(layers: int, words: str) -> Cell:
    """Entropy-ABF with another number of layers that keep their logits."""
    method = {"name": "entropy-abf", "exempt_layers": layers}
    return cell(f"exempt-{layers}", f"Entropy-ABF, {words}", method, search="entropy-abf")


def untrained(method: str) -> Cell:
    """A method without any training."""
    run = recipe("reproduce-entropy-abf", method=FIVE[method], train={"steps": 0})
    return Cell(f"{method}-untrained", f"{NAMES[method]}, untrained", run, EXAMS)


def same_tokens(seed: int) -> Cell:
    """The control: the same samples at the old window, nothing extended."""
    run = recipe(
        "reproduce-entropy-abf",
        target_length=TRAINED,
        method={"name": "none"},
        train={"batch": BATCH * FACTOR, "micro_batch": 8, "seed": seed},
        data={"packing": "fill"},
    )
    samples = SampleSet(SAMPLES, TARGET, seed)
    return Cell("control", "the same samples at the old window", run, EXAMS, samples=samples, search="abf")


def search(method: str) -> Search:
    """Of the learning rate of a method."""
    return Search(method, five(method, 0, exams=()), TARGET)


def scale_helps() -> tuple[Claim, ...]:
    """What the paper is named after: the scale at equal base, at the tuned window and beyond it."""
    return (
        Claim(
            name="scale-helps-at-target",
            source="table 2",
            words=f"The entropy-aware scale helps: at the tuned window of {TARGET:,} tokens Entropy-ABF's NLL is lower "
            "than ABF's with the same base, after 6 steps on the same 100 samples.",
            figure="LongBench-12 at 16K after 3,500 samples: 39.1 against 38.6; after 100: 37.4 against 35.1",
            terms=minus(_nll("abf", TARGET), _nll("entropy-abf", TARGET)),
            contrast=f"NLL of ABF minus NLL of Entropy-ABF at {TARGET:,} tokens",
            smallest_effect=SMALLEST,
            headline=True,
        ),
        Claim(
            name="scale-helps-beyond",
            source="table 4",
            words=f"The scale keeps the model robust beyond the tuned window: the same at {BEYOND:,} tokens.",
            figure="LongBench-12 at 32K, tuned for 16K: 39.1 against 37.6",
            terms=minus(_nll("abf", BEYOND), _nll("entropy-abf", BEYOND)),
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
        terms=minus(_nll(method, TARGET), _nll("entropy-abf", TARGET)),
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
        terms=minus(_nll(cell_name, BEYOND), _nll("entropy-abf", BEYOND)),
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
        terms=minus(_nll("entropy-abf-1000-samples", TARGET), _nll("entropy-abf", TARGET)),
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
            terms=minus(_nll(name, BEYOND), _nll("entropy-abf", BEYOND)),
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
        terms=minus(_nll("linear", TRAINED), _nll("entropy-abf", TRAINED)),
        contrast=f"NLL of PI minus NLL of Entropy-ABF at {TRAINED} tokens",
        smallest_effect=-SMALLEST,
    )


def panels(*, quick: bool) -> tuple[Panel, ...]:
    """Loss by context, and recall by context."""
    if quick:
        return (Panel(title=TITLE, of=MODULES, measure=NLL + AGAINST_CUT, cells=("abf", "entropy-abf")),)
    lines = (*FIVE, "yarn-8")
    return (
        Panel(title=TITLE, of=MODULES, measure=NLL + AGAINST_CUT, cells=lines),
        Panel(title="Key-value records found", of=RECALL, measure="key_value", cells=("untouched", *lines)),
    )


def _nll(cell_name: str, length: int) -> Reading:
    return Reading(cell_name, MODULES, NLL, length)
