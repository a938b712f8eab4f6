"""The study: what happens when positions, scale, weights and anchors of several papers are put together."""

from __future__ import annotations

from ropewalk.cells.texts import MODULES
from ropewalk.reproduce.compositions.cells import (
    ANCHORED,
    ANCHORS,
    BORROWED,
    FAR,
    GAP_WEIGHT,
    KEYS,
    NLL,
    RECALL,
    SAMPLERS,
    SEARCHED,
    TRAINED,
    all_cells,
    anchored_name,
    quick_cells,
    searches,
)
from ropewalk.reproduce.compositions.claims import all_claims, skipping_helps
from ropewalk.reproduce.study import Study
from ropewalk.result import AGAINST_CUT, Along, Line, Panel

NOTES = (
    "Six steps: 100 stretches of modules that the built-in model was trained on, other ones for each seed: of "
    "1,024 tokens for Entropy-ABF's own recipe, else of 256, a quarter of its tokens. Tokens of training stand in "
    "the table of how models were made; its seconds are those of training and measuring together.",
    "Entropy-ABF's scale goes by the query's position number. In a window whose positions skip it sharpens a "
    "query at position n as if there were n keys before it, while there are at most 256: training sees the scale "
    "of the target, but not its number of keys. ABF with CREAM's positions takes the same learning rate, so that "
    "it differs in the scale alone.",
    "Gaps: an answer is told from across a gap if the place that predicts it stands 256 positions or more behind "
    "the end of the fact. The loss of a step is divided by the sum of its weights. Nobody knows what tells a "
    "token of plain text; the one cell that weighs text takes the last place where the same token followed the "
    "same token.",
    "Anchors: weight x KL(original || trained) over the first 256 tokens of each window, all of them where "
    "windows have 256. The original reads them without gaps, so under CREAM it teaches to read over gaps as if "
    "there were none. PI's windows are text alone, as in its own study.",
    "The cells of 60 and of 50 steps take the learning rates that the studies of CREAM and PI chose for the same "
    "cells without weights and anchors.",
    "What training at the old window alone brings is seen in the rows where nothing is extended.",
)


def compositions(*, quick: bool) -> Study:
    """The study of compositions: one contrast, or everything."""
    return Study(
        name="compositions",
        title="Compositions that no paper has published",
        paper=None,
        quick=quick,
        cells=quick_cells() if quick else all_cells(),
        claims=skipping_helps() if quick else (*skipping_helps(), *all_claims()),
        shown=((MODULES, NLL),) if quick else ((MODULES, NLL), (RECALL, KEYS)),
        depths=() if quick else ((RECALL, KEYS, FAR),),
        panels=panels(quick=quick),
        searches=() if quick else searches(),
        defaults=dict.fromkeys(SEARCHED, 1e-3) | BORROWED,
        notes=NOTES,
    )


def panels(*, quick: bool) -> tuple[Panel, ...]:
    """Loss by context, recall by depth, and the trade-off of anchors."""
    six_steps = ("entropy-abf-cream", "entropy-abf-short")
    if quick:
        return (_losses(six_steps),)
    gaps = tuple(f"yarn-{sampler}{ending}" for sampler in SAMPLERS for ending in ("", f"-gap-{GAP_WEIGHT:g}"))
    return (
        _losses((*six_steps, "entropy-abf-pose", "abf-cream", "entropy-abf")),
        Panel(title="Records found by depth, revised YaRN", of=RECALL, measure=KEYS, cells=gaps, at=FAR),
        trade_off("Inside the old window", TRAINED),
        trade_off("At the target", FAR),
    )


def trade_off(title: str, length: int) -> Panel:
    """Loss along the weight of the anchor."""
    lines = tuple(
        Line(name=about, cells=tuple((weight, anchored_name(name, weight)) for weight in (0.0, *ANCHORS)))
        for name, (_, _, about) in ANCHORED.items()
    )
    along = Along(title="weight of the anchor", lines=lines, logarithmic=False)
    return Panel(
        title=f"{title}: {length:,} tokens, against the cut",
        of=MODULES,
        measure=NLL + AGAINST_CUT,
        at=length,
        along=along,
    )


def _losses(cells: tuple[str, ...]) -> Panel:
    title = "NLL against the context cut to the old window"
    return Panel(title=title, of=MODULES, measure=NLL + AGAINST_CUT, cells=cells)
