"""Short against long: what an extension costs inside the old window, and how far it is certified to reach."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ropewalk.report import style
from ropewalk.report.axes import caption as write_caption
from ropewalk.report.axes import finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.result import Estimate, EvaluationResult

PERPLEXITY = "perplexity"


@dataclass(frozen=True)
class Place:
    """A model between short and long.

    Attributes:
        name: Its letter and method.
        method: Which gives its colour.
        certified: Its certified length in tokens; 0 for none.
        trained_length: Of the old window, tokens.
        short: NLL at the trained length, nats per token.
        best: No other is at least as good in both and better in one.
    """

    name: str
    method: str
    certified: int
    trained_length: int
    short: Estimate
    best: bool = False


def places(results: Iterable[tuple[str, EvaluationResult]]) -> list[Place]:
    """The models that have a certified length and a perplexity at the trained one.

    Args:
        results: With the letter of each.
    """
    found = []
    for letter, result in results:
        short = result.find(PERPLEXITY, result.model.trained_length)
        if result.certificate is None or result.certificate.length is None or short is None:
            continue
        found.append(
            Place(
                name=f"{letter}: {result.model.method}",
                method=result.model.method,
                certified=result.certificate.length,
                trained_length=result.model.trained_length,
                short=_in_nats(short),
            )
        )
    return [dataclasses.replace(one, best=not any(_beats(other, one) for other in found)) for one in found]


def pareto_figure(found: Sequence[Place]) -> Figure:
    """NLL at the trained length against the certified length, a point a model; filled where no other is better."""
    figure = Figure(figsize=(7.6, 4.6), facecolor="white")
    axes = figure.subplots()
    figure.subplots_adjust(left=0.11, right=0.97, top=0.9, bottom=0.22)
    for one in found:
        x, colour = max(one.certified, one.trained_length / 2), style.colour(one.method)
        axes.plot([x, x], [one.short.low, one.short.high], color=colour, linewidth=1.4)
        axes.plot(x, one.short.value, "o", color=colour, markersize=7, fillstyle="full" if one.best else "none")
        name, at = one.name.split(",")[0], (x, one.short.value)
        axes.annotate(name, at, xytext=(8, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.set_xscale("log", base=2)
    lengths = sorted({max(one.certified, one.trained_length // 2) for one in found} | {found[0].trained_length})
    axes.set_xticks(lengths, [f"{length:,}" if length >= found[0].trained_length else "none" for length in lengths])
    axes.minorticks_off()
    axes.margins(x=0.15, y=0.15)
    y = f"NLL at {found[0].trained_length:,} tokens, nats per token"
    finish(axes, "Short against long", x="certified length, tokens", y=y)
    write_caption(figure, caption(found))
    return figure


def caption(found: Sequence[Place]) -> str:
    """What points are."""
    return (
        f"Lower and further right is better. Filled: no other of the {len(found)} is at least as good in both and "
        "better in one.\nBars: 95 % intervals."
    )


def _in_nats(perplexity: Estimate) -> Estimate:
    ends = {name: math.log(getattr(perplexity, name)) for name in ("value", "low", "high")}
    return perplexity.model_copy(update={**ends, "measure": "nll", "unit": "nats/token"})


def _beats(other: Place, one: Place) -> bool:
    not_worse = other.certified >= one.certified and other.short.value <= one.short.value
    return not_worse and (other.certified > one.certified or other.short.value < one.short.value)
