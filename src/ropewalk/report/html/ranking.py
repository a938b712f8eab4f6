"""The section of comparisons: candidates under one budget, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.report.html.markup import Content, Markup, element, joined, lines, picture, small, table
from ropewalk.report.ranking import figure_caption, ranking_figure, ranking_words, stop_words, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import ComparedControl, RankedCandidate, Ranking

HEAD = (
    "candidate",
    "learning rate",
    "score, test",
    "behind the best",
    "text at the target",
    "answers of needles",
    "change inside the old window",
    "stopped",
    "training tokens",
    "seconds",
)


def rankings(found: Sequence[Ranking]) -> Markup | None:
    """A table and its words for each comparison."""
    return joined(_ranking(one) for one in found) if found else None


def _ranking(ranking: Ranking) -> Markup:
    rows = [_row(one, ranking) for one in ranking.candidates]
    rows += [_control(one) for one in ranking.controls]
    caption = (
        f"{ranking.model}, {ranking.trained_length:,} to {ranking.target_length:,} tokens, {ranking.budget} each in "
        f"steps of {ranking.step_tokens:,} tokens, {len(ranking.seeds)} seeds"
    )
    note = "Nats per token; below zero is better where something is subtracted. In brackets: 95 % intervals."
    notes = [element("p", text) for text in (ranking_words(ranking), *ranking.notes)]
    figure = picture(ranking_figure(ranking), figure_caption(ranking))
    return joined([figure, table(caption, HEAD, rows, note=note), *notes])


def _row(one: RankedCandidate, ranking: Ranking) -> list[Content]:
    name = element("strong", one.candidate) if one.candidate == ranking.best else one.candidate
    measured = [written(estimate) for estimate in (one.test, one.behind, one.text, one.needles, one.inside)]
    rate = "-" if one.learning_rate is None else f"{one.learning_rate:g}"
    return [
        lines(name, small(one.method)),
        rate,
        *measured,
        stop_words(one) or "-",
        f"{one.tokens:,}",
        f"{one.wall_seconds:,.0f}",
    ]


def _control(one: ComparedControl) -> list[Content]:
    measured = [written(estimate) for estimate in (one.test, None, one.text, one.needles, one.inside)]
    return [
        one.name,
        "-",
        *measured,
        "failed" if one.failed is not None else "-",
        f"{one.tokens:,}",
        f"{one.wall_seconds:,.0f}",
    ]
