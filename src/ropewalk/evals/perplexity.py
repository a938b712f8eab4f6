"""Perplexity of whole documents by a named protocol, in bounded memory, with every window read once.

What is saved, all of it exact: logits exist only where a token is scored, and only a chunk of them at a time; one
forward answers every window length that begins where it begins; windows of one shape run as a batch. A rope that
depends on the length of the call allows none of the sharing: each length then has forwards of its own.

A document of any length is walked through window by window; nothing grows with it but one number per window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.evals import nll
from ropewalk.evals.estimates import estimate_of, values_of
from ropewalk.evals.perplexity_protocol import Forward, PerplexityProtocol, plan_forwards, shared_columns
from ropewalk.evals.static_rope import depends_on_length
from ropewalk.result import SampleResult
from ropewalk.statistics import bootstrap_weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ropewalk.result import Estimate
    from ropewalk.rope import Integers

    Progress = Callable[[str, int, int], None]


@dataclass
class DocumentScore:
    """What one document is worth to a model, at one length.

    Attributes:
        document: Its name.
        length: Truncation or window length, tokens.
        nats: Sum of the NLL of the scored tokens.
        tokens: Scored tokens.
        window_means: Mean NLL of the tokens that each window scored, nats per token, in order.
    """

    document: str
    length: int
    nats: float = 0.0
    tokens: int = 0
    window_means: list[float] = field(default_factory=list)

    def add(self, losses: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
        """Counts the losses of some windows, `[windows, scored]`, in nats."""
        self.nats += float(losses.sum())
        self.tokens += losses.size
        self.window_means += losses.mean(axis=1).tolist()


def score_document(
    model: Any, document: str, tokens: Integers, protocol: PerplexityProtocol, *, head_bytes: int | None = None
) -> list[DocumentScore]:
    """Scores of one document, one for each length of the protocol.

    Args:
        model: A causal language model, in evaluation mode.
        document: Name of the document.
        tokens: Its tokens, `[tokens]`, at least the protocol's longest window; only slices of it are copied, so a
            memory map will do.
        protocol: The protocol.
        head_bytes: Bound on the float32 logits that exist at one time; see `nll.token_nll`.
    """
    read = protocol.read(tokens)
    scores = [DocumentScore(document, length) for length in protocol.lengths]
    static = not depends_on_length(model, protocol.lengths[-1])
    for columns in shared_columns(protocol, static=static):
        for forwards in _batches(plan_forwards(protocol, len(read), columns), protocol.batch_tokens):
            _score_batch(model, read, protocol, forwards, scores, head_bytes)
    for score in scores:
        expected = protocol.targets(len(read), score.length)
        if score.tokens != expected:
            raise AssertionError(f"{document}: {score.tokens} tokens scored at {score.length}; planned {expected}")
    return scores


def perplexity_samples(
    model: Any,
    documents: Mapping[str, Integers],
    protocol: PerplexityProtocol,
    *,
    progress: Progress | None = None,
    head_bytes: int | None = None,
) -> Iterator[SampleResult]:
    """One sample for each document and length, as soon as its document is read.

    The value is in nats per token. Its weight is the number of scored tokens, or of windows for released code, so
    that the weighted mean over documents is the protocol's number. A document whose NLL is not finite has failed.

    Args:
        model: A causal language model, in evaluation mode.
        documents: Tokens by name, long enough; see `usable_documents`.
        protocol: The protocol.
        progress: Called with (measure, documents done, documents in total).
        head_bytes: Bound on the float32 logits that exist at one time; see `nll.token_nll`.
    """
    for done, (name, tokens) in enumerate(documents.items(), start=1):
        for score in score_document(model, name, tokens, protocol, head_bytes=head_bytes):
            yield _sample(score, protocol)
        if progress is not None:
            progress(protocol.measure, done, len(documents))


def perplexity_estimates(
    samples: Sequence[SampleResult], protocol: PerplexityProtocol, *, seed: int = 0, left_out: int = 0
) -> tuple[Estimate, ...]:
    """Perplexity at each length: exp of the weighted mean over documents, bootstrapped over them.

    A single document has no interval, hence no estimate.

    Args:
        samples: As `perplexity_samples` makes them; others are passed over.
        protocol: The protocol that they were measured by.
        seed: Seed of the resampling.
        left_out: Documents that were too short, which the protocol states.
    """
    found = (_perplexity(samples, protocol, length, seed, left_out) for length in protocol.lengths)
    return tuple(estimate for estimate in found if estimate is not None)


def _perplexity(
    samples: Iterable[SampleResult], protocol: PerplexityProtocol, length: int, seed: int, left_out: int
) -> Estimate | None:
    chosen = [sample for sample in samples if sample.measure == protocol.measure and sample.length == length]
    good = [sample for sample in chosen if sample.value is not None]
    clusters = [sample.cluster for sample in good]
    if len(set(clusters)) < 2:
        return None
    weights = [1.0 if sample.weight is None else sample.weight for sample in good]
    # Every estimate starts from the same seed, so it does not depend on which others are made.
    interval = bootstrap_weighted_mean(values_of(good), weights, clusters, np.random.default_rng(seed))
    return estimate_of(
        interval,
        measure=protocol.measure.removesuffix("_nll") + "_perplexity",
        protocol=f"{protocol.describe(length, left_out=left_out)} ({_counted(weights, protocol)})",
        unit="per token",
        length=length,
        failed=len(chosen) - len(good),
        curve=math.exp,
    )


def _counted(weights: Sequence[float], protocol: PerplexityProtocol) -> str:
    return f"{int(sum(weights)):,} {'windows' if protocol.released_code else 'tokens'} scored"


def _sample(score: DocumentScore, protocol: PerplexityProtocol) -> SampleResult:
    value = float(np.mean(score.window_means)) if protocol.released_code else score.nats / score.tokens
    good = math.isfinite(value)
    return SampleResult(
        measure=protocol.measure,
        sample=score.document,
        cluster=score.document,
        length=score.length,
        status="ok" if good else "failed",
        value=value if good else None,
        weight=len(score.window_means) if protocol.released_code else score.tokens,
        detail=None if good else "the model's logits are not finite",
    )


def _batches(forwards: Iterable[Forward], batch_tokens: int) -> Iterator[list[Forward]]:
    """Neighbours of one shape, at most `batch_tokens` tokens together unless a single one has more."""
    for (size, _), same in groupby(forwards, key=lambda forward: forward.shape):
        rows = max(1, batch_tokens // (size + 1))
        batch: list[Forward] = []
        for forward in same:
            batch.append(forward)
            if len(batch) == rows:
                yield batch
                batch = []
        if batch:
            yield batch


def _score_batch(
    model: Any,
    tokens: Integers,
    protocol: PerplexityProtocol,
    forwards: Sequence[Forward],
    scores: Sequence[DocumentScore],
    head_bytes: int | None,
) -> None:
    spans = forwards[0].spans
    wanted = np.zeros(forwards[0].size, dtype=bool)
    for span in spans:
        wanted[span.first : span.first + span.count] = True
    rows = np.stack([_row(tokens, forward, protocol.start_token) for forward in forwards])
    losses = nll.token_nll(model, rows, positions=1 + np.flatnonzero(wanted), head_bytes=head_bytes)
    place = np.cumsum(wanted) - 1
    for span in spans:
        start = int(place[span.first])
        scores[span.column].add(losses[:, start : start + span.count])


def _row(tokens: Integers, forward: Forward, start_token: int | None) -> Integers:
    """What a forward reads: the token before its first target, and its targets."""
    if start_token is None:
        return np.asarray(tokens[forward.begin : forward.begin + forward.size + 1], dtype=np.int64)
    text = np.asarray(tokens[forward.begin : forward.begin + forward.size], dtype=np.int64)
    return np.concatenate([np.asarray([start_token], dtype=np.int64), text])
