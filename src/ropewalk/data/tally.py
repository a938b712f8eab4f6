"""The count of what was read from a source, what of it was dropped or changed, why, and where first."""

from __future__ import annotations

from collections import Counter

from ropewalk.errors import DataError
from ropewalk.result.data import Reason, SourceReport

PLACES = 5  # of each kind that are named
KINDS = 40  # that are kept apart; a file of noise would have a kind for each line
OTHER = "other reasons"


class Tally:
    """Counts examples while they are read. An example is read once, and dropped at most once."""

    def __init__(self) -> None:
        self.examples = 0
        self._dropped = _Reasons()
        self._noted = _Reasons()
        self._masks: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Examples read and not dropped."""
        return self.examples - self._dropped.total

    def read(self) -> None:
        """One more example, good or not."""
        self.examples += 1

    def dropped(self, kind: str, where: str) -> None:
        """An example that is left out.

        Args:
            kind: The reason, in a short phrase for people.
            where: Where the example stands.
        """
        self._dropped.add(kind, where)

    def noted(self, kind: str, where: str) -> None:
        """An example that is used, but not as it stands; the arguments are those of `dropped`."""
        self._noted.add(kind, where)

    def masked(self, way: str) -> None:
        """A conversation whose answers were found by `marks` of the template, or by `construction`."""
        self._masks[way] += 1

    def report(self, source: str, *, tokens: int = 0, supervised: int = 0, template: str | None = None) -> SourceReport:
        """The counts as a record."""
        return SourceReport(
            source=source,
            read=self.examples,
            used=self.used,
            dropped=self._dropped.reasons(),
            noted=self._noted.reasons(),
            tokens=tokens,
            supervised=supervised,
            template=template,
            masks=dict(self._masks),
        )

    def nothing_used(self, source: str) -> DataError:
        """The error for a source of which nothing can be used, with its counts."""
        reasons = "; ".join(map(str, self._dropped.reasons()))
        why = f"of {self.examples:,} read none is left: {reasons}" if reasons else "it holds none at all"
        return DataError(
            f"a source of training data must hold at least one example that can be trained on; in '{source}' {why}. "
            "Mend these places, or check that the file has a format that docs/training-data.md names."
        )


class _Reasons:
    """Counts by kind, with the first places."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = {}

    def add(self, kind: str, where: str) -> None:
        self.total += 1
        if kind not in self._counts and len(self._counts) >= KINDS:
            kind = OTHER
        self._counts[kind] += 1
        places = self._first.setdefault(kind, [])
        if len(places) < PLACES:
            places.append(where)

    def reasons(self) -> tuple[Reason, ...]:
        return tuple(
            Reason(kind=kind, examples=count, first=tuple(self._first[kind]))
            for kind, count in self._counts.most_common()
        )
