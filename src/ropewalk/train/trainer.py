"""transformers' Trainer with our loss, our windows in their order, and exact resume. There is no loop here."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.integrations import TensorBoardCallback

from ropewalk.adapters.head import head_is_known
from ropewalk.data.collate import IGNORED, SHIFT_WEIGHTS, collate
from ropewalk.errors import DivergenceError, InterruptedRunError
from ropewalk.train.arguments import training_arguments
from ropewalk.train.checkpoints import last_complete_checkpoint, load_checkpoint, save_checkpoint, step_of
from ropewalk.train.interruption import StopCallback, signals_set
from ropewalk.train.objective import TARGETS, training_forward
from ropewalk.train.processes import is_first, shared
from ropewalk.train.progress import ProgressReport, StepReport
from ropewalk.train.reach import check_reach

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ropewalk.data.windows import TrainingWindows
    from ropewalk.train.restoration import Restoration
    from ropewalk.train.settings import TrainSettings


class Watch(Protocol):
    """What is measured while a model trains."""

    every: int

    def measure(self, model: PreTrainedModel, step: int) -> bool:
        """Measures the model as it is after `step`; True ends the training there."""

    @property
    def ended_at(self) -> int | None:
        """The step that a measurement ended the training at, in this process or before."""

    def row(self) -> dict[str, float]:
        """The last measurement by name, for TensorBoard and the like."""


@dataclass(frozen=True)
class TrainingRecord:
    """What a training run did.

    Attributes:
        steps: Optimizer steps.
        tokens: Tokens read, supervised or not, with the padding that a batch needs.
        losses: Loss of each step, nats per supervised token; a restoration loss is in it.
        wall_seconds: Time of this process; a resumed run counts its last part only.
        state: The whole weights on the processor, where they were spread over devices; None where the model has them.
    """

    steps: int
    tokens: int
    losses: tuple[float, ...]
    wall_seconds: float
    state: dict[str, torch.Tensor] | None = None


class WindowTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose loss is the mean over the supervised tokens of the whole step, and the restoration's if any.

    Where tokens have weights it is the weighted mean: the sum of weight x loss over the sum of the weights.
    """

    def __init__(self, *, windows: TrainingWindows, **arguments: Any) -> None:
        super().__init__(train_dataset=windows, data_collator=collate, **arguments)
        self.windows = windows
        self.model_accepts_loss_kwargs = True  # asks Trainer to count the supervised tokens of a whole step
        self.loss_is_scaled_for_ga = True
        self.micro_losses: list[torch.Tensor] = []  # of the step that is being made

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, None]:
        """Mean loss in nats per supervised token of the step (of the batch, in evaluation)."""
        summed, restored = model(**inputs)
        if num_items_in_batch is None:
            num_items_in_batch = counted_targets(inputs)
        counted = torch.as_tensor(num_items_in_batch).clamp(min=1)  # a step of questions alone teaches nothing
        loss = summed * (self.accelerator.num_processes / counted)
        loss = loss + restored / self.args.gradient_accumulation_steps
        self.micro_losses.append(loss.detach())
        return (loss, None) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device) -> Any:
        """Trainer counts the supervised tokens of a step over all processes; weights above 1 come on top."""
        counted = super()._get_num_items_in_batch(batch_samples, device)
        if counted is None or self.windows.gaps is None:
            return counted
        above = [counted_targets(batch).float() - (batch[TARGETS] != IGNORED).sum() for batch in batch_samples]
        whole = self.accelerator.gather(torch.stack(above).sum().to(device)).sum()
        return counted + whole / self.get_tp_size()  # processes that share a window each count it

    def _get_grad_norm(self, model: PreTrainedModel, grad_norm: Any = None) -> Any:
        """Trainer asks just before it changes the weights, so that what is no number never reaches them."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        losses = [float(loss) for loss in self.micro_losses]
        self.micro_losses.clear()
        if not all(math.isfinite(number) for number in (*losses, 0.0 if norm is None else float(norm))):
            self._refuse_step(losses, norm)
        return norm

    def _refuse_step(self, losses: list[float], norm: Any) -> None:
        """Ends the run before a step that would spoil the weights."""
        step, wrong = self.state.global_step, [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
        numbers = [number for i in wrong or range(len(losses)) for number in self._windows_of(step, i)]
        what = f"the loss is {losses[wrong[0]]}" if wrong else f"the norm of the gradients is {norm}"
        named = "; ".join(f"{number}: {self.windows.describe(number)}" for number in numbers[:4])
        more = f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
        last = last_complete_checkpoint(self.folder)
        kept = f"the last checkpoint, '{last}', holds" if last else "there is no checkpoint yet, the source model holds"
        raise DivergenceError(
            f"losses and gradients must be finite numbers; in step {step + 1} {what}, in window {named}{more}. The "
            f"step was not made: {kept} the last good weights. A lower learning rate, more warm-up steps, a gradient "
            "clip of 1 or float32 may help, begun anew with --overwrite; --resume comes to the same step again."
        )

    def _windows_of(self, step: int, micro: int) -> range:
        """Numbers of the windows of one forward pass of this process, as accelerate deals them out."""
        size, passes = self.args.per_device_train_batch_size, self.args.gradient_accumulation_steps
        devices = self.accelerator.num_processes
        first = ((step * passes + micro) * devices + self.accelerator.process_index) * size
        return range(first, first + size)

    @property
    def folder(self) -> Path:
        """Where checkpoints go."""
        return Path(self.args.output_dir)

    @property
    def is_sharded(self) -> bool:
        """Whether the weights are spread over processes, which have their own ways of saving them."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Checkpoints hold what is trained, not the model."""
        if self.is_sharded:
            super()._save(output_dir, state_dict)
        else:
            save_checkpoint(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_sharded:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_checkpoint(self.model, Path(resume_from_checkpoint))

    def whole_state(self) -> dict[str, torch.Tensor] | None:
        """All weights on the processor, if they are spread; None on other processes and where the model has them."""
        if not self.is_sharded:
            return None
        state = self.accelerator.get_state_dict(self.model_wrapped)
        return state if self.accelerator.is_main_process else None


class WatchCallback(TrainerCallback):  # type: ignore[misc]
    """Measures at intervals, and at the end."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.trainer: Trainer | None = None
        self.last = 0

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        """Measures if it is time, and ends the training if that is what the measurement says."""
        step = state.global_step
        if step == self.last or (step % self.watch.every and step < state.max_steps):
            return
        self.last = step
        assert self.trainer is not None
        if shared(self.watch.measure(self.trainer.model, step) if is_first() else None):
            control.should_training_stop = True
            control.should_save = True  # a run that is resumed goes on from here, and no further
        if is_first():
            logs_its_loss = control.should_log
            self.trainer.log(self.watch.row())
            control.should_log = logs_its_loss  # Trainer takes any log for that of the step


def counted_targets(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the weights of a batch's targets; their number where all count alike."""
    wanted = batch[TARGETS] != IGNORED
    weights = batch.get(SHIFT_WEIGHTS)
    return wanted.sum() if weights is None else weights[wanted].sum()


def train(
    model: PreTrainedModel,
    windows: TrainingWindows,
    settings: TrainSettings,
    folder: Path,
    *,
    restoration: Restoration | None = None,
    watch: Watch | None = None,
    logs: Path | None = None,
    report: StepReport | None = None,
) -> TrainingRecord:
    """Trains a model in place; goes on from the last complete checkpoint in `folder`, if there is one.

    Args:
        model: An extended model; what of it is trained is in float32.
        windows: At least steps x batch windows.
        settings: Steps, batch, learning rate, ...
        folder: Checkpoints go here, every tenth of the run if the settings do not say.
        restoration: What the original model teaches besides.
        watch: What is measured while it trains, and may end the training early.
        logs: Where TensorBoard's files go, if the settings ask for them.
        report: Called after each step.

    Raises:
        SelfTestError: The last token of a window does not depend on the first.
        OptionError: The batch does not divide into the micro-batches of all devices.
        DivergenceError: A loss or gradient that is no finite number; the weights are those of the step before.
        InterruptedRunError: Ctrl-C or SIGTERM; a checkpoint of the last whole step has been written.
    """
    device = next(model.parameters()).device
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):  # as it will train
        check_reach(model, windows[0], collate)
        fused = head_is_known(model)
    arguments = training_arguments(settings, folder, device)
    stop = StopCallback()
    callbacks: list[TrainerCallback] = [ProgressReport(report), stop]
    watching = WatchCallback(watch) if watch else None
    if watching:
        callbacks.append(watching)
    if "tensorboard" in settings.report_to and is_first():
        callbacks.append(_tensorboard(logs or folder))
    started = time.monotonic()
    checkpoint = last_complete_checkpoint(folder)
    with training_forward(model, fused=fused, restoration=restoration), signals_set(stop.asked):
        trainer = WindowTrainer(model=model, args=arguments, windows=windows, callbacks=callbacks)
        _silence(trainer)
        stop.accelerator = trainer.accelerator
        if watching:
            watching.trainer = trainer
        if checkpoint and watch and watch.ended_at == step_of(checkpoint):
            load_checkpoint(model, checkpoint)
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        state = trainer.whole_state()
    steps = trainer.state.global_step
    if steps < settings.steps and stop.asked.is_set():
        raise InterruptedRunError(
            f"training was stopped after step {steps} of {settings.steps}; a checkpoint was "
            f"written to '{folder}'. Run the same command with --resume to go on exactly from there."
        )
    losses = tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
    tokens = int(trainer.state.num_input_tokens_seen)
    return TrainingRecord(steps, tokens, losses, time.monotonic() - started, state)


def _tensorboard(logs: Path) -> TensorBoardCallback:
    from torch.utils.tensorboard import SummaryWriter

    return TensorBoardCallback(SummaryWriter(log_dir=str(logs)))


def _silence(trainer: Trainer) -> None:
    """Takes away transformers' own progress bars, because a run has one of ours, and a remark on every checkpoint."""
    logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)  # it doubts the clock of every folder
    for name in ("PrinterCallback", "ProgressCallback"):
        for present in [c for c in trainer.callback_handler.callbacks if type(c).__name__ == name]:
            trainer.remove_callback(present)
