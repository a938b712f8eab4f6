"""Exams that are done in one go: they leave their samples in one record, or nothing."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.cells.exams import Exam
from ropewalk.cells.texts import texts
from ropewalk.errors import MeasurementError
from ropewalk.evals.store import RESULT, write_record
from ropewalk.evals.tasks import encoder, text_data, text_windows
from ropewalk.result import FORMAT_VERSION, Record, SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ropewalk.evals.plan import EvaluationPlan
    from ropewalk.evals.tasks import TextData, Window
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]


class ExamSamples(Record):
    """What such an exam leaves.

    Attributes:
        data: Fingerprint of the texts that were read, or `none`.
        samples: What was measured.
    """

    format_version: int = FORMAT_VERSION
    data: str
    samples: tuple[SampleResult, ...]


@dataclass(frozen=True)
class SampledExam(Exam):
    """Base of these exams; its fields are its conditions.

    Attributes:
        name: Such as `entropy`.
        texts: The set of texts, see `ropewalk.cells.texts`; None if it reads none.
    """

    name: str
    texts: str | None = None

    @abstractmethod
    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """Measures a model that is in evaluation mode."""

    def conditions(self) -> dict[str, Any]:
        """The exam's fields, and the fingerprint of the texts."""
        fields = {"exam": type(self).__name__} | asdict(self)
        fields["texts"] = texts(self.texts).fingerprint if self.texts else None
        found: dict[str, Any] = json.loads(json.dumps(fields))
        return found

    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Leaves one record; a killed call begins again."""
        checkpoint.model.eval()
        samples = self.samples(checkpoint, progress or (lambda *_: None))
        data = self._streams(checkpoint).fingerprint if self.texts else "none"
        write_record(folder / RESULT, ExamSamples(data=data, samples=tuple(samples)))

    def read(self, folder: Path) -> tuple[str, list[SampleResult]]:
        """The fingerprint of the texts and all samples."""
        try:
            record = ExamSamples.model_validate_json((folder / RESULT).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise MeasurementError(
                f"a finished exam must hold {RESULT} as this version of ropewalk writes it; '{folder}' does not "
                f"({type(error).__name__}). Remove that folder to measure the exam again."
            ) from error
        return record.data, list(record.samples)

    def _streams(self, checkpoint: Checkpoint) -> TextData:
        documents = texts(self.texts).documents if self.texts else {}
        return text_data(documents, encoder(checkpoint.tokenizer), longest=max(self.lengths))

    def _windows(self, checkpoint: Checkpoint, plan: EvaluationPlan) -> list[Window]:
        """The windows that `ropewalk evaluate` scores by this plan."""
        return text_windows(self._streams(checkpoint), plan)
