"""A paper's claim, what is subtracted from what to judge it, and the rule by which it is judged.

The rule stands in docs/reproduction/protocol.md and was written down before any run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ropewalk.cells.readings import Reading, interval_of, table_of, unit_of_documents
from ropewalk.result import Effect, Verdict
from ropewalk.statistics import clustered_proportion, weighted_proportions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.cells.readings import Samples, Table
    from ropewalk.statistics import Interval

Decision = Literal["holds", "does not hold", "undecided"]
FLOOR = 0.05  # a share at or below it shows no difference; one above its counterpart neither
FEWEST = 2  # documents; an interval needs as many
NO_SPREAD = "Newcombe, because no answer differs"


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, as a difference that can be measured.

    Attributes:
        name: Such as `adapts-faster-8x`.
        source: Where the paper says it.
        words: The claim, in our words.
        figure: The paper's own numbers, as text.
        terms: Weights and readings whose sum is positive if the claim holds.
        contrast: That sum in words.
        smallest_effect: Smallest difference that counts, in the unit of the readings; below 0 for a claim that
            something is lost by at most so much.
        allowance: What another seed might change, for a claim that rests on one; the size of the smallest effect if
            not given.
        headline: Whether the paper stands on it.
        mechanism_only: Why the size of this model forbids a verdict; None if it does not.
    """

    name: str
    source: str
    words: str
    figure: str
    terms: tuple[tuple[float, Reading], ...]
    contrast: str
    smallest_effect: float
    allowance: float | None = None
    headline: bool = False
    mechanism_only: str | None = None

    @property
    def unit(self) -> str:
        """Of the effect."""
        return self.terms[0][1].quantity.unit

    @property
    def widening(self) -> float:
        """By how much the interval of a single seed is widened on both sides."""
        return abs(self.smallest_effect) if self.allowance is None else self.allowance

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells that it needs."""
        return tuple(dict.fromkeys(reading.cell for _, reading in self.terms))


def minus(first: Reading, second: Reading) -> tuple[tuple[float, Reading], ...]:
    """The terms of a difference: first - second."""
    return ((1.0, first), (-1.0, second))


def judge(claim: Claim, samples: Samples) -> Verdict:
    """The verdict on a claim.

    Args:
        claim: The claim.
        samples: Of all cells that are done.

    Raises:
        MeasurementError: Cells that were measured on different documents, or on too few.
    """
    table = table_of(claim.terms, samples)
    measured = table is not None and len(table.documents) >= FEWEST
    effect = _effect(claim, table, samples) if table is not None and measured else None
    verdict = Verdict(
        claim=claim.name,
        source=claim.source,
        words=claim.words,
        figure=claim.figure,
        contrast=claim.contrast,
        unit=claim.unit,
        smallest_effect=claim.smallest_effect,
        headline=claim.headline,
        state="not measured",
        effect=effect,
    )
    if effect is None:
        missing = [name for name in claim.cells if name not in samples]
        because = f"no cell {', '.join(missing) or 'of a common seed'}"
        if table is not None:
            because = f"fewer than {FEWEST} documents without a failed sample"
        return verdict.model_copy(update={"because": because})
    if claim.mechanism_only is not None:
        state = "cannot be judged at this scale"
        return verdict.model_copy(update={"state": state, "because": claim.mechanism_only})
    widening = claim.widening if len(effect.seeds) == 1 else 0.0
    state = decide(effect.low, effect.high, claim.smallest_effect, allowance=widening)
    return verdict.model_copy(
        update={
            "state": state,
            "widening": widening,
            "because": _edge(claim, samples) or _widening(claim, effect, state),
        }
    )


def decide(low: float, high: float, smallest_effect: float, *, allowance: float = 0.0) -> Decision:
    """The rule.

    Args:
        low: Lower end of the 95 % interval of the effect, which is positive in the claimed direction.
        high: Its upper end.
        smallest_effect: Smallest effect that counts; below 0 for a claim that something is lost by at most so much.
        allowance: By how much the interval is widened on both sides: a single training on each side does not show
            what another seed would change.
    """
    if low - allowance >= smallest_effect:
        return "holds"
    if high + allowance < smallest_effect:
        return "does not hold"
    return "undecided"


def _effect(claim: Claim, table: Table, samples: Samples) -> Effect:
    reading = claim.terms[0][1]
    interval = _without_spread(claim, table, samples) or interval_of(table, unit=unit_of_documents(reading))
    return Effect(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        interval=interval.method,
        seeds=table.seeds,
        documents=table.documents,
        table=tuple(tuple(float(value) for value in row) for row in table.values),
        failed=table.failed,
    )


def _without_spread(claim: Claim, table: Table, samples: Samples) -> Interval | None:
    """Where all answers of all cells agree nothing varies, and a bootstrap would be certain; Newcombe's is not.

    A difference of cells that all find nothing, or everything, says little: it shows a floor, not an equality.
    """
    if not claim.terms[0][1].is_share or table.values.min() < table.values.max() or len(claim.terms) < 2:
        return None
    tables = [(weight, table_of([(1.0, reading)], samples)) for weight, reading in claim.terms]
    shares = [(weight, clustered_proportion(t.values[0], t.documents)) for weight, t in tables if t is not None]
    return replace(weighted_proportions(shares), method=NO_SPREAD)


def _edge(claim: Claim, samples: Samples) -> str:
    """Words where all sides find nothing or everything; empty otherwise. They change no verdict."""
    if not all(reading.is_share for _, reading in claim.terms):
        return ""
    tables = [table_of([(1.0, reading)], samples) for _, reading in claim.terms]
    means = [float(table.values.mean()) for table in tables if table is not None]
    if max(means) <= FLOOR:
        return f"at the floor, where no side finds more than {FLOOR:.0%} and a difference cannot show"
    if min(means) >= 1.0 - FLOOR:
        return f"at the ceiling, where every side finds at least {1.0 - FLOOR:.0%} and a difference cannot show"
    return ""


def _widening(claim: Claim, effect: Effect, state: Decision) -> str:
    """Words where the interval as it is printed would decide, and the rule for a single seed does not."""
    if state != "undecided" or decide(effect.low, effect.high, claim.smallest_effect) == state:
        return ""
    return f"one seed, for which the interval is widened by {claim.widening:g} on both sides"


def contradictions(one: Iterable[Verdict], other: Iterable[Verdict]) -> tuple[str, ...]:
    """Claims that hold by the verdicts of one run and do not by those of another."""
    states = {verdict.claim: verdict.state for verdict in other}
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    return tuple(v.claim for v in one if v.state in opposite and states.get(v.claim) == opposite[v.state])
