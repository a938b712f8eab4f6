"""Small studies on the built-in model, and samples as cells would leave them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.readings import Reading
from ropewalk.cells.runs import recipe
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.study import Study
from ropewalk.result import Panel, SampleResult

TRAINING_TEXT = Path(__file__).with_name("small.txt")  # the built-in modules take seconds to read
LENGTHS = (160, 256)
TEXT = EvaluationExam(
    "text", EvaluationPlan(lengths=LENGTHS, scored=16, windows_per_document=1, tasks=("paired",)), "validation"
)
RECALL = EvaluationExam(
    "recall", EvaluationPlan(lengths=(256,), contexts=2, keys=4, new_tokens=5, tasks=("key-value",))
)


def small_cell(method: str = "linear", *, seed: int = 0, steps: int = 1, **entries) -> Cell:
    """A cell of seconds: windows of 512 tokens, one a step."""
    run = recipe(
        "reproduce-pi",
        target_length=512,
        method={"name": method},
        train={"steps": steps, "batch": 1, "seed": seed, "precision": "float32", "warmup_steps": 0, "save_every": 1},
        **({"data": {"files": [str(TRAINING_TEXT)]}} | entries),
    )
    return Cell(method, f"{method}, small", run, (TEXT, RECALL), search=method)


def untouched_cell() -> Cell:
    return Cell("untouched", "untouched", None, (TEXT, RECALL))


def small_study(*cells: Cell, **changes) -> Study:
    """Two methods and the untouched model, one claim of each kind."""
    text, recall = Reading("linear", "text", "paired_nll", 256), Reading("linear", "recall", "key_value", 256)
    claims = (
        claim("text", minus(dataclasses.replace(text, cell="none"), text)),
        claim("recall", minus(recall, dataclasses.replace(recall, cell="none")), headline=True),
        claim("scale", minus(text, text), mechanism_only="the model is small"),
        claim("absent", minus(text, dataclasses.replace(text, cell="yarn"))),
    )
    study = Study(
        name="pi",
        title="A small study",
        paper="2306.15595",
        quick=True,
        cells=cells or (untouched_cell(), small_cell(), small_cell("none")),
        claims=claims,
        shown=(("text", "paired_nll"), ("recall", "key_value")),
        depths=(("recall", "key_value", 256),),
        panels=(
            Panel(title="NLL", of="text", measure="paired_nll_against_cut", cells=("untouched", "linear", "none")),
            Panel(title="Recall by depth", of="recall", measure="key_value", cells=("linear", "none"), at=256),
        ),
        defaults={"linear": 1e-4, "none": 2e-4},
        notes=("Made for a test.",),
    )
    return dataclasses.replace(study, **changes)


def claim(name: str, terms, *, smallest_effect: float = 0.02, **changes) -> Claim:
    return Claim(
        name=name,
        source="table 1",
        words=f"Claim {name}.",
        figure="1 against 2",
        terms=terms,
        contrast="first minus second",
        smallest_effect=smallest_effect,
        **changes,
    )


def losses(values, *, measure: str = "paired_nll", length: int = 256, windows: int = 1, depth: float | None = None):
    """Samples of one model: a document for each value, None for one that failed."""
    return [
        SampleResult(
            measure=measure,
            sample=f"d{document}@{window}",
            cluster=f"d{document}",
            length=length,
            depth=depth,
            status="failed" if value is None else "ok",
            value=value,
        )
        for document, value in enumerate(values)
        for window in range(windows)
    ]


def two_cells(
    rng: np.random.Generator, *, effect: float, seeds: int = 3, documents: int = 16, seed_spread: float = 0.0
):
    """Samples of cells `a` and `b`, whose losses differ by an effect that varies from seed to seed and by document."""
    hard = rng.normal(3, 0.5, size=documents)
    found = {"a": {}, "b": {}}
    for seed in range(seeds):
        difference = effect + seed_spread * rng.normal() + 0.02 * rng.normal(size=documents)
        found["a"][seed] = {"text": losses(hard + difference)}
        found["b"][seed] = {"text": losses(hard)}
    return found


A, B = (Reading(cell, "text", "paired_nll", 256) for cell in "ab")
