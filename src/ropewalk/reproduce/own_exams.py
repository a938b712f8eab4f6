"""Exams that are no part of `ropewalk evaluate`, kept in the form of an evaluation all the same."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk.cells.exams import Exam
from ropewalk.cells.texts import texts
from ropewalk.data.cloze import cloze_questions, questions_fingerprint
from ropewalk.evals.cloze import answer_cloze
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import status_of
from ropewalk.evals.model_record import model_record
from ropewalk.evals.store import read_evaluation, write_evaluation
from ropewalk.result import EvaluationResult

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.cells.exams import Progress
    from ropewalk.result import SampleResult
    from ropewalk.run.checkpoint import Checkpoint

DOCUMENTS = 16  # of the test split: what costs are estimated by


class OwnExam(Exam):
    """An exam that gives samples; they are written at the end, so a killed one begins anew.

    Attributes:
        seed: Of what it draws.
    """

    seed: int

    @abstractmethod
    def samples(self, checkpoint: Checkpoint, progress: Progress | None) -> tuple[str, list[SampleResult]]:
        """The fingerprint of what was asked, and the samples.

        Raises:
            RopewalkError: The model cannot be measured so.
        """

    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Leaves the samples as an evaluation without estimates: studies make their own."""
        started = time.monotonic()
        data, samples = self.samples(checkpoint, progress)
        record = model_record(
            checkpoint.model,
            name=checkpoint.name,
            method=checkpoint.method,
            trained_length=checkpoint.trained_length,
            target_length=checkpoint.target_length,
            weights=checkpoint.weights,
        )
        result = EvaluationResult(
            status=status_of(samples),
            model=record,
            data=data,
            seed=self.seed,
            estimates=(),
            environment=environment(checkpoint.model.device),
            wall_seconds=time.monotonic() - started,
        )
        write_evaluation(folder, result, samples)

    def read(self, folder: Path) -> tuple[str, list[SampleResult]]:
        """The fingerprint of what was asked, and all samples."""
        result, samples = read_evaluation(folder)
        return result.data, samples


@dataclass(frozen=True)
class ClozeExam(OwnExam):
    """Which of four names of a module comes next, see `ropewalk.evals.cloze`.

    Attributes:
        name: Such as `cloze`.
        texts: The set of modules.
        window: Tokens of context and name together.
        per_document: Questions about each module.
        seed: Of the questions.
    """

    name: str
    texts: str
    window: int
    per_document: int = 32
    seed: int = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """The window, tokens."""
        return (self.window,)

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return DOCUMENTS * self.per_document * self.window

    def conditions(self) -> dict[str, Any]:
        """The texts, and what is drawn from them."""
        drawn = {"window": self.window, "per_document": self.per_document, "seed": self.seed}
        return {"texts": texts(self.texts).fingerprint, **drawn}

    def samples(self, checkpoint: Checkpoint, progress: Progress | None) -> tuple[str, list[SampleResult]]:
        """The fingerprint of the questions and the answers."""
        questions = cloze_questions(
            checkpoint.tokenizer,
            texts(self.texts).documents,
            window=self.window,
            per_document=self.per_document,
            seed=self.seed,
        )
        answers = answer_cloze(checkpoint.model, questions, window=self.window, progress=progress)
        return questions_fingerprint(questions), answers
