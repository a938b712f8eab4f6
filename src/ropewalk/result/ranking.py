"""Candidates compared under one budget: who is best, by how much, at what price, and where the others stopped."""

from __future__ import annotations

from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, Record
from ropewalk.result.reproduction import CellRecord, RateRecord


class RungRecord(Record):
    """A candidate after a part of the budget, on the validation side.

    Attributes:
        steps: Of its training.
        seeds: Trainings that it rests on.
        score: What decides, nats/token; smaller is better.
        behind: The same minus that of the best at this rung, paired; exactly 0 for the best.
    """

    steps: int
    seeds: int
    score: Estimate
    behind: Estimate


class RankedCandidate(Record):
    """A candidate.

    Attributes:
        candidate: Such as `yarn, contiguous`.
        method: Its method in a phrase, such as `yarn, factor 8`.
        positions: Sampler of its training positions.
        window: Tokens of its training windows.
        learning_rate: The one that its search chose; None where none was left.
        rungs: In the order of the budget, the last one that it reached included.
        stopped_at: Steps of the rung at which it was dropped; None for one that stood to the end, or failed.
        failed: Why it could not be measured; None for all others.
        test: Score on the test side; None unless it stood to the end.
        behind: The same minus that of the best, paired.
        text: NLL of text at the target length, test side; None without text.
        needles: Loss on the answers of needles at the target length, test side.
        inside: NLL of text inside the old window minus the untouched model's, test side; None without text.
        tokens: Read in all its trainings.
        wall_seconds: Of all its trainings and measurements.
    """

    candidate: str
    method: str
    positions: str
    window: int
    learning_rate: float | None
    rungs: tuple[RungRecord, ...]
    stopped_at: int | None = None
    failed: str | None = None
    test: Estimate | None = None
    behind: Estimate | None = None
    text: Estimate | None = None
    needles: Estimate | None = None
    inside: Estimate | None = None
    tokens: int
    wall_seconds: float

    @property
    def method_name(self) -> str:
        """What the user calls the method."""
        return self.candidate.split(",")[0]

    @property
    def stood(self) -> bool:
        """Whether it was trained for the whole budget."""
        return self.stopped_at is None and self.failed is None


class ComparedControl(Record):
    """What candidates are held against.

    Attributes:
        name: `untouched`, or `same tokens at the old window`.
        test, text, needles, inside: As of candidates.
        failed: Why it could not be measured; None if it was.
        tokens, wall_seconds: As of candidates.
    """

    name: str
    test: Estimate | None = None
    text: Estimate | None = None
    needles: Estimate | None = None
    inside: Estimate | None = None
    failed: str | None = None
    tokens: int
    wall_seconds: float


class Ranking(Record):
    """A comparison.

    Attributes:
        model: What was asked for.
        trained_length, target_length: Tokens.
        budget: As it was given.
        rung_steps: Steps of each rung; the last is the whole budget.
        step_tokens: Tokens of a step, the same for all candidates.
        seeds: Of the trainings with the whole budget.
        score: What decides, in words.
        candidates: Those that stood to the end first, the best by validation in front; then the dropped ones, the last
            to leave first; then those that failed.
        best: The candidate with the smallest score on the validation side.
        close: Candidates that are not shown to be behind it there.
        controls: The untouched model, and the same tokens at the old window.
        rates: Searches for learning rates.
        cells: Every training, in the order of the work.
        data: Fingerprint of the texts of each exam.
        notes: What the reader should know besides.
    """

    format_version: int = FORMAT_VERSION
    model: str
    trained_length: int
    target_length: int
    budget: str
    rung_steps: tuple[int, ...]
    step_tokens: int
    seeds: tuple[int, ...]
    score: str
    candidates: tuple[RankedCandidate, ...]
    best: str
    close: tuple[str, ...]
    controls: tuple[ComparedControl, ...]
    rates: tuple[RateRecord, ...]
    cells: tuple[CellRecord, ...]
    data: dict[str, str]
    notes: tuple[str, ...]
    environment: Environment
    wall_seconds: float

    def find(self, candidate: str) -> RankedCandidate:
        """The candidate of a name."""
        return next(one for one in self.candidates if one.candidate == candidate)
