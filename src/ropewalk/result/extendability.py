"""What a few training steps say of a longer training: an early warning for a model that will not extend."""

from __future__ import annotations

from typing import Literal

from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, Record

Prospect = Literal["extends", "open", "does not extend"]


class EarlyPoint(Record):
    """The loss on answers after so many steps.

    Attributes:
        steps: Training steps.
        needles: Loss on answers about facts in a context of the target length, nats/token.
    """

    steps: int
    needles: Estimate


class Extendability(Record):
    """An extension run for a few steps, and what that foretells.

    Attributes:
        model, method, positions: What was extended, and how.
        trained_length, target_length: Tokens.
        inside: Loss on answers of the untouched model inside its own window.
        untouched: The same at the target length.
        points: After more and more steps.
        at: Steps that are foretold.
        foretold: Loss after them, by a power law through the last points; its interval is over contexts alone.
        share_left: Share of the way from `inside` to `untouched` that is left then; low and high from the interval.
        prospect: `extends` where at most a tenth is surely left, `does not extend` where at least half surely is.
        tokens: Trained on, all points together.
    """

    format_version: int = FORMAT_VERSION
    model: str
    method: str
    positions: str
    trained_length: int
    target_length: int
    inside: Estimate
    untouched: Estimate
    points: tuple[EarlyPoint, ...]
    at: int
    foretold: Estimate
    share_left: tuple[float, float, float]
    prospect: Prospect
    tokens: int
    environment: Environment
    wall_seconds: float
