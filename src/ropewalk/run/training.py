"""Trains and saves the model of a plan; the extension and the control of its gate do it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ropewalk import adapters
from ropewalk.adapters.shape import shape_of
from ropewalk.data.chat import plain_template
from ropewalk.run.device import default_device, idle_devices, loading_device
from ropewalk.run.output import CHECKPOINTS, RECORDS, keep_data
from ropewalk.run.precision import precision_of
from ropewalk.run.training_data import training_windows
from ropewalk.run.watching import TargetWatch
from ropewalk.train import trainer
from ropewalk.train.checkpoints import set_trained_tensors
from ropewalk.train.memory_errors import step_must_fit
from ropewalk.train.processes import data_parallel_size, is_first, on_first, started_together
from ropewalk.train.restoration import Restoration
from ropewalk.train.tiled import tile_mlps, tile_of
from ropewalk.train.trainable import make_trainable, save_trained

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ropewalk.adapters import ExtensionReport
    from ropewalk.result import DataReport, WatchResult
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan
    from ropewalk.run.watch_text import WatchText
    from ropewalk.train.trainable import Trainable


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        report: What the extension did, and how the model was saved.
        record: Steps, tokens, losses.
        data: What was read.
        watch: What was measured on the way, or None.
    """

    report: ExtensionReport
    record: trainer.TrainingRecord
    data: DataReport
    watch: WatchResult | None


def train_and_save(plan: Plan, folder: Path, tell: Reporter, *, watch_text: WatchText | None = None) -> Trained:
    """Loads, extends, trains and saves a model; goes on from a checkpoint in the folder, if there is one.

    Args:
        plan: A run whose every choice is made.
        folder: Gets the model; on the first process alone, where there are several.
        tell: Hears of stages and steps.
        watch_text: What measurements on the way read; None measures nothing.

    Raises:
        RopewalkError: See `ropewalk.train.trainer.train`, and `MemoryShortageError` where a step does not fit.
    """
    settings = plan.run.train
    tokenizer = adapters.load_tokenizer(plan.source)
    if started_together():
        on_first(lambda: training_windows(plan, tokenizer, tell)[1])  # the others then find the tokens in the cache
    windows, data = training_windows(plan, tokenizer, tell)
    if is_first():
        keep_data(folder, data.fingerprint)
    trainable, report = trainable_model(plan)
    tell.stage(
        f"{settings.steps} steps x {settings.batch} windows of {plan.window:,} tokens, {plan.sampler.name} positions, "
        f"{data.describe()}"
    )
    _tell_more(data, trainable, tokenizer, tell)
    watch = TargetWatch(plan, watch_text, tokenizer, folder / CHECKPOINTS, tell) if watch_text else None
    fits = step_must_fit(
        settings,
        plan.window,
        trained_length=plan.config.rope.trained_length,
        shape=lambda: shape_of(plan.config),
        device=default_device(),
        devices=data_parallel_size(),
        packed=windows.packed,
    )
    with fits, tile_mlps(trainable.model, tile_of(settings, plan.window)):
        record = trainer.train(
            trainable.model,
            windows,
            settings,
            folder / CHECKPOINTS,
            restoration=restoration_of(plan),
            watch=watch,
            logs=folder / RECORDS / "logs",
            report=tell.step,
        )
    if is_first():
        if record.state is not None:  # the weights are spread over devices: a model that has them whole takes its place
            trainable, report = trainable_model(plan)
            set_trained_tensors(trainable.model, {name: record.state[name] for name in trainable.parameters})
        report = save_trained(
            trainable,
            folder,
            source=plan.source,
            method=plan.method,
            report=report,
            tokenizer=tokenizer,
            dtype=precision_of(plan),
        )
    return Trained(report, record, data, watch.result if watch else None)


def trainable_model(plan: Plan) -> tuple[Trainable, ExtensionReport]:
    """The extended model of a plan on its device, with what is trained of it in float32."""
    settings = plan.run.train
    adapters_alone = settings.trainable == "lora" and not (settings.lora and settings.lora.embeddings_and_norms)
    model = adapters.load_model(
        plan.source,
        # A weight that is trained must not be rounded first; what stays as it is may wait in the run's precision.
        dtype=precision_of(plan) if adapters_alone else torch.float32,
        device=loading_device(),
        attention=None if settings.attention == "auto" else settings.attention,
        quantize=bool(settings.lora and settings.lora.quantize),
    )
    report = adapters.extend_model(model, plan.method, plan.target_length)
    return make_trainable(model, settings, frozen_dtype=precision_of(plan)), report


def restoration_of(plan: Plan) -> Restoration | None:
    """What the original model teaches in a run, if the run asks for it."""
    settings = plan.run.train
    if not settings.restoration:
        return None
    teacher = adapters.load_model(plan.source, dtype=precision_of(plan), device=default_device())
    return Restoration(teacher.eval().requires_grad_(False), plan.config.rope.trained_length, settings.restoration)


def _tell_more(data: DataReport, trainable: Trainable, tokenizer: Any, tell: Reporter) -> None:
    """What is worth a word besides, and the chat template that the model is to keep."""
    reports = [source.report for source in data.sources]
    for source, report in zip(data.sources, reports, strict=True):
        if report.dropped or report.noted or report.template or source.padding_share:
            tell.stage(str(source))
    if any(report.template == "plain" for report in reports):
        tokenizer.chat_template = plain_template()  # an engine must write conversations as training did
        tell.stage("the tokenizer has no chat template: ropewalk's plain one is used, and saved with the model")
    if trainable.kind != "all":
        tell.stage(trainable.describe())
    if idle := idle_devices():
        tell.stage(f"one process trains on one device, and {idle} idle; `accelerate launch` uses all: docs/devices.md")
