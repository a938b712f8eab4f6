"""What a search for frequencies went through, and what it found."""

from __future__ import annotations

from itertools import accumulate

from ropewalk.result.records import Record


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
