"""What a page is about: the results that it was given, checked to be comparable, each with a letter and a colour."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.errors import MeasurementError
from ropewalk.report import style
from ropewalk.result import (
    Comparison,
    DemoResult,
    EntropyComparison,
    EntropyResult,
    EvaluationResult,
    ExtensionPlan,
    ExtensionResult,
    Probe,
    Ranking,
    SearchComparison,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ropewalk.result import ModelRecord

    _Choice = ExtensionPlan | Probe | SearchComparison | Ranking
    _Part = EvaluationResult | ExtensionResult | Comparison | EntropyResult | _Choice
    ReportRecord = _Part | DemoResult | EntropyComparison

# More would not be told apart in one chart.
MOST = 8
LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Identity:
    """A model on the page.

    Attributes:
        index: Its place, from 0, which chooses marker and dashes.
        letter: What charts and tables call it.
        model: Its record.
    """

    index: int
    letter: str
    model: ModelRecord

    @property
    def method(self) -> str:
        """Phrase such as `yarn, factor 8`."""
        return self.model.method

    @property
    def label(self) -> str:
        """Letter, model and method in one line."""
        return f"{self.letter}: {self.model.name}, {self.method}"

    @property
    def colour(self) -> str:
        """The colour of its method, everywhere."""
        return style.colour(self.method)


@dataclass(frozen=True)
class Subject(Identity):
    """A model with its evaluation."""

    result: EvaluationResult


@dataclass(frozen=True)
class EntropySubject(Identity):
    """A model with the entropy of its attention."""

    result: EntropyResult


@dataclass(frozen=True)
class Contents:
    """All that a page shows.

    Attributes:
        subjects: The evaluated models, in the order given.
        entropies: The models whose attention was looked at.
        extensions: What was done to make the extended ones.
        comparisons: Paired differences between two models.
        rankings: Candidates compared under one budget.
        plans, probes, searches: What a choice of a method rests on.
    """

    subjects: tuple[Subject, ...]
    entropies: tuple[EntropySubject, ...]
    extensions: tuple[ExtensionResult, ...]
    comparisons: tuple[Comparison, ...]
    rankings: tuple[Ranking, ...] = ()
    plans: tuple[ExtensionPlan, ...] = ()
    probes: tuple[Probe, ...] = ()
    searches: tuple[SearchComparison, ...] = ()

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Every model that has a letter, once."""
        known = {identity.index: identity for identity in (*self.entropies, *self.subjects)}
        return tuple(known[index] for index in sorted(known))


def gather(records: Iterable[ReportRecord]) -> Contents:
    """Sorts the records by kind, a demo's parts among them; what is given twice is shown once.

    Raises:
        MeasurementError: Nothing to show, more models than a chart can hold, or results that do not compare.
    """
    parts = _distinct([part for record in records for part in _parts(record)])
    results = [part for part in parts if isinstance(part, EvaluationResult)]
    entropies = [part for part in parts if isinstance(part, EntropyResult)]
    comparisons = [part for part in parts if isinstance(part, Comparison)]
    subjects = [Subject(i, LETTERS[i], result.model, result) for i, result in enumerate(results[:MOST])]
    looked_at = _entropy_subjects(entropies, subjects)
    models = max(len(results), *(subject.index + 1 for subject in looked_at), 0)
    if not parts or models > MOST:
        raise MeasurementError(
            f"a report shows at least one result and at most {MOST} models, because more cannot be told apart; got "
            f"{len(parts)} results of {models} models. Name the result folders that belong together."
        )
    check_comparable([*results, *comparisons])
    check_same_texts(entropies, ("data", "seed", "length", "last"))
    return Contents(
        subjects=tuple(subjects),
        entropies=tuple(looked_at),
        extensions=tuple(part for part in parts if isinstance(part, ExtensionResult)),
        comparisons=tuple(comparisons),
        rankings=tuple(part for part in parts if isinstance(part, Ranking)),
        plans=tuple(part for part in parts if isinstance(part, ExtensionPlan)),
        probes=tuple(part for part in parts if isinstance(part, Probe)),
        searches=tuple(part for part in parts if isinstance(part, SearchComparison)),
    )


def check_comparable(results: Sequence[EvaluationResult | Comparison]) -> None:
    """Refuses to put numbers side by side that come from different samples or protocols.

    Raises:
        MeasurementError: Naming the field, and the two results that differ.
    """
    check_same_texts(results)
    protocols: dict[tuple[object, ...], tuple[str, EvaluationResult]] = {}
    for result in (one for one in results if isinstance(one, EvaluationResult)):
        for estimate in result.estimates:
            key = (estimate.measure, estimate.length, estimate.baseline_length, estimate.depth)
            protocol, first = protocols.setdefault(key, (estimate.protocol, result))
            if protocol != estimate.protocol:
                raise MeasurementError(
                    "a report shows results side by side only if they were measured by one protocol; "
                    f"'{estimate.measure}' at {estimate.length:,} tokens is '{protocol}' for {_called(first)} and "
                    f"'{estimate.protocol}' for {_called(result)}. Evaluate both by one plan, or write one report "
                    "for each."
                )


def check_same_texts(
    results: Sequence[EvaluationResult | Comparison | EntropyResult], fields: Sequence[str] = ("data", "seed")
) -> None:
    """Refuses results whose data fingerprints, seeds or other fields of the protocol differ.

    Raises:
        MeasurementError: Naming the field, and the two results that differ.
    """
    for field in fields:
        for other in results[1:]:
            ours, theirs = getattr(results[0], field), getattr(other, field)
            if ours != theirs:
                raise MeasurementError(
                    "a report shows results side by side only if they come from the same samples; the "
                    f"'{field}' of {_called(results[0])} is {ours}, of {_called(other)} {theirs}. Evaluate the "
                    "models on the same texts with the same seed, or write one report for each."
                )


def _parts(record: ReportRecord) -> Sequence[_Part]:
    if isinstance(record, DemoResult):
        return (record.before, record.after, record.extension, record.comparison)
    return record.results if isinstance(record, EntropyComparison) else (record,)


def _entropy_subjects(results: Sequence[EntropyResult], subjects: Sequence[Subject]) -> list[EntropySubject]:
    """A model that was evaluated too keeps its letter; others get the next ones."""
    letters = {(subject.model.name, subject.method): subject.index for subject in subjects}
    found: list[EntropySubject] = []
    following = len(subjects)
    for result in results:
        index = letters.pop((result.model.name, result.model.method), following)
        following += index == following
        found.append(EntropySubject(index, LETTERS[min(index, len(LETTERS) - 1)], result.model, result))
    return found


def _called(result: EvaluationResult | Comparison | EntropyResult) -> str:
    if isinstance(result, Comparison):
        return f"the comparison of '{result.before.name}' and '{result.after.name}'"
    return f"'{result.model.name}' ({result.model.method})"


def _distinct(parts: Sequence[_Part]) -> list[_Part]:
    kept: list[_Part] = []
    for part in parts:
        if part not in kept:
            kept.append(part)
    return kept
