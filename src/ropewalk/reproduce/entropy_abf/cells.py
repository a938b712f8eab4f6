"""The cells of Entropy-ABF's study: how each model is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.cells.cell import Cell
from ropewalk.cells.runs import recipe, seeds
from ropewalk.reproduce.bases import TunedBase
from ropewalk.reproduce.entropy_abf.exams import (
    CHAT_EXAM,
    EXAMS,
    FIVE_EXAMS,
    QUICK_EXAM,
    SCALE_EXAMS,
    TALK_EXAMS,
    TARGET,
    TRAINED,
    UNTRAINED_EXAMS,
)
from ropewalk.reproduce.long_conversations import LongConversationSet
from ropewalk.reproduce.samples import SampleSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.cells.exams import Exam

BASE = 500.0  # of the built-in model
FACTOR = TARGET // TRAINED
SAMPLES, BATCH, EPOCHS = 100, 32, 2
SCALED = ("abf", "entropy-abf")

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


def quick_cells() -> tuple[Cell, ...]:
    """ABF and Entropy-ABF of equal base, three seeds."""
    pairs = [five(method, seed, exams=(QUICK_EXAM,)) for seed in seeds(3) for method in ("abf", "entropy-abf")]
    return (untouched((QUICK_EXAM,)), *pairs)


def all_cells() -> tuple[Cell, ...]:
    """What matters most comes first."""
    return (
        untouched((*FIVE_EXAMS, CHAT_EXAM)),
        *(five(method, seed, exams=exams_of(method)) for seed in seeds(3) for method in FIVE),
        *(cell(name, about, method, search=searched) for name, (searched, about, method) in MATCHED.items()),
        *(exempt(layers, words) for layers, words in EXEMPT.items()),
        *(five(method, 0, count=count) for count in (32, 1000) for method in (*SCALED, "yarn")),
        *(untrained(method) for method in FIVE),
        *(same_tokens(seed) for seed in seeds(3)),
        *(conversations(method, seed) for seed in seeds(3) for method in SCALED),
        *(five(method, 0, count=32) for method in ("linear", "ntk-by-parts")),
        short(),
        short_then_long(),
    )


def exams_of(method: str) -> Sequence[Exam]:
    """Of one of the five methods after 100 samples."""
    return SCALE_EXAMS if method in SCALED else FIVE_EXAMS


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
    return Cell(f"{method}-untrained", f"{NAMES[method]}, untrained", run, UNTRAINED_EXAMS)


def conversations(method: str, seed: int) -> Cell:
    """ABF or Entropy-ABF after 6 steps on long conversations, of which the answers alone are learned."""
    run = recipe("reproduce-entropy-abf", method=FIVE[method], train={"seed": seed})
    about = f"{NAMES[method]}, {SAMPLES} conversations"
    samples = LongConversationSet(SAMPLES, TARGET, seed)
    return Cell(f"{method}-conversations", about, run, TALK_EXAMS, samples=samples, search=searched(method))


def short() -> Cell:
    """Entropy-ABF after as many tokens of short text."""
    run = recipe(
        "reproduce-entropy-abf",
        method=FIVE["entropy-abf"],
        train={"batch": BATCH * FACTOR, "micro_batch": 8},
        data={"window": TRAINED},
    )
    samples = SampleSet(SAMPLES * FACTOR, TRAINED, seed=0)
    return Cell(
        "short", f"Entropy-ABF, samples of {TRAINED} tokens", run, TALK_EXAMS, samples=samples, search=searched("abf")
    )


def short_then_long() -> Cell:
    """A curriculum: the built-in model on short text, then Entropy-ABF on long text, half of the tokens each."""
    steps = steps_of(SAMPLES) // EPOCHS
    first = recipe(
        "reproduce-entropy-abf",
        target_length=TRAINED,
        method={"name": "none"},
        train={"steps": steps, "batch": BATCH * FACTOR, "micro_batch": 8},
    )
    base = TunedBase("short-first", "tuned on short text", first, SampleSet(SAMPLES * FACTOR, TRAINED, seed=0))
    run = recipe("reproduce-entropy-abf", method=FIVE["entropy-abf"], train={"steps": steps})
    return Cell(
        "short-then-long",
        f"Entropy-ABF, samples of {TRAINED}, then of {TARGET:,} tokens",
        run,
        TALK_EXAMS,
        samples=SampleSet(SAMPLES, TARGET, seed=0),
        search=searched("abf"),
        base=base,
    )


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
