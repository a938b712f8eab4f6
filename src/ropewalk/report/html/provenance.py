"""Sections that say where the numbers come from: models, rope parameters, data, versions, and every estimate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ropewalk.report.figures import result_fingerprint
from ropewalk.report.html import measures
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.report.html.subjects import Subject
    from ropewalk.result import Estimate, EvaluationResult

PLACE = ("measure", "length", "shorter", "depth")
NUMBERS = ("value", "low", "high", "chance", "unit", "n", "failed", "clusters")


def provenance(subjects: Sequence[Subject]) -> Markup | None:
    """One column for each result: which model, which data, which versions."""
    if not subjects:
        return None
    described = [_facts(subject.result) for subject in subjects]
    names = dict.fromkeys(name for facts in described for name in facts)
    rows = [[name, *[facts.get(name, "-") for facts in described]] for name in names]
    head = ["", *[subject.letter for subject in subjects]]
    note = "Results with the same data fingerprint and seed were measured on the same samples."
    return table("Where each result comes from", head, rows, class_="facts", note=note)


def every_number(subjects: Sequence[Subject]) -> Markup | None:
    """All estimates of each result, folded away, with how the interval was made and the protocol."""
    return joined(_numbers(subject) for subject in subjects) if subjects else None


def rope_lines(rope: dict[str, Any]) -> Content:
    """A config's rotary parameters, one a line."""
    return lines(*[f"{key} = {json.dumps(value)}" for key, value in rope.items()]) if rope else "-"


def _facts(result: EvaluationResult) -> dict[str, Content]:
    model, made = result.model, result.environment
    failed = sum(e.failed for e in result.estimates if e.depth is None)
    return {
        "model": model.name,
        "method": model.method,
        "trained length": f"{model.trained_length:,} tokens",
        "target length": f"{model.target_length:,} tokens",
        "rope parameters": rope_lines(model.rope),
        "weights (SHA-256)": model.weights or "in memory",
        "data fingerprint": result.data,
        "seed": str(result.seed),
        "suite": result.suite or "none",
        "status": f"{result.status}, {failed:,} failed samples" if failed else result.status,
        "result fingerprint": result_fingerprint(result),
        "samples": result.samples_file or "not written",
        "ropewalk": made.ropewalk,
        "libraries": lines(
            f"Python {made.python}", f"torch {made.torch}", f"transformers {made.transformers}", f"NumPy {made.numpy}"
        ),
        "device": f"{made.device}, {made.threads_named}",
        "wall time": f"{result.wall_seconds:,.0f} s",
    }


def _numbers(subject: Subject) -> Markup:
    estimates = subject.result.estimates
    summary = element("summary", f"{subject.label}: {len(estimates):,} estimates with their protocols")
    head = [*PLACE, *NUMBERS, "interval", "protocol"]
    return element("details", summary, table(f"Every number of {subject.label}", head, map(_row, estimates)))


def _row(estimate: Estimate) -> list[Content]:
    numbers = [f"{value:.6g}" for value in (estimate.value, estimate.low, estimate.high)]
    return [
        measures.words(estimate.measure),
        f"{estimate.length:,}",
        "" if estimate.baseline_length is None else f"{estimate.baseline_length:,}",
        "" if estimate.depth is None else f"{estimate.depth:.3f}",
        *numbers,
        "" if estimate.chance is None else f"{estimate.chance:.6g}",
        estimate.unit,
        f"{estimate.samples:,}",
        f"{estimate.failed:,}",
        "" if estimate.clusters is None else f"{estimate.clusters:,}",
        f"{measures.percent(estimate.level)}, {estimate.interval}",
        estimate.protocol,
    ]
