"""Measures a model while it trains, so that a useless run is seen early and a finished one ends.

Small and quick, at the target length: what the longer context is worth on text that is not trained on, and recall. A
run that stops when it is certified tries the certificate of the suite `standard` besides, where recall is high enough
to make it likely. Everything is drawn by a seed that no evaluation uses.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from ropewalk import adapters
from ropewalk.errors import MeasurementError
from ropewalk.evals.batches import Subject
from ropewalk.evals.certified_nll import MARGIN
from ropewalk.evals.certified_retrieval import FLOOR
from ropewalk.evals.estimates import REFERENCE, summarize
from ropewalk.evals.journal import Journal
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.stages import stages
from ropewalk.evals.store import write_record
from ropewalk.evals.suite import evaluate_model
from ropewalk.evals.suites import SCORED, read_suite
from ropewalk.evals.tasks import encoder
from ropewalk.result import Measurement, WatchResult
from ropewalk.run.device import default_device
from ropewalk.run.precision import precision_of
from ropewalk.run.watch_text import seed_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ropewalk.result import Certificate, Estimate, SampleResult
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan
    from ropewalk.run.watch_text import WatchText

RECALL: dict[str, Any] = {
    "tasks": ("passkey", "key-value"),
    "depths": (0.0, 0.25, 0.5, 0.75, 1.0),
    "trials": 1,
    "contexts": 2,
    "keys": 8,
}
SUITE = "standard"
FILE = "watch.json"
NAMES = {"passkey_accuracy": "pass keys", "key_value_accuracy": "key-value recall"}


class TargetWatch:
    """What a trainer asks at intervals.

    Attributes:
        every: Steps between measurements.
    """

    def __init__(
        self, plan: Plan, text: WatchText, tokenizer: Any, folder: Path, tell: Reporter, *, suite: str = SUITE
    ) -> None:
        """Goes on with the measurements in a folder, if there are any.

        Args:
            plan: The run.
            text: What is read.
            tokenizer: The model's.
            folder: Of the run's checkpoints; measurements and the untouched model's answers are kept in it.
            tell: Hears of every measurement.
            suite: Whose certificate is tried, where the run stops when it is certified.
        """
        assert plan.run.train.evaluate_every is not None
        self.every = plan.run.train.evaluate_every
        self.plan, self.text, self.tokenizer, self.folder, self.tell = plan, text, tokenizer, folder, tell
        self.encode, self.suite = encoder(tokenizer), read_suite(suite)
        self._reference_known = False
        self._certifiable = True  # until the untouched model turns out to be no reference
        self.measurements = self._earlier()

    @property
    def result(self) -> WatchResult:
        """Everything that was measured."""
        return WatchResult(
            every=self.every,
            text=self.text.words,
            seed=seed_of(self.plan),
            measurements=tuple(self.measurements),
            certified_step=self.ended_at,
        )

    @property
    def ended_at(self) -> int | None:
        """The step that a certificate ended the training at, in this process or before."""
        certified = (found.step for found in self.measurements if self._is_certified(found.certificate))
        return next(certified, None)

    def measure(self, model: Any, step: int) -> bool:
        """Measures the model as it is after `step`, and leaves it as it was; too little memory for it ends nothing.

        Returns:
            Whether the training ends here, because a certificate reaches the target.
        """
        try:
            with _measuring(model, precision_of(self.plan)):
                found = self._measured(model, step)
        except MeasurementError as error:
            self.tell.stage(f"step {step} could not be measured, and training goes on: {error}")
            return False
        self.measurements = [*(earlier for earlier in self.measurements if earlier.step < step), found]
        self._keep()
        return self._is_certified(found.certificate)

    def _measured(self, model: Any, step: int) -> Measurement:
        started = time.monotonic()
        gain, recall = self._quick(model)
        found = Measurement(step=step, gain=gain, recall=recall, wall_seconds=time.monotonic() - started)
        self.tell.stage(describe(found))
        if not (self._certifiable and self.plan.run.train.stop_when and is_promising(found)):
            return found
        certificate = self._certificate(model)
        self.tell.stage(f"step {step}: {certificate}; the target is {self.plan.target_length:,} tokens")
        if certificate.retrieval_length is None:
            self._certifiable = False
            reasons = "; ".join(reference.reason for reference in certificate.references if reference.reason)
            self.tell.stage(f"no certificate can end this training, because the original is no reference: {reasons}")
        return found.model_copy(update={"certificate": certificate, "wall_seconds": time.monotonic() - started})

    def row(self) -> dict[str, float]:
        """The last measurement as numbers by name, for the places that losses are reported to."""
        if not self.measurements:
            return {}
        last = self.measurements[-1]
        estimates = [*([last.gain] if last.gain else []), *last.recall]
        return {f"target_{estimate.measure}": estimate.value for estimate in estimates}

    def _quick(self, model: Any) -> tuple[Estimate | None, tuple[Estimate, ...]]:
        """Context gain on text, and recall of each task."""
        subject = Subject(model, self.tokenizer, self.encode)
        estimates: list[Estimate] = []
        for plan in self._plans:
            samples: list[SampleResult] = []
            for stage in stages(subject, plan, self.text.data):
                for batch in stage.batches:
                    samples += batch.measure()
            estimates += summarize(samples, plan)
        gain = next((found for found in estimates if found.measure == "context_gain"), None)
        return gain, tuple(found for found in estimates if found.measure in NAMES and found.depth is None)

    @cached_property
    def _plans(self) -> list[EvaluationPlan]:
        """Text at both lengths, if there is any, and recall at the target alone."""
        near, *_, far = self.suite.ladder(self.plan.config.rope.trained_length, self.plan.target_length)
        seed = seed_of(self.plan)
        recall = EvaluationPlan(lengths=(far,), scored=far // 2, seed=seed, **RECALL)
        if self.text.data is None:
            return [recall]
        text = EvaluationPlan(
            lengths=(near, far), scored=min(SCORED, near // 2), windows_per_document=1, tasks=("paired",), seed=seed
        )
        return [text, recall]

    def _certificate(self, model: Any) -> Certificate:
        """The certificate of the suite on the live model, against the untouched one."""
        rope, target = self.plan.config.rope, self.plan.target_length
        plan = self.suite.plan(rope.trained_length, target, tasks=("paired",), seed=seed_of(self.plan))
        conditions = {"suite": self.suite.model_dump(mode="json"), "model": self.plan.run.model, "seed": plan.seed}
        with _ReferenceJournal(self.folder / "reference", conditions, replace=True) as journal:
            result, _ = evaluate_model(
                model,
                self.tokenizer,
                plan,
                self.text.documents,
                name=self.plan.run.model,
                method=self.plan.method.describe(rope),
                trained_length=rope.trained_length,
                target_length=target,
                certificate=self.suite.certificate,
                reference=cache(self._untouched),
                progress=self.tell.advance,
                journal=journal,
            )
        assert result.certificate is not None
        self._reference_known = True
        return result.certificate

    def _untouched(self) -> Subject:
        """The untouched model; without its weights once the journal knows all its answers."""
        if self._reference_known:
            return Subject(None, self.tokenizer, self.encode)
        model = adapters.load_model(self.plan.source, dtype=precision_of(self.plan), device=default_device())
        return Subject(model.eval(), self.tokenizer, self.encode)

    def _is_certified(self, certificate: Certificate | None) -> bool:
        return certificate is not None and (certificate.length or 0) >= self.plan.target_length

    def _earlier(self) -> list[Measurement]:
        """Measurements of the same run before it was stopped; those of other texts do not count."""
        try:
            found = WatchResult.model_validate_json((self.folder / FILE).read_text("utf-8"))
        except (OSError, ValidationError):
            return []
        return list(found.measurements) if found.text == self.text.words else []

    def _keep(self) -> None:
        write_record(self.folder / FILE, self.result)


class _ReferenceJournal(Journal):
    """Keeps what the untouched model answered, and nothing of the model that trains on."""

    def add(self, batch: str, samples: Sequence[SampleResult]) -> None:
        if batch.startswith(REFERENCE):
            super().add(batch, samples)


def is_promising(found: Measurement) -> bool:
    """Whether a certificate is worth its time: recall is high, and longer contexts are not shown to be worse."""
    recalled = len(found.recall) == len(NAMES) and all(estimate.value >= FLOOR for estimate in found.recall)
    return recalled and (found.gain is None or found.gain.high >= -MARGIN)


def describe(found: Measurement) -> str:
    """A measurement in one line."""
    gain, parts = found.gain, []
    if gain is not None:
        parts.append(
            f"context gain {gain.baseline_length:,} -> {gain.length:,} tokens {gain.value:+.3f} "
            f"[{gain.low:+.3f}, {gain.high:+.3f}] {gain.unit}, n = {gain.samples}"
        )
    for estimate in found.recall:
        failed = f" ({estimate.failed} failed)" if estimate.failed else ""
        right = round(estimate.value * estimate.samples)
        parts.append(f"{NAMES[estimate.measure]} {right} of {estimate.samples}{failed}")
    measured = "; ".join(parts) or "every sample failed: the model's logits are not finite"
    return f"step {found.step}: {measured} ({found.wall_seconds:.1f} s)"


@contextmanager
def _measuring(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """Without dropout and in the number format of the run; training goes on as if nothing had happened."""
    device, training = model.device, model.training
    model.eval()
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32),
        ):
            yield
    finally:
        model.train(training)
