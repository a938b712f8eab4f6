"""A comparison for people: the ranking as a table, and as a figure with what each candidate costs short text."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.table import Table

from ropewalk.report import style
from ropewalk.report.axes import finish
from ropewalk.report.figures import label_ends
from ropewalk.report.image import fingerprint_of, write_png
from ropewalk.report.plan import short
from ropewalk.report.probe import bracketed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import ComparedControl, Estimate, RankedCandidate, Ranking

FIGURE = "figure.png"
LABEL_WIDTH = 22  # letters


def ranking_table(ranking: Ranking) -> Table:
    """All candidates and controls, the best first; an interval stands under its value, so that rows fit a terminal."""
    table = Table(
        title=f"{ranking.model}, {ranking.trained_length:,} -> {ranking.target_length:,} tokens, "
        f"{ranking.budget} each, {_seeds(ranking)}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("candidate")
    for name in ("rate", "score, test", "behind the best", f"change at {ranking.trained_length:,}", "tokens", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in ranking.candidates:
        table.add_row(
            ("> " if one.candidate == ranking.best else "  ") + one.candidate,
            "-" if one.learning_rate is None else f"{one.learning_rate:g}",
            *_measured(one, ranking),
            *_cost(one),
        )
    for control in ranking.controls:
        rest = (stacked(control.test), "", stacked(control.inside)) if control.failed is None else ("failed", "", "")
        table.add_row(f"  {control.name}", "", *rest, *_cost(control))
    return table


def ranking_words(ranking: Ranking) -> str:
    """Who is best, and how sure that is."""
    close = f"; not shown to be behind it: {', '.join(ranking.close)}" if ranking.close else ""
    return (
        f"Best: {ranking.best} (decided on the validation side{close}). Score: {ranking.score}; smaller is better. "
        f"Brackets: 95 % intervals over seeds and documents, paired where something is subtracted. Test texts and "
        "needles of another seed were read once, by those that stood to the end; of the others "
        "the validation side at their last rung is shown. Tokens and seconds are those of all trainings and "
        "measurements of a candidate, the search for its rate included."
    )


def stop_words(one: RankedCandidate) -> str:
    """Where and why a candidate stopped, or nothing."""
    if one.failed is not None:
        return "failed"
    if one.stopped_at is None:
        return ""
    return f"stopped after {one.stopped_at:,} steps, {bracketed(one.rungs[-1].behind)} behind"


def written(estimate: Estimate | None) -> str:
    """A value with its interval, or a dash."""
    return "-" if estimate is None else bracketed(estimate)


def stacked(estimate: Estimate | None) -> str:
    """The same in two lines, for narrow columns."""
    return written(estimate).replace(" [", "\n[")


def ranking_figure(ranking: Ranking) -> Figure:
    """Left: how far each candidate is behind the best. Right: text at the target length against damage inside."""
    shown = [one for one in ranking.candidates if one.rungs]
    figure = Figure(figsize=(11.0, 1.6 + 0.42 * max(5, len(shown))), facecolor="white")
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3, "width_ratios": (1.1, 1.0)})
    figure.subplots_adjust(left=0.2, right=0.84, top=0.88, bottom=0.24)
    _draw_ranking(left, shown)
    _draw_pareto(right, ranking)
    figure.text(0.02, 0.02, figure_caption(ranking), fontsize=8, color=style.INK, va="bottom", wrap=True)
    return figure


def figure_caption(ranking: Ranking) -> str:
    """What points and bars rest on."""
    return (
        f"{ranking.model}, {ranking.trained_length:,} to {ranking.target_length:,} tokens, {ranking.budget} each. "
        f"Bars: 95 % intervals over {_seeds(ranking)} and documents.\nFilled: whole budget, test side. "
        "Open: stopped early, validation side of its last rung, against the best of that rung."
    )


def write_ranking_figure(ranking: Ranking, path: Path) -> None:
    """Writes the figure as PNG, with the fingerprint of its record.

    Raises:
        OutputError: The file cannot be written.
    """
    content = ranking.model_dump_json(include={"candidates", "controls", "best", "model"})
    write_png(
        ranking_figure(ranking),
        path,
        title=f"comparison for {ranking.model} at {ranking.target_length:,} tokens",
        words=figure_caption(ranking),
        version=ranking.environment.ropewalk,
        results=fingerprint_of(content),
    )


def _draw_ranking(axes: Any, shown: Sequence[RankedCandidate]) -> None:
    for place, one in enumerate(shown):
        behind = one.behind or one.rungs[-1].behind
        colour = style.colour(one.candidate)
        axes.plot([behind.low, behind.high], [place, place], color=colour, linewidth=1.8)
        axes.plot(behind.value, place, "o", color=colour, markersize=6, fillstyle="full" if one.stood else "none")
    axes.set_yticks(range(len(shown)), [one.candidate for one in shown])
    axes.invert_yaxis()
    axes.axvline(0.0, color=style.FAINT, linewidth=1.0, zorder=1)
    finish(axes, "Behind the best", x="score minus the best's, nats per token")


def _draw_pareto(axes: Any, ranking: Ranking) -> None:
    points: list[tuple[str, RankedCandidate | ComparedControl]] = [(o.candidate, o) for o in ranking.candidates]
    points += [(control.name, control) for control in ranking.controls]
    labels: list[tuple[float, str, str]] = []
    for name, one in points:
        if one.inside is None or one.text is None:
            continue
        colour = style.colour(name if name in style.COLOURS or "," in name else style.UNTOUCHED)
        axes.plot([one.inside.low, one.inside.high], [one.text.value] * 2, color=colour, linewidth=1.2)
        axes.plot([one.inside.value] * 2, [one.text.low, one.text.high], color=colour, linewidth=1.2)
        axes.plot(one.inside.value, one.text.value, "o", color=colour, markersize=5)
        labels.append((one.text.value, "\n".join(textwrap.wrap(name, LABEL_WIDTH)), colour))
    axes.axvline(0.0, color=style.FAINT, linewidth=1.0, zorder=1)
    finish(
        axes,
        "Long against short",
        x=f"change of NLL at {ranking.trained_length:,} tokens, nats per token",
        y=f"NLL at {ranking.target_length:,} tokens, nats per token",
    )
    label_ends(axes, labels, size=7.5)


def _seeds(ranking: Ranking) -> str:
    count = len(ranking.seeds)
    return f"{count} seed" if count == 1 else f"{count} seeds"


def _measured(one: RankedCandidate, ranking: Ranking) -> tuple[str, str, str]:
    if one.failed is not None:
        return "failed", "", ""
    if one.stopped_at is not None:
        return f"stopped at {one.stopped_at:,}", stacked(one.rungs[-1].behind), ""
    behind = "-" if one.candidate == ranking.best else stacked(one.behind)
    return stacked(one.test), behind, stacked(one.inside)


def _cost(one: RankedCandidate | ComparedControl) -> tuple[str, str]:
    return short(one.tokens), f"{one.wall_seconds:,.0f}"
