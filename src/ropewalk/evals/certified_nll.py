"""The certified NLL length: up to where the same tokens are predicted as well as from the trained window.

At each length the last tokens of a text window are scored given `length` tokens, and given the trained length
(`paired_nll`). The claim "not worse by more than 0.02 nats per token" needs an upper bound of the mean difference; it
is made over documents, because windows of one document resemble each other. With fewer than 8 documents each window
counts for itself, and the claim is one about these documents. Lengths are tested in order, so each may err in 5 % of
cases and the certified length is overstated in no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.bounds import FEWEST_CLUSTERS, upper_mean
from ropewalk.evals.estimates import pair_up, values_of
from ropewalk.result import NllCheck
from ropewalk.sequential import FAILED_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import SampleResult

MARGIN = 0.02
MEASURE = "paired_nll"


def certify_nll(
    samples: Sequence[SampleResult], trained_length: int, lengths: Sequence[int], *, margin: float = MARGIN
) -> tuple[NllCheck, ...]:
    """One check for each length, against the trained length.

    Args:
        samples: The model's `paired_nll` samples at the trained length and at each length, in nats per token.
        trained_length: Tokens of the original window.
        lengths: Lengths to test, in tokens, increasing; those up to the trained length hold by definition.
        margin: Nats per token that a longer context may be worse.

    Returns:
        Checks of the lengths above the trained one, after one of the trained length itself. None where no sample of
        that measure was taken at the trained length.
    """
    near = [sample for sample in samples if (sample.measure, sample.length) == (MEASURE, trained_length)]
    if not near:
        return ()
    tested = [trained_length, *(length for length in lengths if length > trained_length)]
    return tuple(_check(samples, near, length, margin) for length in tested)


def _check(samples: Sequence[SampleResult], near: Sequence[SampleResult], length: int, margin: float) -> NllCheck:
    far = [sample for sample in samples if (sample.measure, sample.length) == (MEASURE, length)]
    pairs, failed = pair_up(near, far)
    before, after = values_of(pair[0] for pair in pairs), values_of(pair[1] for pair in pairs)
    differences = [late - early for early, late in zip(before, after, strict=True)]
    documents = [pair[0].cluster for pair in pairs]
    few = len(set(documents)) < FEWEST_CLUSTERS
    clusters = [pair[0].sample for pair in pairs] if few else documents
    reason = _undecided(len(pairs), failed, len(set(clusters)))
    bound = None if reason else upper_mean(differences, clusters)
    passed = bound is not None and bound.upper <= margin
    if bound is not None and not passed:
        reason = f"may be {bound.upper:+.3f} nats/token worse, the margin is {margin:g}"
    return NllCheck(
        length=length,
        baseline_length=near[0].length,
        verdict="passed" if passed else "not shown" if bound else "undecided",
        value=bound.value if bound else None,
        upper=bound.upper if bound else None,
        margin=margin,
        samples=len(pairs),
        failed=failed,
        clusters=len(set(clusters)),
        unit="windows" if few else "documents",
        reason=reason,
    )


def _undecided(pairs: int, failed: int, clusters: int) -> str | None:
    if failed > FAILED_SHARE * (pairs + failed):
        return f"{failed} of {pairs + failed} samples failed, more than 1 %"
    if clusters < FEWEST_CLUSTERS:
        return f"{clusters} windows of text, at least {FEWEST_CLUSTERS} are needed"
    return None
