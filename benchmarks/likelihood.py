"""Lines 3, 4 and 5: perplexity by sliding windows, of three columns at once, and by truncation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import peers
from shapes import document, scaled
from side_by_side import Line, by_turns

from ropewalk.evals.perplexity import score_document
from ropewalk.evals.perplexity_protocol import PerplexityProtocol, plan_forwards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shapes import Shape, Tokens

TOLERANCE = 1e-5


def sliding(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    window, stride = scaled(shape, 2048, 256)
    yield perplexity_line(
        model,
        shape,
        repeats,
        PerplexityProtocol((window,), stride=stride, batch_tokens=window),
        document(shape, window + 5 * stride),
        number="3",
        name="sliding-window perplexity, one column",
        time_target=1.05 if shape.name == "B" else 2.0,
        memory_target=2.0 if shape.name == "B" else 10.0,
    )


def columns(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    *lengths, stride, tokens = scaled(shape, 256, 512, 1024, 128, 1792)
    yield perplexity_line(
        model,
        shape,
        repeats,
        PerplexityProtocol(tuple(lengths), stride=stride, batch_tokens=lengths[-1]),
        document(shape, tokens),
        number="4",
        name="sliding-window perplexity, three columns",
        time_target=1.6 if shape.name == "B" else 3.0,
        memory_target=None,
    )


def perplexity_line(
    model: Any,
    shape: Shape,
    repeats: int,
    protocol: PerplexityProtocol,
    tokens: Tokens,
    *,
    number: str,
    name: str,
    time_target: float,
    memory_target: float | None,
) -> Line:
    stride = protocol.stride or 0

    def ours() -> list[list[float]]:
        return [score.window_means for score in score_document(model, "random", tokens, protocol)]

    def theirs() -> list[list[float]]:
        return [peers.sliding_perplexity(model, tokens, length, stride) for length in protocol.lengths]

    def agree(means: list[list[float]], sums: list[list[float]]) -> str:
        for length, found, reference in zip(protocol.lengths, means, sums, strict=True):
            new = np.full(len(reference), stride)
            new[0], new[-1] = length - 1, len(tokens) - length - stride * (len(reference) - 2)
            assert_near(found, np.asarray(reference) / new)
        return f"window means within {TOLERANCE:g} nats"

    agreement, cost, other = by_turns(ours, theirs, agree, repeats=repeats)
    alone = [(0, f.size + 1) for c in range(len(protocol.lengths)) for f in plan_forwards(protocol, len(tokens), [c])]
    together = list(plan_forwards(protocol, len(tokens), range(len(protocol.lengths))))
    scored = [len({p for s in f.spans for p in range(s.first, s.first + s.count)}) for f in together]
    least = shape.arithmetic([(0, f.size + 1) for f in together], sum(scored))
    return Line(
        number=number,
        name=name,
        peer="YaRN loop, token-weighted",
        shape=shape.name,
        workload=f"windows of {list(protocol.lengths)} tokens, stride {stride}, {len(tokens):,} tokens",
        agreement=agreement,
        ours=cost,
        theirs=other,
        time_limit=shape.arithmetic(alone, sum(read for _, read in alone)) / least,
        time_target=time_target,
        memory_target=memory_target,
    )


def rolling(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    (window,) = scaled(shape, 1024)
    tokens = document(shape, 4 * window)
    # A window of lm-eval predicts as many tokens as it reads; one of ours reads the last target as well.
    protocol = PerplexityProtocol((window + 1,), stride=window, batch_tokens=window + 1, start_token=None)
    stream = np.concatenate([[0], tokens])
    agreement, cost, other = by_turns(
        lambda: score_document(model, "random", stream, protocol)[0].window_means,
        lambda: peers.rolling_loglikelihood(model, tokens, window, start_token=0),
        lambda means, sums: assert_near(means, np.asarray(sums) / window),
        repeats=repeats,
    )
    yield Line(
        number="3r",
        name="rolling log-likelihood, windows side by side",
        peer="lm-eval",
        shape=shape.name,
        workload=f"windows of {window:,} tokens, {len(tokens):,} tokens",
        agreement=agreement,
        ours=cost,
        theirs=other,
        time_limit=1.0,
    )


def truncated(model: Any, shape: Shape, repeats: int) -> Iterator[Line]:
    lengths = scaled(shape, *range(96, 1537, 96))
    tokens = document(shape, lengths[-1])
    protocol = PerplexityProtocol(tuple(lengths))
    agreement, cost, other = by_turns(
        lambda: [score.nats / score.tokens for score in score_document(model, "random", tokens, protocol)],
        lambda: peers.truncated_perplexity(model, tokens, lengths),
        assert_near,
        repeats=repeats,
    )
    each = shape.arithmetic([(0, length) for length in lengths], sum(lengths))
    yield Line(
        number="5",
        name=f"truncated perplexity at {len(lengths)} lengths",
        peer="YaRN --truncate",
        shape=shape.name,
        workload=f"lengths {lengths[0]} to {lengths[-1]:,}",
        agreement=agreement,
        ours=cost,
        theirs=other,
        time_limit=each / shape.arithmetic([(0, lengths[-1])], lengths[-1] - 1),
        time_target=7.0,
    )


def assert_near(found: Sequence[float], reference: Any) -> str:
    difference = float(np.abs(np.asarray(found) - np.asarray(reference)).max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"the two ways differ by {difference:g} nats per token")
    return f"within {TOLERANCE:g} nats"
