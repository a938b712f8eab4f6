"""The sections of what a choice rests on: plans, probes, searches; and short against long over whole evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.html.markup import Markup, element, joined, picture, table
from ropewalk.report.pairs import pairs_caption, pairs_figure
from ropewalk.report.pareto import Place, pareto_figure, places
from ropewalk.report.pareto import caption as pareto_caption
from ropewalk.report.plan import geometry_facts
from ropewalk.report.probe import bracketed, findings
from ropewalk.report.probe_figure import probe_caption, probe_figure
from ropewalk.report.search import figure_caption, search_figure, search_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.report.html.markup import Content
    from ropewalk.report.html.subjects import Subject
    from ropewalk.result import ExtensionPlan, Probe, SearchComparison


def plans(found: Sequence[ExtensionPlan]) -> Markup | None:
    """Geometry, methods and pairs of each plan."""
    return joined(_plan(one) for one in found) if found else None


def _plan(plan: ExtensionPlan) -> Markup:
    facts = table(f"{plan.model}, {plan.model_type}", ("", ""), [list(fact) for fact in geometry_facts(plan)])
    methods = [[one.method, one.suits, one.because] for one in plan.methods]
    return joined(
        [
            facts,
            picture(pairs_figure(plan), pairs_caption(plan)),
            table("Methods, by their frequencies alone", ("method", "fits", "because"), methods),
            element("p", f"Recommended: {plan.recommended}, {plan.because}."),
        ]
    )


def probes(found: Sequence[Probe]) -> Markup | None:
    """Candidates untrained, the critical pair and the logit slope of each probe."""
    return joined(_probe(one) for one in found) if found else None


def _probe(probe: Probe) -> Markup:
    lengths = [point.length for point in probe.untouched_text]
    head = ("method", "answers of needles", "behind the best", *(f"text at {length:,}" for length in lengths))
    rows: list[list[Content]] = [
        ["as it is", bracketed(probe.untouched), "-", *(bracketed(point) for point in probe.untouched_text)]
    ]
    for row in probe.methods:
        behind = bracketed(row.behind) if row.behind.value else "-"
        rows.append([row.method, bracketed(row.needles), behind, *(bracketed(point) for point in row.text)])
    caption = f"{probe.model} untrained, {probe.trained_length:,} to {probe.target_length:,} tokens"
    return joined(
        [
            picture(probe_figure(probe), probe_caption(probe)),
            table(caption, head, rows, note="Nats per token; in brackets: 95 % intervals."),
            element("p", findings(probe)),
        ]
    )


def searches(found: Sequence[SearchComparison]) -> Markup | None:
    """What searches found, and how they got there."""
    return joined(_search(one) for one in found) if found else None


def _search(found: SearchComparison) -> Markup:
    rows = [
        [point.name, bracketed(point.needles), bracketed(point.behind) if point.behind.value else "-"]
        for point in found.fresh
    ]
    caption = f"{found.model} untrained at {found.target_length:,} tokens, {found.contexts} fresh contexts"
    head = ("frequencies", "nats per answer token", "behind the best")
    words = element("p", search_words(found))
    return joined([picture(search_figure(found), figure_caption(found)), table(caption, head, rows), words])


def trade_offs(subjects: Sequence[Subject]) -> Markup | None:
    """Loss inside the old window against the certified length, where two models or more have a certificate."""
    found = places((subject.letter, subject.result) for subject in subjects)
    if len(found) < 2:
        return None
    rows = [[place.name, _length(place), bracketed(place.short)] for place in found]
    head = ("", "certified length, tokens", "NLL at the trained length")
    return joined([picture(pareto_figure(found), pareto_caption(found)), table("Short against long", head, rows)])


def _length(place: Place) -> str:
    return f"{place.certified:,}" if place.certified else "none"
