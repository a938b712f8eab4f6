"""Prompts of the papers, tried on the untouched model inside its own window: what it cannot read, no cell is asked.

A battery of ten tenths of depth (`ropewalk.evals.plan`) does not fit into 256 tokens, so two facts are asked for here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data import retrieval
from ropewalk.evals.batches import Subject, recall_stage, rule_of
from ropewalk.evals.estimates import measure_of
from ropewalk.evals.tasks import RecallSample, encoder
from ropewalk.reproduce.own_exams import OwnExam

if TYPE_CHECKING:
    from ropewalk.cells.exams import Progress
    from ropewalk.data.recall import Encode
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

    def samples(self, encode: Encode, length: int, contexts: int, seed: int) -> list[RecallSample]:
        """Contexts of one length; many facts are asked for in two halves of each, a single fact stands anywhere."""
        task = retrieval.get(self.task)(**dict(self.options))
        found = []
        for number in range(contexts):
            rng = np.random.default_rng((seed, _KEY, length, number))
            facts = QUESTIONS if task.placement == "many" else None
            context = task.sample(encode, rng, length=length, facts=facts)
            depths = tuple(question.depth for question in context.questions)
            found.append(RecallSample(f"{length}/{number}", length, context, depths))
        return found


@dataclass(frozen=True)
class FormatsExam(OwnExam):
    """Shares of right answers to prompts of several formats, at one length.

    Attributes:
        name: Such as `formats`.
        length: Tokens.
        contexts: Of each format.
        formats: What is asked.
        seed: Of the contexts.
    """

    name: str
    length: int
    contexts: int
    formats: tuple[Format, ...]
    seed: int = 0

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
        """Length, number of contexts, formats and seed."""
        formats = [{"task": entry.task, "options": dict(entry.options)} for entry in self.formats]
        return {"length": self.length, "contexts": self.contexts, "formats": formats, "seed": self.seed}

    def samples(self, checkpoint: Checkpoint, progress: Progress | None) -> tuple[str, list[SampleResult]]:
        """The answers to all prompts; no texts are read."""
        subject = Subject(checkpoint.model.eval(), checkpoint.tokenizer, encoder(checkpoint.tokenizer))
        found: list[SampleResult] = []
        for number, entry in enumerate(self.formats, start=1):
            recalls = entry.samples(subject.encode, self.length, self.contexts, self.seed)
            rule = rule_of(retrieval.get(entry.task)())
            stage = recall_stage(subject, measure_of(entry.task), recalls, rule, self.length * self.contexts)
            found += [sample for batch in stage.batches for sample in batch.measure()]
            if progress is not None:
                progress(self.name, number, len(self.formats))
        return "none", found
