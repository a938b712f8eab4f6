"""Prompts of the papers, tried on the untouched model inside its own window: what it cannot read, no cell is asked.

A battery of ten tenths of depth (`ropewalk.evals.plan`) does not fit into 256 tokens, so two facts are asked for here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data import retrieval
from ropewalk.evals.batches import Subject, recall_stage, rule_of
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import measure_of, status_of
from ropewalk.evals.model_record import model_record
from ropewalk.evals.store import read_evaluation, write_evaluation
from ropewalk.evals.tasks import RecallSample, encoder
from ropewalk.reproduce.exams import Exam
from ropewalk.result import EvaluationResult

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.data.recall import Encode
    from ropewalk.reproduce.exams import Progress
    from ropewalk.result import SampleResult
    from ropewalk.run.checkpoint import Checkpoint

QUESTIONS = 2
_KEY = 0xF0A7  # keeps these draws apart from all others


@dataclass(frozen=True)
class Format:
    """A retrieval task with options.

    Attributes:
        task: Its name.
        options: Names and values.
    """

    task: str
    options: tuple[tuple[str, Any], ...] = ()

    def samples(self, encode: Encode, length: int, contexts: int) -> list[RecallSample]:
        """Contexts of one length; many facts are asked for in two halves of each, a single fact stands anywhere."""
        task = retrieval.get(self.task)(**dict(self.options))
        found = []
        for number in range(contexts):
            rng = np.random.default_rng((_KEY, length, number))
            facts = QUESTIONS if task.placement == "many" else None
            context = task.sample(encode, rng, length=length, facts=facts)
            depths = tuple(question.depth for question in context.questions)
            found.append(RecallSample(f"{length}/{number}", length, context, depths))
        return found


@dataclass(frozen=True)
class FormatsExam(Exam):
    """Shares of right answers to prompts of several formats, at one length.

    Attributes:
        name: Such as `formats`.
        length: Tokens.
        contexts: Of each format.
        formats: What is asked.
    """

    name: str
    length: int
    contexts: int
    formats: tuple[Format, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The one length."""
        return (self.length,)

    @property
    def measures(self) -> tuple[str, ...]:
        """Of the samples."""
        return tuple(measure_of(entry.task) for entry in self.formats)

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return self.length * self.contexts * len(self.formats)

    def conditions(self) -> dict[str, Any]:
        """Length, number of contexts and formats."""
        formats = [{"task": entry.task, "options": dict(entry.options)} for entry in self.formats]
        return {"length": self.length, "contexts": self.contexts, "formats": formats}

    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Leaves a result without estimates, and the samples."""
        started = time.monotonic()
        subject = Subject(checkpoint.model.eval(), checkpoint.tokenizer, encoder(checkpoint.tokenizer))
        samples: list[SampleResult] = []
        for number, entry in enumerate(self.formats, start=1):
            recalls = entry.samples(subject.encode, self.length, self.contexts)
            rule = rule_of(retrieval.get(entry.task)())
            stage = recall_stage(subject, measure_of(entry.task), recalls, rule, self.length * self.contexts)
            samples += [sample for batch in stage.batches for sample in batch.measure()]
            if progress is not None:
                progress(self.name, number, len(self.formats))
        result = EvaluationResult(
            status=status_of(samples),
            model=model_record(
                checkpoint.model,
                name=checkpoint.name,
                method=checkpoint.method,
                trained_length=checkpoint.trained_length,
                target_length=checkpoint.target_length,
                weights=checkpoint.weights,
            ),
            data="none",
            seed=0,
            estimates=(),
            environment=environment(checkpoint.model.device),
            wall_seconds=time.monotonic() - started,
        )
        write_evaluation(folder, result, samples)

    def read(self, folder: Path) -> tuple[str, list[SampleResult]]:
        """No texts, and all samples."""
        result, samples = read_evaluation(folder)
        return result.data, samples
