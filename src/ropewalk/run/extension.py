"""The main job: one run file becomes one checkpoint folder."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Protocol

import torch
from safetensors import SafetensorError

from ropewalk import adapters
from ropewalk.errors import OutputError
from ropewalk.evals.environment import environment
from ropewalk.result import ExtensionResult, ModelRecord
from ropewalk.run.device import default_device
from ropewalk.run.gate import prepare_gate
from ropewalk.run.output import RECORDS, OutputFolder
from ropewalk.run.plan import resolve
from ropewalk.run.precision import precision_of
from ropewalk.run.training import CHECKPOINTS, restoration_of, training_corpus, training_windows
from ropewalk.train import trainer

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters import ExtensionReport
    from ropewalk.run.gate import GateSettings
    from ropewalk.run.plan import Plan
    from ropewalk.run.runfile import RunFile

    Work = tuple[ExtensionReport, trainer.TrainingRecord | None, str | None]


class Reporter(Protocol):
    """What a run tells while it works."""

    def stage(self, text: str) -> None:
        """A new stage of the work begins."""

    def step(self, step: int, steps: int, loss: float | None) -> None:
        """A training step is done."""

    def advance(self, label: str, done: int, total: int) -> None:
        """A part of the labelled measurement is done."""


class Silent:
    """A reporter that tells nothing."""

    def stage(self, text: str) -> None:
        """Says nothing."""

    def step(self, step: int, steps: int, loss: float | None) -> None:
        """Says nothing."""

    def advance(self, label: str, done: int, total: int) -> None:
        """Says nothing."""


def run_extension(
    run: RunFile,
    output: Path,
    *,
    gate: GateSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> ExtensionResult:
    """Extends a model as a run file says, trains it if asked, and saves it.

    Args:
        run: The run.
        output: The checkpoint folder to make; partial work lives in `output.partial`.
        gate: Measure the cost inside the trained window before the folder is complete; None leaves that out.
        resume: Nothing there: start. Finished: return the earlier result. Partial: go on.
        overwrite: Replace an earlier result.
        reporter: Hears of stages and steps.

    Raises:
        RopewalkError: See `ropewalk.errors`; nothing half-written stands under `output`.
    """
    folder = OutputFolder(output)
    if resume and folder.is_finished():
        return ExtensionResult.model_validate_json((output / RECORDS / "result.json").read_text("utf-8"))
    plan = resolve(run)
    prepared = prepare_gate(plan, gate) if gate else None
    folder.prepare(plan.run.to_toml(), resume=resume, overwrite=overwrite)
    started = time.monotonic()
    tell = reporter or Silent()
    tell.stage(
        f"{plan.run.model}: {plan.config.rope.trained_length:,} -> {plan.run.target_length:,} tokens by "
        f"{plan.method.describe(plan.config.rope)}"
    )
    try:
        work = _trained if plan.run.train.steps else _untrained
        report, training, data = work(plan, folder.partial, tell)
        result = ExtensionResult(
            model=ModelRecord(
                name=plan.run.model,
                method=report.method,
                trained_length=report.trained_length,
                target_length=report.target_length,
                rope=dict(report.rope_parameters),
            ),
            carrier=report.carrier,
            exact=report.exact,
            notes=report.notes,
            self_test=report.self_test,
            data=data,
            steps=training.steps if training else 0,
            tokens=training.tokens if training else 0,
            losses=training.losses if training else (),
            wall_seconds=time.monotonic() - started,
            environment=environment(default_device()),
            gate=prepared.run(folder.partial, tell) if prepared else None,
        )
        (folder.partial / RECORDS / "result.json").write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
        shutil.rmtree(folder.partial / CHECKPOINTS, ignore_errors=True)
        folder.complete()
    except BaseException as error:
        kept = trainer.last_complete_checkpoint(folder.partial / CHECKPOINTS) is not None
        if not kept:  # nothing is lost, so nothing stands in the way of the next try
            shutil.rmtree(folder.partial, ignore_errors=True)
        if is_write_failure(error):
            advice = "Free some space, then run the same command " + ("with --resume." if kept else "again.")
            raise OutputError(
                f"saving must reach its end; writing for '{output}' failed: {error}. Nothing stands under that name. "
                f"{advice}"
            ) from error
        raise
    return result


def is_write_failure(error: BaseException) -> bool:
    """Whether a disk refused: safetensors and torch have their own words for it."""
    if isinstance(error, RuntimeError):
        return "failed writing" in str(error) or "write failed" in str(error)
    return isinstance(error, OSError | SafetensorError | OutputError)


def _untrained(plan: Plan, partial: Path, tell: Reporter) -> Work:
    """Writes the extended checkpoint without reading a weight."""
    tell.stage("no training: the config changes, the weight files are copied")
    checkpoint = partial / "checkpoint"
    report = adapters.extend_checkpoint(plan.source, checkpoint, plan.method, plan.run.target_length, overwrite=True)
    for file in checkpoint.iterdir():
        file.rename(partial / file.name)
    checkpoint.rmdir()
    return report, None, None


def _trained(plan: Plan, partial: Path, tell: Reporter) -> Work:
    """Loads, extends, trains and saves a model."""
    settings = plan.run.train
    tokenizer = adapters.load_tokenizer(plan.source)
    model = adapters.load_model(plan.source, dtype=torch.float32, device=default_device())
    report = adapters.extend_model(model, plan.method, plan.run.target_length)
    corpus = training_corpus(plan.run.data.files)
    windows = training_windows(plan, tokenizer, corpus)
    tell.stage(
        f"{settings.steps} steps x {settings.batch} windows of {plan.window:,} tokens, {plan.sampler.name} positions, "
        f"{len(corpus.documents)} documents"
    )
    record = trainer.train(
        model, windows, settings, partial / CHECKPOINTS, restoration=restoration_of(plan), report=tell.step
    )
    adapters.save_model(model.to(precision_of(plan)), tokenizer, partial)
    return report, record, corpus.fingerprint
