"""Two models on the same samples: paired differences. Pure: no model, no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.errors import MeasurementError
from ropewalk.evals.estimates import (
    ACCURACIES,
    NATS,
    SCORE,
    SEQUENTIAL,
    SHARE,
    bootstrapped,
    estimate_of,
    pair_up,
    values_of,
)
from ropewalk.result import Comparison
from ropewalk.statistics import clustered_proportion, proportion_difference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ropewalk.evals.estimates import Pair
    from ropewalk.result import Estimate, EvaluationResult, SampleResult
    from ropewalk.statistics import Interval

    Evaluation = tuple[EvaluationResult, Sequence[SampleResult]]


def compare(before: Evaluation, after: Evaluation) -> Comparison:
    """After - before, sample by sample, for every measure and length that both have.

    A change of NLL below zero is an improvement; a change of accuracy above zero is one. Samples that failed in
    either evaluation are counted as failed.

    Args:
        before: Result and samples of the first model.
        after: Result and samples of the second.

    Raises:
        MeasurementError: The two were not measured on the same data, seed and protocol.
    """
    first, second = before[0], after[0]
    _check_comparable(first, second)
    measured = _measured(before[1]) & _measured(after[1])
    estimates: list[Estimate] = []
    for measure, length in sorted(measured):
        ours, theirs = ([s for s in e[1] if (s.measure, s.length) == (measure, length)] for e in (before, after))
        estimates += _change(measure, length, *pair_up(ours, theirs), first.seed)
    return Comparison(
        before=first.model, after=second.model, data=first.data, seed=first.seed, estimates=tuple(estimates)
    )


def _change(measure: str, length: int, pairs: Sequence[Pair], failed: int, seed: int) -> Iterator[Estimate]:
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    interval: Interval | None = None
    in_nats = measure.endswith("_nll")
    by_document = any(sample.weight is not None for sample in ours)
    if in_nats:
        interval = bootstrapped(values_of(ours), values_of(theirs), ours, seed)
    elif pairs:
        clusters = [sample.cluster for sample in ours]
        interval = proportion_difference(
            clustered_proportion(values_of(ours), clusters), clustered_proportion(values_of(theirs), clusters)
        )
    if interval is not None:
        yield estimate_of(
            interval,
            measure=f"{measure}_change",
            protocol="after minus before on the same samples" + (", each document alike" if by_document else ""),
            unit=NATS if in_nats else SHARE if measure in ACCURACIES else SCORE,
            length=length,
            failed=failed,
        )


def _measured(samples: Sequence[SampleResult]) -> set[tuple[str, int]]:
    """Measures and lengths. A certificate asks only what it needs of each model, so it has no fair change."""
    return {(s.measure, s.length) for s in samples if not s.measure.startswith(SEQUENTIAL)}


def _check_comparable(before: EvaluationResult, after: EvaluationResult) -> None:
    for field in ("format_version", "data", "seed"):
        ours, theirs = getattr(before, field), getattr(after, field)
        if ours != theirs:
            raise MeasurementError(
                f"a comparison needs the same samples in both results; their '{field}' differs: {ours} and {theirs}. "
                "Evaluate both models on the same texts, with the same seed."
            )
    protocols = {(e.measure, e.length, e.baseline_length, e.depth): e.protocol for e in before.estimates}
    for estimate in after.estimates:
        key = (estimate.measure, estimate.length, estimate.baseline_length, estimate.depth)
        if protocols.get(key, estimate.protocol) != estimate.protocol:
            raise MeasurementError(
                f"a comparison needs the same protocol in both results; '{estimate.measure}' at {estimate.length:,} "
                f"tokens was measured as '{protocols[key]}' and as '{estimate.protocol}'. Evaluate both by one plan."
            )
