"""What a search for frequencies went through, and what it found."""

from __future__ import annotations

from itertools import accumulate

from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, Record


class SearchTrajectory(Record):
    """A search.

    Attributes:
        search: `evolution` or `taper`.
        losses: Of all candidates in their order, nats per token.
        frequencies: Of the best, radians per token, `[pairs]`.
        attention_factor: What its cos and sin are multiplied by.
        found: Its own numbers by name, where it has few.
    """

    search: str
    losses: tuple[float, ...]
    frequencies: tuple[float, ...]
    attention_factor: float
    found: dict[str, float]

    @property
    def best(self) -> tuple[float, ...]:
        """The smallest loss after each candidate."""
        return tuple(accumulate(self.losses, min))


class SearchedPoint(Record):
    """Frequencies, measured on needles that no search saw.

    Attributes:
        name: Of the search, or of a method that needs none.
        needles: Loss on answers, untrained.
        behind: The same minus the best point's, on the same contexts; exactly 0 for the best.
    """

    name: str
    needles: Estimate
    behind: Estimate


class SearchComparison(Record):
    """Searches with as many evaluations each.

    Attributes:
        model: What was asked for.
        trained_length, target_length: Tokens.
        evaluations: Of each search.
        trajectories: One for each search.
        fresh: What they found and methods that need no search, the best first.
        contexts: Needle contexts behind each of these.
        seed: Of these needles; the searches' own come from another.
    """

    format_version: int = FORMAT_VERSION
    model: str
    trained_length: int
    target_length: int
    evaluations: int
    trajectories: tuple[SearchTrajectory, ...]
    fresh: tuple[SearchedPoint, ...]
    contexts: int
    seed: int
    environment: Environment
    wall_seconds: float
