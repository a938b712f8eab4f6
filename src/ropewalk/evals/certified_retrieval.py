"""The certified retrieval length: a reference from the untouched model, then every cell at one length after another.

A cell is one task at one length and one tenth of the depth. It passes if its score is shown to be at least 0.85 of
what the untouched model scores at its trained length (the rule of NoLiMa, arXiv:2502.05167, with a bound in place of
the point). A model is asked through a `Prober`, so everything here can be tried on simulated models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ropewalk.errors import MeasurementError, OptionError
from ropewalk.result import CertificateCell, CertificateReference
from ropewalk.sequential import BELOW, FAILED_SHARE, OPEN, PASSED, Schedule
from ropewalk.statistics import clustered_proportion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ropewalk.sequential import Floats

    Progress = Callable[[str, int, int], None]

SHARE = 0.85
FLOOR = 0.8
REFERENCE_CONTEXTS = 300
TENTHS = tuple(range(10))
WHOLE = (-1,)


class Prober(Protocol):
    """Asks a model about contexts start, start + 1, ... of a task and length, which are the same on every call.

    One mapping for each context: tenth of the depth to score (0 to 1), or to None where the sample failed. One
    question for each cell: answers of one context may depend on each other, answers of one cell may not.
    """

    def __call__(self, task: str, length: int, start: int, count: int) -> Sequence[Mapping[int, float | None]]: ...


@dataclass(frozen=True)
class CertificateTask:
    """A task of the battery.

    Attributes:
        name: What the prober knows it by.
        chance: Score of a random choice, from 0 to below 1.
        tenths: Tenths of the depth that each context asks about; `WHOLE` for a task about the whole context.

    Raises:
        OptionError: A chance outside its range.
    """

    name: str
    chance: float = 0.0
    tenths: tuple[int, ...] = TENTHS

    def __post_init__(self) -> None:
        if not 0 <= self.chance < 1:
            raise OptionError(
                f"the chance of task '{self.name}' must be at least 0 and below 1, because scores are counted from "
                f"it; got {self.chance}. Give the score of a random choice."
            )


class _Cells:
    """The answers of one task at one length so far, `[tenths, contexts]`, and what the schedule says of them."""

    def __init__(self, task: CertificateTask, threshold: float, schedule: Schedule) -> None:
        self.task, self.threshold, self.schedule = task, threshold, schedule
        self.scores: Floats = np.empty((len(task.tenths), 0))
        self.decisions = schedule.decide(self.scores, threshold)
        self.hopeless = schedule.hopeless(self.scores, threshold)

    @property
    def contexts(self) -> int:
        return int(self.scores.shape[1])

    @property
    def is_lost(self) -> bool:
        """Some cell will not pass, so that the length cannot be certified."""
        return bool((self.hopeless | (self.decisions.verdicts == BELOW)).any())

    @property
    def is_open(self) -> bool:
        """More contexts can change something."""
        return bool(((self.decisions.verdicts == OPEN) & ~self.hopeless).any())

    def read(self, probe: Prober, length: int, until: int) -> None:
        """Asks about further contexts, up to number `until`."""
        block = _ask(probe, self.task, length, self.contexts, until - self.contexts)
        self.scores = np.concatenate([self.scores, block], axis=1)
        self.decisions = self.schedule.decide(self.scores, self.threshold)
        self.hopeless = self.schedule.hopeless(self.scores, self.threshold)

    def records(self, length: int) -> Iterator[CertificateCell]:
        """One record for each tenth, of the contexts up to its verdict."""
        for index, tenth in enumerate(self.task.tenths):
            seen = self.scores[index, : self.decisions.contexts[index]]
            failed = int(np.isnan(seen).sum())
            verdict = int(self.decisions.verdicts[index])
            yield CertificateCell(
                task=self.task.name,
                length=length,
                tenth=tenth,
                verdict="passed" if verdict == PASSED else "below" if verdict == BELOW else "undecided",
                score=float(np.nanmean(seen)) if failed < len(seen) else None,
                low=self.schedule.lower(seen),
                high=self.schedule.upper(seen),
                threshold=self.threshold,
                samples=len(seen) - failed,
                failed=failed,
                reason=self._reason(index, failed) if verdict == OPEN else None,
            )

    def _reason(self, index: int, failed: int) -> str:
        if failed > FAILED_SHARE * self.contexts:
            return f"{failed} of {self.contexts} samples failed, more than 1 %"
        if self.contexts == self.schedule.cap:
            return f"still open at the cap of {self.schedule.cap} contexts"
        if self.hopeless[index]:
            return f"can no longer pass within {self.schedule.cap} contexts"
        return f"stopped after {self.contexts} contexts, because another cell of this length did not pass"


def measure_reference(
    probe: Prober,
    task: CertificateTask,
    trained_length: int,
    *,
    contexts: int = REFERENCE_CONTEXTS,
    progress: Progress | None = None,
) -> CertificateReference:
    """The score of the untouched model at its trained length, and the threshold that it sets for every cell.

    With c(s) = (s - chance) / (1 - chance) the threshold is the score t with c(t) = 0.85 c(reference). It is fixed
    before the extended model is tested, and the certificate is a statement about that number.

    Args:
        probe: Asks the *untouched* model.
        task: The task.
        trained_length: Tokens of its window.
        contexts: Contexts to ask about, at least 300.
        progress: Called with (stage, contexts done, contexts in total).

    Raises:
        OptionError: Fewer than 300 contexts.
        MeasurementError: The prober answers something else than was asked.
    """
    if contexts < REFERENCE_CONTEXTS:
        raise OptionError(
            f"a reference needs at least {REFERENCE_CONTEXTS} contexts, because every threshold rests on it; got "
            f"{contexts}. It is measured once for each untouched model."
        )
    scores = _ask(probe, task, trained_length, 0, contexts)
    if progress:
        progress(f"reference, {task.name}", contexts, contexts)
    good = ~np.isnan(scores)
    failed, score, low, high = int((~good).sum()), 0.0, 0.0, 1.0
    if good.any():
        interval = clustered_proportion(scores[good], np.nonzero(good)[1].tolist())
        score, low, high = interval.value, interval.low, interval.high
    corrected = (score - task.chance) / (1 - task.chance)
    reason = _not_certifiable(corrected, failed, scores.size)
    return CertificateReference(
        task=task.name,
        length=trained_length,
        score=score,
        low=low,
        high=high,
        chance=task.chance,
        threshold=None if reason else task.chance + (1 - task.chance) * SHARE * corrected,
        contexts=contexts,
        samples=int(good.sum()),
        failed=failed,
        reason=reason,
    )


def certify_retrieval(
    probe: Prober,
    tasks: Sequence[CertificateTask],
    references: Sequence[CertificateReference],
    lengths: Sequence[int],
    *,
    schedule: Schedule,
    survey: bool = False,
    progress: Progress | None = None,
) -> tuple[CertificateCell, ...]:
    """Tests lengths in order, in blocks of contexts, until one cannot be certified.

    Contexts are numbered from 0 at every task and length, so a prober that keeps its answers makes this resumable.
    Tasks whose reference is not certifiable are left out.

    Args:
        probe: Asks the model under test.
        tasks: The battery.
        references: One for each task, of the untouched model.
        lengths: Lengths to test, in tokens, increasing.
        schedule: When to look.
        survey: Go on after a length that cannot be certified, for the report; the certified length stays the same.
        progress: Called with (stage, contexts done, contexts at the cap).

    Raises:
        OptionError: Lengths that do not increase, or a task without a reference.
        MeasurementError: The prober answers something else than was asked.
    """
    _check_lengths(lengths)
    thresholds = {reference.task: reference.threshold for reference in references}
    missing = [task.name for task in tasks if task.name not in thresholds]
    if missing:
        raise OptionError(
            f"every task of a certificate needs the score of the untouched model; missing: {', '.join(missing)}. "
            "Measure the reference first."
        )
    certifiable = [(task, threshold) for task in tasks if (threshold := thresholds[task.name]) is not None]
    found: list[CertificateCell] = []
    for length in lengths:
        cells = [_Cells(task, threshold, schedule) for task, threshold in certifiable]
        _test_length(probe, cells, length, schedule, survey, progress)
        found += [record for group in cells for record in group.records(length)]
        if not survey and any(cell.verdict != "passed" for cell in found):
            break
    return tuple(found)


def _test_length(
    probe: Prober,
    groups: Sequence[_Cells],
    length: int,
    schedule: Schedule,
    survey: bool,
    progress: Progress | None,
) -> None:
    for look in schedule.looks:
        for cells in groups:
            if not cells.is_open:
                continue
            cells.read(probe, length, look)
            if progress:
                progress(f"certificate, {cells.task.name} at {length:,} tokens", cells.contexts, schedule.cap)
            if cells.is_lost and not survey:
                return


def _ask(probe: Prober, task: CertificateTask, length: int, start: int, count: int) -> Floats:
    """Scores `[tenths, count]`, NaN where a sample failed."""
    answers = probe(task.name, length, start, count)
    expected = set(task.tenths)
    odd = next((sorted(answer) for answer in answers if set(answer) != expected), None)
    if len(answers) != count or odd is not None:
        raise MeasurementError(
            f"task '{task.name}' at {length:,} tokens must answer {count} contexts with one score for each of the "
            f"tenths {sorted(expected)}; got {len(answers)} contexts{'' if odd is None else f' and tenths {odd}'}. "
            "Ask each context once in every tenth."
        )
    scores = np.array([[np.nan if (s := answer[tenth]) is None else s for answer in answers] for tenth in task.tenths])
    given = [s for answer in answers for s in answer.values() if s is not None]
    if not all(0 <= s <= 1 for s in given):
        raise MeasurementError(
            f"task '{task.name}' at {length:,} tokens must score each answer from 0 to 1; got "
            f"{next(s for s in given if not 0 <= s <= 1)}. A sample that failed is None, so that it is counted as such."
        )
    return scores.astype(np.float64)


def _not_certifiable(corrected: float, failed: int, samples: int) -> str | None:
    if failed > FAILED_SHARE * samples:
        return f"{failed} of {samples} answers of the untouched model failed, more than 1 %"
    if corrected < FLOOR:
        return f"the untouched model scores {corrected:.2f} above chance at its trained length, below {FLOOR}"
    return None


def _check_lengths(lengths: Sequence[int]) -> None:
    if not lengths or lengths[0] < 1 or not all(a < b for a, b in pairwise(lengths)):
        raise OptionError(
            f"the lengths of a certificate must increase, because they are tested in order; got {list(lengths)}. "
            "An example: 256, 512, 1024, 2048."
        )
