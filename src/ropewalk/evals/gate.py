"""The short-context gate: is text up to the trained window predicted as well as before?

Non-inferiority, one-sided at 95 %: an extended model passes when the upper bound of its mean NLL minus the reference's,
on the same tokens, is at most a margin of 0.02 nats per token (2 % in perplexity). A bound above the margin fails, for
lack of text as much as for damage: what is not shown is not claimed.

Every token of windows of the trained length is scored, so that all context lengths from 1 to the trained length count
alike. The windows of one document are one cluster. Two references are judged apart and both must pass, which needs no
correction for two tests (intersection-union, Berger 1982, Technometrics 24:295).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ropewalk.bounds import ALPHA, FEWEST_CLUSTERS, upper_mean
from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals.divergence import TokenDivergence, token_divergence
from ropewalk.evals.tasks import text_data
from ropewalk.result import Estimate, GateCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ropewalk.data.recall import Encode
    from ropewalk.rope import Floats, Integers

    Booleans = NDArray[np.bool_]
    Verdict = Literal["PASS", "FAIL"]
    Progress = Callable[[str, int, int], None]

MARGIN = 0.02
NATS = "nats/token"
LABEL = "short-context gate"
PARTS = 4  # of the window, for information


@dataclass(frozen=True)
class GatePlan:
    """Sizes of the gate.

    Attributes:
        margin: How much worse still passes, nats per token.
        windows: Windows of the trained length that are read at most, spread evenly over the documents.
        tokens: Tokens that are read about at most: where windows are long there are fewer of them, but at least 16.
        batch_tokens: Tokens of one forward, a limit on memory that does not change results.

    Raises:
        OptionError: A margin that is not above 0, or too few windows for a bound.
    """

    margin: float = MARGIN
    windows: int = 128
    tokens: int = 2**20
    batch_tokens: int = 8192

    def windows_of(self, trained_length: int) -> int:
        """How many windows of this length are read at most."""
        return min(self.windows, max(2 * FEWEST_CLUSTERS, self.tokens // trained_length))

    def __post_init__(self) -> None:
        if not (self.margin > 0 and math.isfinite(self.margin)) or self.windows < FEWEST_CLUSTERS:
            raise OptionError(
                f"a gate needs a margin above 0 nats per token and at least {FEWEST_CLUSTERS} windows; got margin "
                f"{self.margin} and {self.windows} windows. The usual margin is {MARGIN}."
            )


@dataclass(frozen=True)
class GateText:
    """What the gate reads.

    Attributes:
        windows: Token ids, `[windows, trained_length]`.
        clusters: For each window, what it is independent of the others by.
        unit: What the clusters are, in the plural: `documents`, or `windows` where there are few documents.
        left_out: Documents that hold no window.
        fingerprint: Of the texts and of their tokens.
    """

    windows: Integers
    clusters: tuple[str, ...]
    unit: str
    left_out: int
    fingerprint: str


def gate_text(documents: Mapping[str, str], encode: Encode, *, trained_length: int, plan: GatePlan) -> GateText:
    """Cuts windows of the trained length out of documents: disjoint, evenly spaced, no more from one than from another.

    With fewer than 8 documents each window is a cluster of its own, because a bound over so few documents would be
    empty; the bound then speaks of these documents, not of others.

    Raises:
        DataError: The documents hold fewer than 8 windows together.
    """
    try:
        data = text_data(documents, encode, longest=trained_length)
    except DataError:
        raise _too_little_text(trained_length, 0) from None
    streams, most = dict(data.streams), plan.windows_of(trained_length)
    if len(streams) > most:
        names = list(streams)
        chosen = np.linspace(0, len(names) - 1, most).round().astype(int)
        streams = {names[i]: streams[names[i]] for i in chosen}
    quota = most // len(streams)
    windows, clusters = [], []
    for name, stream in streams.items():
        count = min(quota, len(stream) // trained_length)
        for start in np.linspace(0, len(stream) - trained_length, count).astype(int) if count > 1 else [0]:
            windows.append(stream[start : start + trained_length])
            clusters.append(name if len(streams) >= FEWEST_CLUSTERS else f"{name}@{start}")
    if len(set(clusters)) < FEWEST_CLUSTERS:
        raise _too_little_text(trained_length, len(windows))
    unit = "documents" if len(streams) >= FEWEST_CLUSTERS else "windows"
    return GateText(np.stack(windows), tuple(clusters), unit, len(data.too_short), data.fingerprint)


def check_text(
    reference: Any,
    extended: Any,
    text: GateText,
    plan: GatePlan,
    *,
    name: Literal["original", "control"],
    progress: Progress | None = None,
) -> GateCheck:
    """Measures the extended model against a reference on the gate's text, and judges.

    Args:
        reference: The original model, or the control.
        extended: The extended model.
        text: See `gate_text`.
        plan: Margin and sizes.
        name: What the reference is.
        progress: Called with (label, windows done, windows in total).

    Raises:
        MeasurementError: The device's memory does not hold one batch, or see `token_divergence`.
    """
    scored = _score(reference, extended, text, plan, progress)
    good: Booleans = np.all(np.isfinite(scored.reference_nll + scored.model_nll + scored.divergence), axis=1)
    summary = _Summary(scored, text, good, name)
    failed = int((~good).sum())
    change = summary.change() if summary.is_bounded else None
    if failed or change is None:
        verdict: Verdict = "FAIL"
        reason = f"{failed} of {len(good)} windows gave no finite number: {_culprit(scored, name)}"
    else:
        verdict, reason = judge(change, plan.margin)
    return GateCheck(
        subject="text",
        reference=name,
        verdict=verdict,
        reason=reason,
        margin=plan.margin,
        change=change,
        details=tuple(summary.details()) if summary.is_bounded else (),
    )


def judge(worsening: Estimate, margin: float, *, more: str = "text") -> tuple[Verdict, str]:
    """The verdict on a change of which more is worse, and its words.

    Args:
        worsening: Reference to extended model, above 0 for worse; both ends are one-sided 95 % bounds.
        margin: How much worse still passes, in the same unit.
        more: Of what more would narrow the bounds.
    """
    within = f"the margin of {margin} {worsening.unit}"
    if worsening.high <= margin:
        return "PASS", f"at most {worsening.high:+.4f} with 95 % confidence, within {within}"
    if worsening.low > margin:
        return "FAIL", f"worse by at least {worsening.low:+.4f} with 95 % confidence, more than {within}"
    return (
        "FAIL",
        f"not shown to be within {within}: measured {worsening.value:+.4f}, at most {worsening.high:+.4f} with 95 % "
        f"confidence (more {more} would decide)",
    )


def overall(checks: Iterable[GateCheck], missing: str | None = None) -> tuple[Literal["PASS", "FAIL", "SKIPPED"], str]:
    """FAIL if any check fails, with the first reason; otherwise PASS, with all of them.

    Args:
        checks: What was measured; at least one if nothing is missing.
        missing: Why a check that was asked for could not be made; SKIPPED for that reason where no other fails.
    """
    found = list(checks)
    failing = [check for check in found if check.verdict == "FAIL"]
    if missing and not failing:
        return "SKIPPED", missing
    reasons = [f"{check.subject} against the {check.reference}: {check.reason}" for check in failing[:1] or found]
    return ("FAIL" if failing else "PASS"), "; ".join(reasons)


@dataclass(frozen=True)
class _Summary:
    """Scores become estimates: means over windows of the same size, with bounds over clusters."""

    scored: TokenDivergence
    text: GateText
    good: Booleans
    name: str

    @property
    def clusters(self) -> list[str]:
        return [cluster for cluster, good in zip(self.text.clusters, self.good, strict=True) if good]

    @property
    def is_bounded(self) -> bool:
        return len(set(self.clusters)) >= FEWEST_CLUSTERS

    def change(self) -> Estimate:
        return self._estimate("nll_change", self._changes, f"NLL minus that of the {self.name} model, all tokens")

    def details(self) -> Iterator[Estimate]:
        scored, last = self.scored, self.text.windows.shape[1] - 1
        yield self._estimate("reference_nll", scored.reference_nll, f"NLL of the {self.name} model")
        yield self._estimate("extended_nll", scored.model_nll, "NLL of the extended model")
        yield self._estimate("divergence", scored.divergence, f"KL({self.name} || extended) over the whole vocabulary")
        edges = np.linspace(0, last, PARTS + 1).round().astype(int)
        for start, end in pairwise(edges.tolist()):
            if end > start:
                words = f"NLL minus that of the {self.name} model, tokens {start + 1:,} to {end:,} of the window"
                yield self._estimate("nll_change_in_part", self._changes[:, start:end], words, length=end)

    @property
    def _changes(self) -> Floats:
        return self.scored.model_nll - self.scored.reference_nll

    def _estimate(self, measure: str, values: Floats, what: str, *, length: int | None = None) -> Estimate:
        window = self.text.windows.shape[1]
        means = values[self.good].mean(axis=1)
        upper, lower = upper_mean(means, self.clusters), upper_mean(-means, self.clusters)
        left_out = f", {self.text.left_out} shorter documents left out" if self.text.left_out else ""
        return Estimate(
            measure=measure,
            protocol=f"{what}; windows of {window:,} tokens{left_out}",
            unit=NATS,
            length=length or window,
            value=upper.value,
            low=0.0 - lower.upper,
            high=upper.upper,
            level=1 - 2 * ALPHA,
            interval=f"one-sided 95 % bounds over {upper.clusters} {self.text.unit}",
            samples=upper.samples,
            failed=int((~self.good).sum()),
            clusters=upper.clusters,
        )


def _score(reference: Any, extended: Any, text: GateText, plan: GatePlan, progress: Progress | None) -> TokenDivergence:
    total, length = text.windows.shape
    step = max(1, plan.batch_tokens // length)
    parts = []
    for start in range(0, total, step):
        try:
            parts.append(token_divergence(reference, extended, text.windows[start : start + step]))
        except torch.OutOfMemoryError as error:
            raise MeasurementError(
                f"the device must hold both models and one batch of {length:,} tokens; it ran out of memory. "
                "Use a larger device."
            ) from error
        if progress:
            progress(LABEL, min(start + step, total), total)
    return TokenDivergence(
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("reference_nll", "model_nll", "divergence")
        )
    )


def _too_little_text(trained_length: int, windows: int) -> DataError:
    return DataError(
        f"the gate needs text of at least {FEWEST_CLUSTERS} windows of {trained_length:,} tokens, because fewer do not "
        f"show how much they differ; the texts given hold {windows}. Give more text."
    )


def _culprit(scored: TokenDivergence, name: str) -> str:
    if np.isfinite(scored.reference_nll).all():
        return "the extended model's logits are not finite there"
    return f"the {name} model's logits are not finite there"
