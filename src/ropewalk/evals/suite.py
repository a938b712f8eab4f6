"""Measures a model by a plan: the one entry for `evaluate`, for the demo before and after, for every comparison."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ropewalk.evals import estimates, tasks
from ropewalk.evals.batches import Subject
from ropewalk.evals.certification import certify
from ropewalk.evals.environment import environment
from ropewalk.evals.journal import Journal
from ropewalk.evals.model_record import model_record
from ropewalk.evals.perplexity import perplexity_estimates
from ropewalk.evals.plan import TEXT_TASKS, EvaluationPlan
from ropewalk.evals.stages import stages
from ropewalk.result import EvaluationResult, SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ropewalk.data.ruler_files import RulerSample
    from ropewalk.evals.batches import Stage
    from ropewalk.evals.certification import CertificatePlan
    from ropewalk.evals.tasks import TextData
    from ropewalk.result import Certificate, Estimate

    Progress = Callable[[str, int, int], None]


def evaluate_model(
    model: Any,
    tokenizer: Any,
    plan: EvaluationPlan,
    documents: Mapping[str, str],
    *,
    name: str,
    method: str,
    trained_length: int | None = None,
    target_length: int | None = None,
    weights: str | None = None,
    ruler: Mapping[str, Sequence[RulerSample]] = MappingProxyType({}),
    certificate: CertificatePlan | None = None,
    reference: Callable[[], Subject] | None = None,
    progress: Progress | None = None,
    journal: Journal | None = None,
) -> tuple[EvaluationResult, list[SampleResult]]:
    """Measures everything that the plan asks for.

    Args:
        model: A causal language model of transformers, on any device.
        tokenizer: Its tokenizer.
        plan: What to measure.
        documents: Texts by name, which the model was not trained on; may be empty if the plan asks for no text.
        name: What the user calls the model.
        method: Phrase such as `yarn, factor 8`, or `untouched`.
        trained_length: Tokens of the original window; read from the config if not given.
        target_length: Tokens of the extended window; read from the config if not given.
        weights: Fingerprint of the weight files.
        ruler: Lines of files in RULER's format, by the task's name.
        certificate: Settings of a certificate, or None for no certificate.
        reference: Gives the untouched model, for the certificate; this model if not given.
        progress: Called with (what is measured, samples done, samples in total).
        journal: Knows what an earlier run of this evaluation has measured, and keeps what is measured now.

    Returns:
        The result with all estimates, and the samples behind them.

    Raises:
        DataError: No document holds a window.
        OptionError: A length that a task cannot have.
        MeasurementError: The device's memory does not hold one sample.
        OutputError: The journal cannot be written.
    """
    started = time.monotonic()
    subject = Subject(model, tokenizer, tasks.encoder(tokenizer))
    data = _text(documents, subject.encode, plan)
    record = model_record(
        model,
        name=name,
        method=method,
        trained_length=trained_length,
        target_length=target_length,
        weights=weights,
    )
    runner = _Runner(journal or Journal(), progress or _silent)
    samples: list[SampleResult] = []
    proof: Certificate | None = None
    with _measuring(model):
        for stage in stages(subject, plan, data, ruler):
            samples += runner(stage, stage.measure, 0, stage.parts)
        found = _summary(samples, plan, data)
        if certificate is not None:
            untouched = reference or (lambda: subject)
            proof, more = certify(subject, untouched, plan, certificate, record.trained_length, samples, runner)
            samples += more
    result = EvaluationResult(
        status=estimates.status_of(samples),
        model=record,
        data=data.fingerprint if data else "none",
        seed=plan.seed,
        estimates=found,
        environment=environment(model.device),
        wall_seconds=time.monotonic() - started,
        certificate=proof,
    )
    return result, samples


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


@dataclass(frozen=True)
class _Runner:
    """Measures the batches of a stage that the journal does not know, and tells how far the work is."""

    journal: Journal
    report: Progress

    def __call__(self, stage: Stage, label: str, done: int, total: int) -> list[SampleResult]:
        found: list[SampleResult] = []
        for batch in stage.batches:
            samples = self.journal.find(batch.name)
            if samples is None:
                samples = tuple(batch.measure())
                self.journal.add(batch.name, samples)
            found += samples
            done += batch.parts
            self.report(label, done, total)
        return found


def _summary(samples: Sequence[SampleResult], plan: EvaluationPlan, data: TextData | None) -> tuple[Estimate, ...]:
    left_out = len(data.too_short) if data else 0
    perplexities = [
        estimate
        for protocol in plan.protocols
        for estimate in perplexity_estimates(samples, protocol, seed=plan.seed, left_out=left_out)
    ]
    return (*estimates.summarize(samples, plan, left_out=left_out), *perplexities)


def _text(documents: Mapping[str, str], encode: Any, plan: EvaluationPlan) -> TextData | None:
    if not any(task in TEXT_TASKS for task in plan.tasks):
        return None
    return tasks.text_data(documents, encode, longest=plan.longest).chosen(plan.documents, plan.seed)


@contextmanager
def _measuring(model: Any) -> Iterator[None]:
    """Without dropout, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
