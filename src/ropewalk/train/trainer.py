"""transformers' Trainer with our loss, our windows in their order, and exact resume. There is no loop here."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback, TrainingArguments

from ropewalk.data.collate import collate
from ropewalk.errors import InterruptedRunError
from ropewalk.train.loss import IGNORED, head_is_linear, read
from ropewalk.train.reach import check_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

    from ropewalk.data.windows import TrainingWindows
    from ropewalk.train.restoration import Restoration
    from ropewalk.train.settings import TrainSettings

    StepReport = Callable[[int, int, float | None], None]

CHECKPOINTS_PER_RUN = 10


@dataclass(frozen=True)
class TrainingRecord:
    """What a training run did.

    Attributes:
        steps: Optimizer steps.
        tokens: Tokens read, supervised or not.
        losses: Loss of each step, nats per supervised token; a restoration loss is in it.
        wall_seconds: Time of this process; a resumed run counts its last part only.
    """

    steps: int
    tokens: int
    losses: tuple[float, ...]
    wall_seconds: float


class WindowTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose loss is the mean over the supervised tokens of the whole step, and the restoration's if any."""

    def __init__(self, *, fused: bool, restoration: Restoration | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.fused, self.restoration = fused, restoration
        self.model_accepts_loss_kwargs = True  # asks Trainer to count the supervised tokens of a whole step
        self.loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, None]:
        """Mean loss in nats per supervised token of the step (of the batch, in evaluation)."""
        # Under DDP or FSDP the wrapper's own forward must run, so its backbone cannot be called alone.
        fused = self.fused and model is self.model
        # accelerate wraps the forward of the whole model alone, and a fused reading goes past it.
        with self.accelerator.autocast():
            reading = read(model, inputs, fused=fused)
            if num_items_in_batch is None:
                num_items_in_batch = (inputs["labels"][:, 1:] != IGNORED).sum()
            loss = reading.cross_entropy(inputs["labels"]) * (self.accelerator.num_processes / num_items_in_batch)
            if self.restoration:
                part = self.restoration.loss(reading, inputs, fused=fused)
                loss = loss + part / self.args.gradient_accumulation_steps
        return (loss, None) if return_outputs else loss


class StepCallback(TrainerCallback):  # type: ignore[misc]
    """Reports every step, and ends the run at a step's border, with a checkpoint, when asked to."""

    def __init__(self, report: StepReport | None) -> None:
        self.report, self.stop = report, threading.Event()

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, float] | None = None, **___: Any) -> None:
        """Passes the loss of a step on."""
        if logs and "loss" in logs and self.report:
            self.report(state.global_step, state.max_steps, float(logs["loss"]))

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        """Stops here if an interrupt arrived."""
        if self.stop.is_set() and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True


def train(
    model: PreTrainedModel,
    windows: TrainingWindows,
    settings: TrainSettings,
    folder: Path,
    *,
    restoration: Restoration | None = None,
    report: StepReport | None = None,
) -> TrainingRecord:
    """Trains a model in place; goes on from the last complete checkpoint in `folder`, if there is one.

    Args:
        model: An extended model, its parameters in float32.
        windows: At least steps x batch windows.
        settings: Steps, batch, learning rate, ...
        folder: Checkpoints go here, every tenth of the run.
        restoration: What the original model teaches besides.
        report: Called after each step with step, steps and loss.

    Raises:
        SelfTestError: The last token of a window does not depend on the first.
        InterruptedRunError: Ctrl-C; a checkpoint of the last whole step has been written.
    """
    first = windows[0]
    check_reach(model, first, collate)
    device = next(model.parameters()).device
    fused = head_is_linear(model, {name: value.to(device) for name, value in collate([first]).items()})
    callback = StepCallback(report)
    trainer = WindowTrainer(
        fused=fused,
        restoration=restoration,
        model=model,
        args=training_arguments(settings, folder, device),
        train_dataset=windows,
        data_collator=collate,
        callbacks=[callback],
    )
    for other in ("PrinterCallback", "ProgressCallback"):
        for present in [c for c in trainer.callback_handler.callbacks if type(c).__name__ == other]:
            trainer.remove_callback(present)
    started = time.monotonic()
    checkpoint = last_complete_checkpoint(folder)
    with interrupt_sets(callback.stop):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < settings.steps:
        raise InterruptedRunError(
            f"training was stopped after step {trainer.state.global_step} of {settings.steps}; a checkpoint was "
            f"written to '{folder}'. Run the same command with --resume to go on exactly from there."
        )
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    tokens = settings.steps * settings.batch * len(first["input_ids"])
    return TrainingRecord(settings.steps, tokens, losses, time.monotonic() - started)


def training_arguments(settings: TrainSettings, folder: Path, device: torch.device) -> TrainingArguments:
    """Our settings in transformers' words."""
    micro = min(settings.micro_batch or settings.batch, settings.batch)
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=max(1, settings.batch // micro),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule if settings.schedule != "constant" else "constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        max_grad_norm=settings.gradient_clip,
        bf16=settings.precision == "bfloat16",
        activation_checkpointing=settings.activation_checkpointing,
        seed=settings.seed,
        data_seed=settings.seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=max(1, settings.steps // CHECKPOINTS_PER_RUN),
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type != "cpu",
    )


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end. Trainer writes `trainer_state.json` last."""
    found = []
    for candidate in folder.glob("checkpoint-*"):
        try:
            found.append((int(json.loads((candidate / "trainer_state.json").read_text())["global_step"]), candidate))
        except (OSError, ValueError, KeyError):
            continue
    return max(found)[1] if found else None


@contextmanager
def interrupt_sets(event: threading.Event) -> Iterator[None]:
    """Within, the first Ctrl-C sets the event, and a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
