"""From a run file to the objects of a run: every choice resolved, every impossible one refused before work begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk import methods, positions
from ropewalk.errors import DataError, ModelError, OptionError, RopewalkError
from ropewalk.run.runfile import BUILT_IN, Choice, RunFile

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Rope
    from ropewalk.sampler import Sampler


@dataclass(frozen=True)
class Plan:
    """A run whose every choice is made.

    Attributes:
        run: The resolved run file; running it again gives this plan.
        source: The checkpoint folder.
        config: What its config.json says.
        method: The extension method.
        sampler: The training-position sampler.
        window: Tokens in a training window.
    """

    run: RunFile
    source: Path
    config: ModelConfig
    method: Method
    sampler: Sampler
    window: int


def resolve(run: RunFile) -> Plan:
    """Reads the model's config and settles method, sampler, window and data.

    Raises:
        RopewalkError: A choice that cannot be: see the kinds in `ropewalk.errors`.
    """
    from ropewalk.adapters.config import read_model_config, resolve_source

    source = resolve_source(run.model)
    config = read_model_config(source)
    config.require_unscaled()
    check_target(run.target_length, config)
    method = build_method(run.method, config.rope, run.target_length)
    choice = run.positions or Choice(name=method.sampler or "contiguous")
    sampler = positions.get(choice.name).with_options(choice.options)
    window = run.data.window or (run.target_length if sampler.trains_at_target else config.rope.trained_length)
    if window > run.target_length:
        raise OptionError(
            f"a training window must fit the target length of {run.target_length:,} tokens; got {window:,}. "
            "Choose a smaller [data] window."
        )
    files = resolve_data(run, source) if run.train.steps else run.data.files
    settings = run.train
    if settings.precision == "auto":
        from ropewalk.run.device import default_device
        from ropewalk.run.precision import fastest_precision

        settings = settings.model_copy(update={"precision": fastest_precision(default_device())})
    resolved = run.model_copy(
        update={
            "train": settings,
            "method": Choice(name=method.name, **method.options),
            "positions": Choice(name=sampler.name, **sampler.options),
            "data": run.data.model_copy(update={"files": files, "window": window}),
        }
    )
    return Plan(resolved, source, config, method, sampler, window)


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


def resolve_data(run: RunFile, source: Path) -> tuple[str, ...]:
    """The training texts: those given, or the built-in corpus for the built-in model.

    Raises:
        DataError: Steps without any text.
        ModelError: The model has no tokenizer.
    """
    if not has_tokenizer(source):
        raise ModelError(
            f"training needs a tokenizer, because text must become tokens; '{source}' has none. Put its files there, "
            "or extend without training (--steps 0)."
        )
    if run.data.files:
        return run.data.files
    if run.model == BUILT_IN:
        return (BUILT_IN,)
    raise DataError(
        f"training needs text, and only the built-in model has its own; got {run.train.steps} steps for '{run.model}' "
        f"and no text. Give files with --data FILE, the built-in corpus with --data {BUILT_IN}, or --steps 0."
    )
