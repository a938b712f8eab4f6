"""Our settings in transformers' words, for this process among all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import TrainingArguments

from ropewalk.errors import OptionError
from ropewalk.train.processes import data_parallel_size, started_together

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ropewalk.train.settings import TrainSettings

CHECKPOINTS_PER_RUN = 10


def training_arguments(settings: TrainSettings, folder: Path, device: torch.device) -> TrainingArguments:
    """The arguments of a Trainer: one device for this process, however many the machine has.

    Raises:
        OptionError: The batch does not divide into the micro-batches of all devices.
    """
    micro, accumulation = divided_batch(settings, data_parallel_size())
    offload = {"offload": True} if settings.activation_checkpointing == "offload" else None
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule if settings.schedule != "constant" else "constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        max_grad_norm=settings.gradient_clip,
        bf16=settings.precision == "bfloat16",
        activation_checkpointing=settings.activation_checkpointing != "off",
        activation_checkpointing_kwargs=offload,
        torch_compile=settings.compile,
        seed=settings.seed,
        data_seed=settings.seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="all",
        save_steps=settings.save_every or max(1, settings.steps // CHECKPOINTS_PER_RUN),
        save_total_limit=2,
        report_to=[name for name in settings.report_to if name != "tensorboard"],  # that one is told where to write
        disable_tqdm=True,
        use_cpu=device.type == "cpu",
        ddp_backend="gloo" if device.type == "cpu" and started_together() else None,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=device.type != "cpu",
        dataloader_num_workers=settings.workers,
        dataloader_prefetch_factor=2 if settings.workers else None,
        dataloader_persistent_workers=settings.workers > 0,
    )
    _ = arguments.device  # counts the accelerators, once
    # More than one without a launcher means nn.DataParallel, whose copies of a model lose the forward it trains by.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def divided_batch(settings: TrainSettings, devices: int) -> tuple[int, int]:
    """Windows per forward pass of a device, and forward passes per step.

    Args:
        settings: `batch` over all devices, `micro_batch` on one.
        devices: Those that read different windows.

    Raises:
        OptionError: The batch does not divide.
    """
    batch = settings.batch
    micro = min(settings.micro_batch or max(1, batch // devices), batch)
    if batch % (micro * devices):
        raise OptionError(
            "the windows of a step must divide evenly, so that every device does the same work; got batch = "
            f"{batch:,} for {devices} device(s) x micro_batch = {micro:,}. Choose a batch that is a multiple of "
            f"{micro * devices:,}, or another micro_batch."
        )
    return micro, batch // (micro * devices)
