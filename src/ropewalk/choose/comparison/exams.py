"""What decides in a comparison, and what is only reported: text and needles, twice each.

The validation side chooses learning rates, drops candidates and names the best; the test side is read once, by the
candidates that stand at the end. They share no document, and their needles come from different seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.sampled_exams import SampledExam
from ropewalk.choose.needles import KEYS, Needles
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.result import SampleResult
from ropewalk.result.quantities import NEEDLE_NLL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ropewalk.cells.exams import Exam
    from ropewalk.data.corpus import Corpus
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]

Side = Literal["validation", "test"]
TEXT, NEEDLES = "text", "needles"
SCORED = 128  # tokens at the end of a text window, at most half the old window
# Seeds of needles. A search draws its own with seed 0.
SEEDS: dict[Side, int] = {"validation": 1, "test": 2}


@dataclass(frozen=True)
class NeedleExam(SampledExam):
    """Loss on the answers about facts in contexts of the target length (see `ropewalk.choose.needles`).

    Attributes:
        length: Tokens of a context.
        contexts: How many.
        keys: Facts in each.
        seed: Of what is drawn.
    """

    length: int = 0
    contexts: int = 16
    keys: int = KEYS
    seed: int = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """The target length."""
        return (self.length,)

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return self.contexts * self.length

    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """The loss of each context; one that is no finite number has failed."""
        needles = Needles.draw(
            checkpoint.tokenizer, self.length, contexts=self.contexts, seed=self.seed, keys=self.keys
        )
        losses = needles.losses(checkpoint.model)
        report(NEEDLES, self.contexts, self.contexts)
        good = losses < float("inf")
        return [
            SampleResult(
                measure=NEEDLE_NLL,
                sample=f"{self.seed}-{number}",
                cluster=f"{self.seed}-{number}",
                length=self.length,
                status="ok" if fine else "failed",
                value=float(loss) if fine else None,
            )
            for number, (loss, fine) in enumerate(zip(losses, good, strict=True))
        ]


def exams_of(
    side: Side,
    texts: Corpus | str | None,
    *,
    trained_length: int,
    target_length: int,
    contexts: int,
    keys: int,
    windows_per_document: int,
) -> tuple[Exam, ...]:
    """The exams of one side.

    Args:
        side: Which.
        texts: Its documents, or the name of a set of them; None leaves text out.
        trained_length: Tokens of the old window, where text is measured, too.
        target_length: Tokens of the new one.
        contexts: Needle contexts.
        keys: Facts in each.
        windows_per_document: Text windows of each document.
    """
    needles = NeedleExam(f"{side}-{NEEDLES}", length=target_length, contexts=contexts, keys=keys, seed=SEEDS[side])
    if texts is None:
        return (needles,)
    plan = EvaluationPlan(
        lengths=(trained_length, target_length),
        scored=min(SCORED, trained_length // 2),
        windows_per_document=windows_per_document,
        tasks=("paired",),
    )
    return EvaluationExam(f"{side}-{TEXT}", plan, texts), needles
