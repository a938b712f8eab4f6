"""Asks a model for its certificate: contexts in blocks, each kept in the journal, judged by `certificate`.

The untouched model is asked first, at its trained length, and is loaded only if the journal does not know its answers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import model_validator

from ropewalk.data import retrieval
from ropewalk.errors import OptionError
from ropewalk.evals import tasks
from ropewalk.evals.batches import Batch, Stage, recall_stage, rule_of, sample
from ropewalk.evals.certificate import (
    TENTHS,
    WHOLE,
    CertificateTask,
    certify_nll,
    certify_retrieval,
    make_certificate,
    measure_reference,
    ruler_length,
)
from ropewalk.evals.certified_retrieval import REFERENCE_CONTEXTS
from ropewalk.evals.estimates import CERTIFICATE, K_MAX, REFERENCE, RULER, measure_of
from ropewalk.evals.k_max import DistanceRow, k_max, last_distance
from ropewalk.result import Record
from ropewalk.sequential import LookSchedule, named_schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Self

    from ropewalk.data.retrieval_task import RetrievalTask
    from ropewalk.evals.batches import Subject
    from ropewalk.evals.plan import EvaluationPlan
    from ropewalk.evals.tasks import RecallSample
    from ropewalk.result import Certificate, SampleResult
    from ropewalk.sequential import Schedule

    # Measures a stage, as far as the journal does not know it, and reports (done, total) under a label.
    Run = Callable[[Stage, str, int, int], list[SampleResult]]


class CertificatePlan(Record):
    """Settings of a certificate: the `[certificate]` section of a suite.

    Attributes:
        tasks: The battery, out of the registered retrieval tasks.
        looks: Contexts at each look; see `LookSchedule`.
        alphas: Part of the 5 % that each look spends.
        schedule: A schedule by its name, in place of `looks` and `alphas`.
        reference_contexts: Contexts of the untouched model at its trained length, at least 300.
        survey: Go on after a length that cannot be certified, for the report.
        k_max: Measure Position Interpolation's k_max too, which is printed beside.

    Raises:
        OptionError: No task, or both a schedule and looks.
        UnknownNameError: A task or a schedule that does not exist.
    """

    tasks: tuple[str, ...]
    looks: tuple[int, ...] = ()
    alphas: tuple[float, ...] = ()
    schedule: str | None = None
    reference_contexts: int = REFERENCE_CONTEXTS
    survey: bool = False
    k_max: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.tasks or (self.schedule is not None and (self.looks or self.alphas)):
            raise OptionError(
                f"a certificate needs at least one task, and looks with alphas or a schedule's name but not both; got "
                f"tasks {list(self.tasks)}, looks {list(self.looks)}, schedule {self.schedule}."
            )
        for name in self.tasks:
            retrieval.get(name)
        _ = self.timing
        return self

    @property
    def timing(self) -> Schedule:
        """When to look."""
        if self.looks or self.alphas:
            return LookSchedule(self.looks, self.alphas)
        return named_schedule(self.schedule or "standard")


@dataclass
class _Prober:
    """Asks one model; remembers every sample.

    Attributes:
        subject: Gives the model.
        plan: Its seed and batches.
        prefix: Of the samples' measures.
        run: Measures a stage.
        cap: Contexts that are asked for at most, for the progress.
        pooled: A context of a task with a single fact is one prompt, in any tenth, and not one prompt in each.
    """

    subject: Callable[[], Subject]
    plan: EvaluationPlan
    prefix: str
    run: Run
    cap: int
    pooled: bool = False
    samples: list[SampleResult] = field(default_factory=list)

    def __call__(self, task: str, length: int, start: int, count: int) -> list[Mapping[int, float | None]]:
        registered = retrieval.get(task)()
        prompts = len(TENTHS) if registered.placement == "single" and not self.pooled else 1
        numbers = range(start * prompts, (start + count) * prompts)
        subject = self.subject()
        recalls = tasks.retrieval_samples(registered, subject.encode, length, numbers, seed=self.plan.seed)
        measure = self.prefix + measure_of(task)
        stage = recall_stage(subject, measure, recalls, rule_of(registered), self.plan.batch_tokens)
        label = f"{self.prefix.removesuffix('_')}, {task} at {length:,} tokens"
        found = self.run(stage, label, start * prompts, self.cap * prompts)
        self.samples += found
        by_context = {f"{length}/{number}": index // prompts for index, number in enumerate(numbers)}
        answers: list[dict[int, float | None]] = [{} for _ in range(count)]
        for result in found:
            answers[by_context[result.cluster]][self._tenth(registered, result)] = result.value
        return list(answers)

    def _tenth(self, task: RetrievalTask, result: SampleResult) -> int:
        if result.depth is None or (self.pooled and task.placement == "single"):
            return WHOLE[0]
        return int(result.depth * len(TENTHS))


def certify(
    subject: Subject,
    reference: Callable[[], Subject],
    plan: EvaluationPlan,
    settings: CertificatePlan,
    trained_length: int,
    samples: Sequence[SampleResult],
    run: Run,
) -> tuple[Certificate, list[SampleResult]]:
    """The certificate of a model.

    Args:
        subject: The model.
        reference: Gives the untouched model; called once, if its answers are not known.
        plan: What was measured; the certificate tests its lengths from the trained one on.
        settings: The battery and the schedule.
        trained_length: Tokens of the original window.
        samples: What was measured already: `paired_nll` for the NLL length, scores for RULER's rule.
        run: Measures a stage, label, done, total.

    Returns:
        The certificate, and the samples that were measured for it.

    Raises:
        OptionError: No length reaches the trained one, or a task does not fit into one of them.
    """
    lengths = [length for length in plan.lengths if length >= trained_length]
    if not lengths:
        raise OptionError(
            f"a certificate tests lengths from the trained {trained_length:,} tokens on; got {list(plan.lengths)}. "
            "Add the trained length and longer ones."
        )
    schedule = settings.timing
    untouched = _Prober(reference, plan, REFERENCE, run, settings.reference_contexts, pooled=True)
    tested = _Prober(lambda: subject, plan, CERTIFICATE, run, schedule.cap)
    battery = [_certificate_task(name, subject, plan, trained_length) for name in settings.tasks]
    references = [
        measure_reference(untouched, _pooled(task), trained_length, contexts=settings.reference_contexts)
        for task in battery
    ]
    cells = certify_retrieval(tested, battery, references, lengths, schedule=schedule, survey=settings.survey)
    distances = _distances(subject, plan, run) if settings.k_max else []
    certificate = make_certificate(
        trained_length=trained_length,
        lengths=lengths,
        schedule=schedule,
        references=references,
        cells=cells,
        nll=certify_nll(samples, trained_length, lengths),
        ruler_length=ruler_length(_mean_scores(samples)) if _mean_scores(samples) else None,
        k_max=_largest_distance(distances) if distances else None,
    )
    return certificate, [*untouched.samples, *tested.samples, *distances]


def _certificate_task(name: str, subject: Subject, plan: EvaluationPlan, trained_length: int) -> CertificateTask:
    task = retrieval.get(name)()
    (first,) = _first_context(task, subject, plan, trained_length)
    return CertificateTask(name, first.context.chance, WHOLE if task.placement == "whole" else TENTHS)


def _first_context(
    task: RetrievalTask, subject: Subject, plan: EvaluationPlan, trained_length: int
) -> list[RecallSample]:
    return tasks.retrieval_samples(task, subject.encode, trained_length, [0], seed=plan.seed)


def _pooled(task: CertificateTask) -> CertificateTask:
    """The task as the reference asks it: a single fact in any tenth, so that 300 prompts are 300 contexts."""
    single = retrieval.get(task.name).placement == "single"
    return dataclasses.replace(task, tenths=WHOLE) if single else task


def _mean_scores(samples: Iterable[SampleResult]) -> dict[int, float]:
    """Mean over the tasks of the battery of their scores, at each length that all of them have."""
    scores: dict[int, dict[str, list[float]]] = {}
    for result in samples:
        if result.chance is not None and result.value is not None and not result.measure.startswith(RULER):
            scores.setdefault(result.length, {}).setdefault(result.measure, []).append(result.value)
    most = max((len(by_task) for by_task in scores.values()), default=0)
    return {
        length: sum(sum(values) / len(values) for values in by_task.values()) / len(by_task)
        for length, by_task in scores.items()
        if len(by_task) == most
    }


def _distances(subject: Subject, plan: EvaluationPlan, run: Run) -> list[SampleResult]:
    """Success at each distance of k_max, up to the first that fails."""

    def measure() -> list[SampleResult]:
        found = k_max(
            subject.model,
            subject.tokenizer,
            subject.encode,
            plan.longest,
            seed=plan.seed,
            batch_tokens=plan.batch_tokens,
        )
        return [_distance_sample(row, plan.longest) for row in found.rows]

    return run(Stage(K_MAX, (Batch(K_MAX, 1, measure),)), "k_max", 0, 1)


def _distance_sample(row: DistanceRow, length: int) -> SampleResult:
    value = row.successes / row.trials if row.failed < row.trials else float("nan")
    return sample(K_MAX, str(row.distance), str(row.distance), length, value)


def _largest_distance(samples: Sequence[SampleResult], trials: int = 10, threshold: float = 0.2) -> int:
    rows = [
        DistanceRow(distance=int(s.sample), trials=trials, successes=round((s.value or 0.0) * trials)) for s in samples
    ]
    return last_distance(rows, threshold)
