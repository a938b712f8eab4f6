"""Entropy-ABF in miniature as a study: its cells, claims, tables and figure, and what the reader should know."""

from __future__ import annotations

from ropewalk.cells.texts import MODULES
from ropewalk.reproduce.attention_exams import ALL_LAYERS, FIRST_LAYERS, LATER_LAYERS, SLOPES, slope_measure
from ropewalk.reproduce.entropy_abf.attention_claims import attention_claims
from ropewalk.reproduce.entropy_abf.cells import FIVE, NAMES, SAMPLES, SCALED, all_cells, five, quick_cells
from ropewalk.reproduce.entropy_abf.claims import all_claims, scale_helps
from ropewalk.reproduce.entropy_abf.data_claims import data_claims
from ropewalk.reproduce.entropy_abf.exams import (
    BEYOND,
    CHAT,
    ENTROPY,
    NLL,
    RECALL,
    SLOPES_OF,
    TARGET,
    TASKS,
)
from ropewalk.reproduce.recall_exams import ANSWERS_LOSS, BATTERY, CHAT_RECALL
from ropewalk.reproduce.search import Search
from ropewalk.reproduce.study import Study
from ropewalk.result import AGAINST_CUT, Along, Line, Panel

TITLE = "NLL against the context cut to the old window"
SHOWN = (
    (MODULES, NLL),
    (RECALL, "key_value"),
    (TASKS, BATTERY),
    (CHAT, CHAT_RECALL),
    (CHAT, ANSWERS_LOSS),
    (ENTROPY, FIRST_LAYERS),
    (ENTROPY, LATER_LAYERS),
)
LAYERS = (0, 1, 2, 3, ALL_LAYERS)  # of the built-in model

NOTES = (
    "The 100 samples are 100 stretches of 1,024 tokens of modules that the built-in model was trained on, other ones "
    "for each seed; every token is learned. The paper's are conversations of which the answers are learned. Each model "
    "sees 3 x 32 of them in each of 2 epochs.",
    "The context of 2,048 tokens is twice the window that the models were tuned for. There the stretch decides, so "
    "Entropy-ABF is compared with ABF of the same base, and with PI and YaRN stretched by 8 instead of 4 as well.",
    "Entropy-ABF takes the learning rate that was searched for ABF, so that nothing but the scale differs. Models that "
    "learn conversations or short text take it, too.",
    "The most are 1,000 samples, of the paper's 3,500: the training modules hold some 1,800 disjoint stretches of "
    "1,024 tokens, and those were left out for want of hours. PI and NTK-by-parts are not trained on 1,000 either.",
    "Exempt layers: 2 is the paper's and ours everywhere; with all layers exempt there is no scale, which is ABF.",
    "Attention entropy is the mean over heads and 8 query positions of the quarter octave that ends with the length "
    "that is named. The untouched model's and the untrained models' were known when the claims about them were "
    "written down (docs/LOG.md), those of trained models were not. Slopes are put into trained models without training "
    "them again: layers above the changed one get other inputs than in training.",
    "In place of LongBench-12 stands the mean over four tasks that the untouched model can do inside its window: a "
    "pass key and eight key-value records, each in repeated sentences and in source text. Left out is what it cannot "
    "do there at all (RULER's needles, several named pass keys, LongChat lines: no better than blind choice when "
    "the tasks were chosen) and what does not fit into it (json-kv, common and frequent words, variable tracking).",
    "The long conversations are made from a seed: the user pastes text, states records in it, and asks for one; only "
    "answers are learned. Each has a window of 1,024 tokens to itself. In place of the paper's tasks of table 3 "
    "stand loss and recall.",
)


def entropy_abf(*, quick: bool) -> Study:
    """The study of Entropy-ABF: ABF with and without the scale, or everything."""
    return Study(
        name="entropy-abf",
        title="Entropy-ABF: 100 samples, 6 steps",
        paper="2401.07004",
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=scale_helps() if quick else (*scale_helps(), *all_claims(), *attention_claims(), *data_claims()),
        shown=SHOWN[:1] if quick else (*SHOWN, *slopes_shown()),
        panels=panels(quick=quick),
        searches=() if quick else tuple(search(method) for method in FIVE if method != "entropy-abf"),
        defaults=dict.fromkeys(FIVE, 1e-3),
        notes=NOTES,
    )


def search(method: str) -> Search:
    """Of the learning rate of a method."""
    return Search(method, five(method, 0, exams=()), TARGET)


def panels(*, quick: bool) -> tuple[Panel, ...]:
    """Loss by context, and recall by context."""
    if quick:
        return (Panel(title=TITLE, of=MODULES, measure=NLL + AGAINST_CUT, cells=("abf", "entropy-abf")),)
    lines = (*FIVE, "yarn-8")
    scaled = ("untouched", *SCALED)
    return (
        Panel(title=TITLE, of=MODULES, measure=NLL + AGAINST_CUT, cells=lines),
        Panel(title="Key-value records found", of=RECALL, measure="key_value", cells=("untouched", *lines)),
        Panel(title="Entropy of the first two layers", of=ENTROPY, measure=FIRST_LAYERS, cells=scaled),
        Panel(title="Entropy of the later layers", of=ENTROPY, measure=LATER_LAYERS, cells=scaled),
        *(slope_panel(cell) for cell in SCALED),
        amounts_panel(),
    )


def slopes_shown() -> tuple[tuple[str, str], ...]:
    """Every slope of every layer."""
    return tuple((SLOPES_OF, slope_measure(layer, slope)) for layer in LAYERS for slope in SLOPES[1:])


def slope_panel(cell: str) -> Panel:
    """Loss against the slope of one layer, or of all, minus that at slope 0."""
    lines = tuple(
        Line(
            name=f"layer {layer}" if layer != ALL_LAYERS else "all layers",
            cells=tuple((slope, cell) for slope in SLOPES[1:]),
            measures=tuple(slope_measure(layer, slope) for slope in SLOPES[1:]),
        )
        for layer in LAYERS
    )
    return Panel(
        title=f"NLL against slope 0, {NAMES[cell]}",
        of=SLOPES_OF,
        measure=slope_measure(ALL_LAYERS, 1.0),
        at=BEYOND,
        along=Along(title="slope of the scale", lines=lines, logarithmic=False),
    )


def amounts_panel() -> Panel:
    """Loss against the number of samples."""

    def cell(method: str, count: int) -> str:
        if not count:
            return f"{method}-untrained"
        return method if count == SAMPLES else f"{method}-{count}-samples"

    counts: dict[str, tuple[int, ...]] = {
        **dict.fromkeys((*SCALED, "yarn"), (0, 32, SAMPLES, 1000)),
        **dict.fromkeys(("linear", "ntk-by-parts"), (0, 32, SAMPLES)),
    }
    lines = tuple(
        Line(name=NAMES[method], cells=tuple((float(count), cell(method, count)) for count in chosen))
        for method, chosen in counts.items()
    )
    return Panel(
        title=TITLE,
        of=MODULES,
        measure=NLL + AGAINST_CUT,
        at=TARGET,
        along=Along(title=f"samples of {TARGET:,} tokens", lines=lines),
    )
