"""A fixed schedule that spreads several sources evenly over a run, each in exactly its share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Mix:
    """Which source window `number` comes from, and which of that source's windows it is.

    The last source takes its share of all windows as evenly as whole numbers go: window n is its own where n x share
    passes a whole number. The source before it takes its share of the others in the same way, and so on. So no window
    depends on how many came before, and any number of processes agree.
    """

    def __init__(self, weights: Sequence[float], *, last_share: float = 0.0) -> None:
        """Works out the shares.

        Args:
            weights: Of the sources; only their ratios matter.
            last_share: Share of all windows that one more source takes, behind these, 0 to 1.
        """
        self.shares = [weight / sum(weights[: source + 1]) for source, weight in enumerate(weights)]
        self.shares += [last_share] if last_share else []

    def place(self, number: int) -> tuple[int, int]:
        """Source of window `number` of the run, and the window's number among those of its source."""
        for source in range(len(self.shares) - 1, 0, -1):
            before = int(number * self.shares[source])
            if int((number + 1) * self.shares[source]) > before:
                return source, before
            number -= before
        return 0, number

    def counts(self, windows: int) -> list[int]:
        """Windows of each source among the first `windows` of the run."""
        counts = []
        for share in self.shares[:0:-1]:
            counts.append(int(windows * share))
            windows -= counts[-1]
        return [windows, *counts[::-1]]
