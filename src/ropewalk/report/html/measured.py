"""Sections of what was measured: curves against length, maps of depth by length, gains, paired changes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ropewalk.report.html import measures
from ropewalk.report.html.chart import Point, Series, legend, line_chart
from ropewalk.report.html.heat import heat_map, scale_key
from ropewalk.report.html.markup import Content, Markup, element, joined, lines, small, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.report.html.subjects import Subject
    from ropewalk.result import Comparison, Estimate

UNIT_SCALE = (0.0, 1.0)


def curves(subjects: Sequence[Subject]) -> Markup | None:
    """One chart for each measure against context length, and their numbers in one table."""
    names = measures.curve_measures([subject.result for subject in subjects])
    if not names:
        return None
    figures = [figure for name in names if (figure := _curve_figure(subjects, name)) is not None]
    return joined(
        [
            legend([(subject.index, subject.label) for subject in subjects]),
            element("div", *figures, class_="figures"),
            _curves_table(subjects, names),
        ]
    )


def heat_maps(subjects: Sequence[Subject]) -> Markup | None:
    """One map for each measure and model that was asked at several depths."""
    maps = [
        _depth_map(subject, name)
        for name in dict.fromkeys(n for subject in subjects for n in measures.depth_measures(subject.result))
        for subject in subjects
        if name in measures.depth_measures(subject.result)
    ]
    if not maps:
        return None
    words = element("p", "Depth 0 % is the start of the context, 100 % its end. Below each score: its interval.")
    return joined([words, scale_key(), element("div", *maps, class_="maps")])


def gains(subjects: Sequence[Subject]) -> Markup | None:
    """What more context is worth on the same tokens, a row for each pair of lengths."""
    rows: list[list[Content]] = []
    for name, shorter, longer in measures.steps(subjects, measures.GAIN):
        found = [subject.result.find(name, longer, baseline=shorter) for subject in subjects]
        first = next(estimate for estimate in found if estimate is not None)
        cells = [_difference(estimate) for estimate in found]
        rows.append([measures.words(name), f"{shorter:,} to {longer:,}", *cells, first.unit, _counts(found)])
    if not rows:
        return None
    head = ["on", "context, tokens", *[subject.letter for subject in subjects], "unit", "n / clusters"]
    note = "Above zero: more context helps. Below each value: its interval."
    return table(
        "NLL given the shorter context minus given the longer, on the same tokens",
        head,
        rows,
        note=note,
        header_columns=2,
    )


def positions(subjects: Sequence[Subject]) -> Markup | None:
    """NLL of the tokens between two places of a document, given all before them."""
    rows: list[list[Content]] = []
    for name, first, last in measures.steps(subjects, measures.POSITION):
        found = [subject.result.find(name, last, baseline=first) for subject in subjects]
        rows.append([f"{first + 1:,} to {last:,}", *[_value(estimate) for estimate in found], _counts(found)])
    if not rows:
        return None
    head = ["tokens of a document", *[subject.letter for subject in subjects], "n / clusters"]
    note = "Nats per token. Context and place are confounded: later text may be easier. Below each value: its interval."
    return table("NLL given everything before", head, rows, note=note)


def changes(comparisons: Sequence[Comparison]) -> Markup | None:
    """Paired differences, after minus before, of each comparison."""
    return joined(_change_table(comparison) for comparison in comparisons) if comparisons else None


def _curve_figure(subjects: Sequence[Subject], name: str) -> Markup | None:
    found = {subject.index: measures.curve(subject.result, name) for subject in subjects}
    is_share = any(measures.is_share(estimate) for points in found.values() for estimate in points)
    series = [
        Series(subject.index, subject.letter, points)
        for subject in subjects
        if (points := tuple(point for e in found[subject.index] if (point := _point(e, is_share)) is not None))
    ]
    if not series:
        return None
    title = measures.words(name) if is_share else measures.likelihood_words(name)
    last = next(points[-1] for points in found.values() if points)
    chart = line_chart(
        series,
        label=f"{title} against context length; the table below holds the same numbers",
        unit=_axis(last, is_share),
        marks=sorted({subject.result.model.trained_length for subject in subjects}),
        values=UNIT_SCALE if is_share else None,
        second=None if is_share else ("perplexity", _perplexity),
    )
    shown = "Bars" if is_share else "Band"
    better = "Higher is better" if is_share else "Lower is better"
    chance = "" if last.chance is None else f" A blind choice scores {last.chance:.2g} there."
    caption = f"{better}. {shown}: {measures.basis(last)}. At {last.length:,} tokens: {last.protocol}.{chance}"
    return element("figure", element("h3", title), chart, element("figcaption", caption))


def _axis(estimate: Estimate, is_share: bool) -> str:
    if not is_share:
        return "nats per token"
    return "share of right answers" if estimate.unit.startswith("share") else estimate.unit


def _perplexity(nats: float) -> str:
    value = math.exp(min(nats, 700.0))
    return f"{value:,.3g}" if value < 1000 else measures.number(value)


def _point(estimate: Estimate, is_share: bool) -> Point | None:
    value, low, high = (estimate.value, estimate.low, estimate.high) if is_share else measures.in_nats(estimate)
    drawable = all(math.isfinite(end) for end in (value, low, high))
    return Point(estimate.length, value, low, high) if drawable else None


def _curves_table(subjects: Sequence[Subject], names: Sequence[str]) -> Markup:
    found = {(s.letter, name): measures.curve(s.result, name) for s in subjects for name in names}
    lengths = sorted({estimate.length for points in found.values() for estimate in points})
    rows: list[list[Content]] = []
    for name in names:
        for subject in subjects:
            points = {estimate.length: estimate for estimate in found[subject.letter, name]}
            if points:
                cells = [_value(points.get(length)) for length in lengths]
                rows.append([measures.words(name), subject.letter, *cells, _counts(points.values())])
    head = ["measure", "model", *[f"{length:,}" for length in lengths], "n / clusters"]
    note = "Columns are context lengths in tokens. Below each value: its interval."
    return table("The same numbers, with n", head, rows, note=note, header_columns=2)


def _depth_map(subject: Subject, name: str) -> Markup:
    cells = [e for e in subject.result.estimates if e.measure == name and e.depth is not None]
    smallest = min(cells, key=lambda estimate: estimate.samples)
    note = f"Columns are lengths in tokens. In each cell at least {measures.basis(smallest)}."
    return heat_map(cells, caption=f"{measures.words(name)}: {subject.letter}, {subject.method}", note=note)


def _change_table(comparison: Comparison) -> Markup:
    rows = [
        [
            measures.words(estimate.measure),
            f"{estimate.length:,}",
            _difference(estimate),
            estimate.unit,
            _counts([estimate]),
            estimate.interval,
        ]
        for estimate in sorted(comparison.estimates, key=lambda e: (e.measure, e.length))
    ]
    before, after = comparison.before, comparison.after
    return table(
        f"Change from {before.name} ({before.method}) to {after.name} ({after.method})",
        ["measure", "context, tokens", "after - before", "unit", "n / clusters", "interval"],
        rows,
        header_columns=2,
        note="Paired on the same samples. Below zero is better for NLL, above zero for scores.",
    )


def _value(estimate: Estimate | None) -> Content:
    if estimate is None:
        return "-"
    failed = small(f"{estimate.failed} failed") if estimate.failed else None
    chance = None if estimate.chance is None else small(f"chance {estimate.chance:.2g}")
    return lines(measures.number(estimate.value, estimate.unit), small(measures.interval(estimate)), chance, failed)


def _difference(estimate: Estimate | None) -> Content:
    if estimate is None:
        return "-"
    ends = f"{measures.signed(estimate.low)} to {measures.signed(estimate.high)}"
    failed = small(f"{estimate.failed} failed") if estimate.failed else None
    return lines(measures.signed(estimate.value), small(ends), failed)


def _counts(estimates: Iterable[Estimate | None]) -> str:
    numbers = {(e.samples, e.clusters or e.samples) for e in estimates if e is not None}
    return ", ".join(f"{samples:,} / {clusters:,}" for samples, clusters in sorted(numbers))
