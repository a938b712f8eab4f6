"""What forward passes alone say of a model: candidate methods untrained, its critical pair, its logit slope."""

from __future__ import annotations

from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, Record


class ProbedMethod(Record):
    """A method without any training.

    Attributes:
        method, described: Its name, and with its numbers.
        needles: Loss on answers about facts in a context of the target length.
        behind: The same minus the best method's, on the same contexts; 0 for the best.
        text: NLL of the same held-out tokens by length of their context, from the old window to the target; empty
            without texts.
    """

    method: str
    described: str
    needles: Estimate
    behind: Estimate
    text: tuple[Estimate, ...] = ()


class ProbedPoint(Record):
    """A reading on a line of frequency vectors.

    Attributes:
        place: A pair's index, or a slope.
        needles: Loss on answers at the target length.
        behind: The same minus the best point's, on the same contexts.
    """

    place: float
    needles: Estimate
    behind: Estimate


class Probe(Record):
    """Minutes of forward passes.

    Attributes:
        model: What was asked for.
        trained_length, target_length: Tokens.
        untouched, untouched_text: The model as it is: loss on answers at the target length, and NLL by length.
        methods: Candidates, the best first.
        cuts: Loss where the pairs from `place` on are slowed by the factor and the others left as they are.
        critical_pair: The best cut.
        critical_low, critical_high: Cuts that are not shown to be worse than it.
        theoretical_pair: The first pair that completes no turn inside the trained window.
        slopes: Loss where attention is sharpened by 1 + place * ln(factor) on cos and sin, at the best cut.
        slope: The best of them.
        contexts: Needle contexts behind each number.
    """

    format_version: int = FORMAT_VERSION
    model: str
    trained_length: int
    target_length: int
    untouched: Estimate
    untouched_text: tuple[Estimate, ...] = ()
    methods: tuple[ProbedMethod, ...]
    cuts: tuple[ProbedPoint, ...]
    critical_pair: int
    critical_low: int
    critical_high: int
    theoretical_pair: int
    slopes: tuple[ProbedPoint, ...]
    slope: float
    contexts: int
    environment: Environment
    wall_seconds: float
