"""From a run file to the objects of a run: every choice resolved, every impossible one refused before work begins."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk import methods, positions
from ropewalk.errors import DataError, ModelError, OptionError, RopewalkError, RunFileError
from ropewalk.run.runfile import BUILT_IN, Choice, RunFile
from ropewalk.train.processes import shares_windows, spreads_weights

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Rope
    from ropewalk.run.runfile import DataSettings
    from ropewalk.sampler import Sampler
    from ropewalk.train.settings import TrainSettings


FLASH = "flash_attention_2"


@dataclass(frozen=True)
class Plan:
    """A run whose every choice is made.

    Attributes:
        run: The resolved run file; running it again gives this plan.
        source: The checkpoint folder.
        config: What its config.json says.
        method: The extension method.
        target_length: Tokens of the new window.
        sampler: The training-position sampler.
        window: Tokens in a training window.
    """

    run: RunFile
    source: Path
    config: ModelConfig
    method: Method
    target_length: int
    sampler: Sampler
    window: int


def resolve(run: RunFile) -> Plan:
    """Reads the model's config and settles method, sampler, window and data.

    Raises:
        RopewalkError: A choice that cannot be: see the kinds in `ropewalk.errors`.
    """
    from ropewalk.adapters.config import read_model_config, resolve_source
    from ropewalk.adapters.doctor import require_sound

    source = resolve_source(run.model)
    config = read_model_config(source)
    require_sound(config)
    config.require_unscaled()
    target_length = target_of(run, config)
    check_target(target_length, config)
    method = build_method(run.method, config.rope, target_length)
    choice = run.positions or Choice(name=method.sampler or "contiguous")
    sampler = positions.get(choice.name).with_options(choice.options)
    window = run.data.window or (target_length if sampler.trains_at_target else config.rope.trained_length)
    if window > target_length:
        raise OptionError(
            f"a training window must fit the target length of {target_length:,} tokens; got {window:,}. "
            "Choose a smaller [data] window."
        )
    data = resolve_data(run, source) if run.train.steps else run.data
    training = resolve_training(run.train)
    if run.train.steps:
        check_devices(run)
        check_gap(run)
    resolved = run.model_copy(
        update={
            "target_length": target_length,
            "factor": None,
            "train": training,
            "method": Choice(name=method.name, **method.options),
            "positions": Choice(name=sampler.name, **sampler.options),
            "data": data.model_copy(update={"window": window}),
        }
    )
    return Plan(resolved, source, config, method, target_length, sampler, window)


def target_of(run: RunFile, config: ModelConfig) -> int:
    """Tokens of the new window, given as they are or as a multiple of the trained one.

    Raises:
        RunFileError: Neither is given, or both.
    """
    if (run.target_length is None) == (run.factor is None):
        given = "neither" if run.factor is None else f"target_length = {run.target_length} and factor = {run.factor:g}"
        raise RunFileError(
            "a run must say how long the new window is, in one way: target_length in tokens, or factor as a multiple "
            f"of the trained window; got {given}. Say --to TOKENS."
        )
    if run.target_length is not None:
        return run.target_length
    assert run.factor is not None
    return round(run.factor * config.rope.trained_length)


def check_devices(run: RunFile) -> None:
    """Raises OptionError for what a run on several devices cannot do."""
    packings = {source.packing or run.data.packing for source in run.data.sources} or {run.data.packing}
    if shares_windows() and packings != {"none"}:
        raise OptionError(
            "under context or sequence parallelism a window must hold one document, because the mask between documents "
            f'is dropped there and they would see each other; got packing = "{run.data.packing or "by default"}". '
            "Say --entry data.packing=none, or train with another accelerate config."
        )
    if run.train.attention == FLASH and packings != {"none"}:
        raise OptionError(
            "flash attention knows no mask between documents, so that each must have a window of its own; got "
            f'attention = "{run.train.attention}" and packing = "{run.data.packing or "by default"}". '
            "Say --entry data.packing=none, or take sdpa."
        )
    if shares_windows() and run.train.gap:
        raise OptionError(
            "under context or sequence parallelism a window is cut into parts, and the weights of its targets are not "
            f"cut with it; got [train.gap] weight = {run.train.gap.weight:g}. Leave [train.gap] out, or train with "
            "another accelerate config."
        )
    if spreads_weights() and run.train.evaluate_every:
        raise OptionError(
            "measuring while training needs the whole model on the first device, and FSDP and DeepSpeed spread it over "
            f"all; got evaluate_every = {run.train.evaluate_every}. Leave it out, or train with DDP."
        )


def check_gap(run: RunFile) -> None:
    """Raises OptionError for a weight of targets that a run does not have."""
    gap = run.train.gap
    if gap and not (run.data.recall_share or gap.repeats):
        raise OptionError(
            "which token tells a target is known of recall tasks, and of pairs of tokens that repeat; this run has "
            f"neither, so that [train.gap] weight = {gap.weight:g} would weigh nothing. Say --entry "
            "data.recall_share=0.5 or --entry train.gap.repeats=true, or leave [train.gap] out."
        )


def resolve_training(settings: TrainSettings) -> TrainSettings:
    """The settings with every choice made that depends on this machine.

    Raises:
        OptionError: They contradict each other, or need what is not here.
    """
    if settings.steps:
        check_training(settings)
    if (settings.activation_checkpointing, settings.attention) == ("off", "auto") and settings.precision != "auto":
        return settings
    from ropewalk.run.device import default_device

    if settings.attention == "flex_attention" and default_device().type == "cpu":
        raise OptionError(
            "flex attention has no backward pass on a processor, so that nothing can be trained with it there; got "
            'attention = "flex_attention". Leave it out.'
        )
    if settings.activation_checkpointing == "offload" and default_device().type == "cpu":
        raise OptionError(
            "offloading moves activations from an accelerator to the host's memory, and this machine has no "
            'accelerator; got activation_checkpointing = "offload". Say "on".'
        )
    if settings.precision != "auto":
        return settings
    from ropewalk.run.precision import fastest_precision

    return settings.model_copy(update={"precision": fastest_precision(default_device())})


def check_training(settings: TrainSettings) -> None:
    """Raises OptionError for settings that contradict each other or need a package that is not installed."""
    if settings.lora is not None and settings.trainable != "lora":
        raise OptionError(
            f'a [train.lora] section belongs to trainable = "lora"; got trainable = "{settings.trainable}". '
            "Change one of them."
        )
    if settings.stop_when and not settings.evaluate_every:
        raise OptionError(
            "a run that stops when it is certified must measure on its way; got no evaluate_every. "
            "Say how many steps lie between measurements, for instance --evaluate-every 50."
        )
    needed: dict[str, tuple[str, str]] = {f"report_to = '{name}'": (name, name) for name in settings.report_to}
    if settings.attention == FLASH:
        needed[f"attention = '{FLASH}'"] = ("flash_attn", "flash-attn")
    for setting, (module, package) in needed.items():
        if importlib.util.find_spec(module) is None:
            raise OptionError(
                f"{setting} needs the package {package}, which is not installed. Install it with: pip install {package}"
            )
    if settings.micro_batch and settings.batch % settings.micro_batch:
        raise OptionError(
            "the windows of a step must divide into micro-batches, so that all count alike; got batch = "
            f"{settings.batch:,} and micro_batch = {settings.micro_batch:,}. Change one of them."
        )


def check_target(target_length: int, config: ModelConfig) -> None:
    """Raises OptionError for a target below the trained window."""
    trained = config.rope.trained_length
    if target_length < trained:
        raise OptionError(
            f"the target length must be at least the trained window of {trained:,} tokens, because there is nothing to "
            f"extend below it; got {target_length:,}. Choose --to {2 * trained} or more."
        )


def build_method(choice: Choice, rope: Rope, target_length: int) -> Method:
    """The method of a choice; a name that is only a sampler's is refused with the way to say it."""
    try:
        cls = methods.get(choice.name)
    except RopewalkError:
        if choice.name in positions.names():
            raise OptionError(
                f"'{choice.name}' numbers the tokens of training windows and is no extension method by itself; "
                f"say --positions {choice.name} together with --method linear, or another method."
            ) from None
        raise
    return cls.for_target(rope, target_length, choice.options)


def has_tokenizer(source: Path) -> bool:
    """Whether a checkpoint has a tokenizer's files; without them transformers may make an empty one."""
    return any((source / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json"))


def resolve_data(run: RunFile, source: Path) -> DataSettings:
    """The data settings with their texts: those given, or the built-in corpus for the built-in model.

    Raises:
        DataError: Steps without any text, or texts given in two ways.
        ModelError: The model has no tokenizer.
    """
    if not has_tokenizer(source):
        raise ModelError(
            f"training needs a tokenizer, because text must become tokens; '{source}' has none. Put its files there, "
            "or extend without training (--steps 0)."
        )
    if run.data.files and run.data.sources:
        raise DataError(
            f"training text is given as files or as weighted sources; got {len(run.data.files)} file(s) and "
            f"{len(run.data.sources)} source(s). Add the files as sources, or leave the sources out."
        )
    if run.data.files or run.data.sources:
        return run.data
    if run.model == BUILT_IN:
        return run.data.model_copy(update={"files": (BUILT_IN,)})
    raise DataError(
        f"training needs text, and only the built-in model has its own; got {run.train.steps} steps for '{run.model}' "
        f"and no text. Give files with --data FILE, the built-in corpus with --data {BUILT_IN}, or --steps 0."
    )
