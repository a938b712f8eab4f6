"""What is measured of a cell: an exam has a name, costs so many tokens, and leaves samples in a folder."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ropewalk.cells.texts import texts
from ropewalk.data import retrieval
from ropewalk.data.corpus import Corpus
from ropewalk.evals.certificate import TENTHS
from ropewalk.evals.store import RESULT, read_evaluation
from ropewalk.run.checkpoint import UNTOUCHED
from ropewalk.run.evaluation import Order, evaluate_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ropewalk.evals.certification import CertificatePlan
    from ropewalk.evals.plan import EvaluationPlan
    from ropewalk.result import Certificate, SampleResult
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]


class Exam(ABC):
    """A measurement of a cell.

    Attributes:
        name: Such as `modules`.
    """

    name: str

    @property
    @abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Context lengths at which it measures, tokens."""

    @property
    @abstractmethod
    def tokens(self) -> int:
        """About so many tokens are read."""

    def require(self) -> None:
        """Asked before any cell is made.

        Raises:
            OptionError: Something that it needs is not installed.
        """
        return

    @abstractmethod
    def conditions(self) -> dict[str, Any]:
        """Everything besides the model that its numbers depend on, as JSON knows it."""

    @abstractmethod
    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Measures a model and leaves a result in a folder; goes on with what a killed call left beside it.

        Raises:
            RopewalkError: The model cannot be measured so.
        """

    @abstractmethod
    def read(self, folder: Path) -> tuple[str, list[SampleResult]]:
        """The fingerprint of the texts and the samples that `measure` left.

        Raises:
            MeasurementError: There are none.
        """

    def certificate(self, folder: Path) -> Certificate | None:
        """The certificate that `measure` left, if it makes one."""
        del folder
        return None

    def is_measured(self, folder: Path) -> bool:
        """Whether a folder holds a whole result."""
        return (folder / RESULT).is_file()


@dataclass(frozen=True)
class EvaluationExam(Exam):
    """What `ropewalk evaluate` measures.

    Attributes:
        name: Such as `modules`.
        plan: Lengths, tasks and sizes.
        texts: The documents, or the name of a set of them (`ropewalk.cells.texts`); None if the plan reads none.
    """

    name: str
    plan: EvaluationPlan
    texts: str | Corpus | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """Context lengths at which it measures, tokens."""
        return self.plan.lengths

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        plan = self.plan
        documents = (plan.documents or 16) if self.texts else 0
        windows = documents * plan.windows_per_document if "paired" in plan.tasks else 0
        contexts = plan.contexts if "key-value" in plan.tasks else 0
        contexts += plan.trials * len(plan.depths) if "passkey" in plan.tasks else 0
        contexts += plan.battery_contexts * len(plan.battery)
        return (windows + contexts) * sum(plan.lengths)

    def conditions(self) -> dict[str, Any]:
        """The plan, and the fingerprint of the texts."""
        return {
            "plan": json.loads(json.dumps(asdict(self.plan))),
            "texts": self._corpus().fingerprint if self.texts else None,
        }

    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Leaves what `ropewalk evaluate -o FOLDER` leaves."""
        evaluate_order(checkpoint, Order(self.plan, self._corpus().documents), folder, progress=progress)

    def read(self, folder: Path) -> tuple[str, list[SampleResult]]:
        """The fingerprint of the texts and all samples."""
        result, samples = read_evaluation(folder)
        return result.data, samples

    def _corpus(self) -> Corpus:
        if self.texts is None:
            return Corpus({})
        return texts(self.texts) if isinstance(self.texts, str) else self.texts


@dataclass(frozen=True)
class CertificateExam(EvaluationExam):
    """The certificate of a cell: how far its context really reaches, judged against the untouched model.

    Attributes:
        settings: Battery and schedule.
        reference: The untouched model; a cell on which nothing was done is its own.
    """

    settings: CertificatePlan = field(kw_only=True)
    reference: str = field(kw_only=True)

    @property
    def tokens(self) -> int:
        """About so many tokens are read, at most: every length is tested with all contexts at all depths."""
        contexts = self.settings.timing.cap * sum(
            len(TENTHS) if retrieval.get(task).placement == "single" else 1 for task in self.settings.tasks
        )
        references = self.settings.reference_contexts * len(self.settings.tasks) * self.plan.lengths[0]
        return super().tokens + references + contexts * sum(self.plan.lengths)

    def conditions(self) -> dict[str, Any]:
        """Those of the evaluation, and the certificate's settings."""
        return super().conditions() | {"certificate": self.settings.model_dump(mode="json")}

    def measure(self, checkpoint: Checkpoint, folder: Path, progress: Progress | None) -> None:
        """Leaves what `ropewalk evaluate -o FOLDER` leaves, with the certificate in it."""
        reference = None if checkpoint.method == UNTOUCHED else self.reference
        order = Order(self.plan, self._corpus().documents, certificate=self.settings, reference=reference)
        evaluate_order(checkpoint, order, folder, progress=progress)

    def certificate(self, folder: Path) -> Certificate | None:
        """The certificate that `measure` left."""
        return read_evaluation(folder)[0].certificate


def tokens_of(exams: Sequence[Exam]) -> int:
    """About so many tokens are read by all."""
    return sum(exam.tokens for exam in exams)
