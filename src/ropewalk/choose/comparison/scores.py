"""The score that decides, and what else is read off candidates.

score = NLL of text at the target length + loss on the answers of needles at the target length, nats per token each.

Text alone hardly feels far context, and needles alone would let a method win that spoils everything else (Shang et al.
2025, arXiv:2502.20082, search by needles for the first reason). Smaller is better. Two candidates are compared on the
same documents, contexts and seeds, so that what these cause drops out of the difference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.cells.intervals import summed_interval
from ropewalk.cells.readings import Reading, table_of
from ropewalk.choose.comparison.exams import NEEDLES, TEXT
from ropewalk.evals.estimates import NATS, estimate_of
from ropewalk.result.quantities import NEEDLE_NLL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.cells.readings import Samples
    from ropewalk.choose.comparison.exams import Side
    from ropewalk.result import Estimate

SCORE, PAIRED = "score", "paired_nll"


def text_reading(cell: str, side: Side, length: int) -> Reading:
    """NLL of text with so much context."""
    return Reading(cell, f"{side}-{TEXT}", PAIRED, length)


def needle_reading(cell: str, side: Side, length: int) -> Reading:
    """Loss on answers about facts in contexts of a length."""
    return Reading(cell, f"{side}-{NEEDLES}", NEEDLE_NLL, length)


def readings_of(cell: str, side: Side, length: int, *, with_text: bool) -> tuple[Reading, ...]:
    """What a score is the sum of."""
    needles = needle_reading(cell, side, length)
    return (text_reading(cell, side, length), needles) if with_text else (needles,)


def estimated(
    readings: Sequence[Reading], samples: Samples, *, minus: Sequence[Reading] | None = None
) -> Estimate | None:
    """The sum of readings of one cell, or of their differences from another's, with its interval.

    None where a cell was not measured, or where a sample failed: a candidate must not win by failing at what is hard.

    Args:
        readings: Of the cell.
        samples: Of all cells.
        minus: The same readings of the other cell.
    """
    terms = [((1.0, one),) for one in readings] if minus is None else _differences(readings, minus)
    tables = [table_of(term, samples) for term in terms]
    found = [table for table in tables if table is not None and not table.failed]
    if len(found) < len(readings):
        return None
    units = [one.quantity.documents for one in readings]
    interval = summed_interval([table.values for table in found], np.random.default_rng(0), units=units)
    protocol = " + ".join(
        "loss on answers of needles" if one.measure == NEEDLE_NLL else "NLL of text" for one in readings
    )
    return estimate_of(
        interval,
        measure=SCORE if len(readings) > 1 else readings[0].measure,
        protocol=protocol + ("" if minus is None else f", minus those of {minus[0].cell}"),
        unit=NATS,
        length=readings[0].length,
        failed=0,
    )


def dropped(scores: Mapping[str, float], behind: Mapping[str, float]) -> tuple[str, ...]:
    """Who leaves at a rung: those in the worse half that are also shown to be behind the best.

    After successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943), which drops the worse half whatever the
    difference; one training at a fraction of the budget does not tell candidates apart that lie within their interval.

    Args:
        scores: Of the candidates that stand; smaller is better.
        behind: Lower end of the interval of each one's score minus the best one's.
    """
    order = sorted(scores, key=scores.__getitem__)
    return tuple(name for name in order[math.ceil(len(order) / 2) :] if behind[name] > 0)


def _differences(
    readings: Sequence[Reading], minus: Sequence[Reading]
) -> list[tuple[tuple[float, Reading], tuple[float, Reading]]]:
    return [((1.0, one), (-1.0, other)) for one, other in zip(readings, minus, strict=True)]
