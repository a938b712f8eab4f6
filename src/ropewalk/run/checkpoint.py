"""A checkpoint, loaded to be measured, and the fingerprints that say which one it was."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ropewalk import adapters
from ropewalk.adapters.config import scaling_type
from ropewalk.adapters.foreign import adopted, read_foreign
from ropewalk.adapters.foreign import target_length_of as target_length_of
from ropewalk.adapters.record import recorded_method
from ropewalk.errors import MeasurementError, ModelError, OptionError
from ropewalk.run.device import default_device
from ropewalk.run.output import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig

UNTOUCHED = "untouched"
# Config and tokenizer: what a model computes from given tokens, and which tokens it reads.
SETTINGS = ("*.json", "*.model", "*.txt")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, loaded to be measured.

    Attributes:
        model, tokenizer: As transformers has them.
        name: What the user calls it.
        method: Phrase such as `yarn, factor 8`, or `untouched`.
        trained_length, target_length: Tokens.
        weights, settings: Fingerprints of the weight files, and of all others that decide what the model computes.
    """

    model: Any
    tokenizer: Any
    name: str
    method: str
    trained_length: int
    target_length: int
    weights: str
    settings: str


def load_checkpoint(model: str | Path, *, name: str | None = None, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Loads a model with its tokenizer, and everything that a result says about it.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        name: What the user calls it, if not so.
        dtype: Number format to compute in.

    Raises:
        MeasurementError: The device cannot hold it.
        RopewalkError: See `load_model`.
    """
    config = adopted(adapters.read_model_config(model))
    device = default_device()
    try:
        loaded = adapters.load_model(model, dtype=dtype, device=device)  # fetches the files of a hub id
    except torch.OutOfMemoryError as error:
        raise MeasurementError(
            f"the device must hold the whole model to measure it; {device} ran out of memory while '{model}' was "
            f"loaded in {str(dtype).removeprefix('torch.')}. Use a larger device, or the processor "
            "(CUDA_VISIBLE_DEVICES=)."
        ) from error
    return Checkpoint(
        model=loaded,
        tokenizer=adapters.load_tokenizer(model),
        name=name or str(model),
        method=method_of(config),
        trained_length=config.rope.trained_length,
        target_length=target_length_of(config),
        weights=weights_fingerprint(config.path),
        settings=settings_fingerprint(config.path),
    )


def method_of(config: ModelConfig) -> str:
    """What was done to a model, in a phrase: by ropewalk, or by others as its config declares; else `untouched`."""
    method = recorded_method(config)
    if method is not None:
        return method.describe(config.rope)
    foreign = read_foreign(config)
    if foreign is None:
        return UNTOUCHED
    if foreign.method is None:
        return f"{scaling_type(config.declared_scaling or {})}, as its config declares"
    return f"{foreign.method.describe(foreign.rope)}, as its config declares"


def reference_of(model: str | Path, given: str | Path | None) -> str | Path:
    """The untouched model that a model was made from, or the model itself if nothing was done to it.

    Args:
        model: The checkpoint that is measured.
        given: What the user named as the untouched model, if anything.

    Raises:
        OptionError: It is not known or not there, or has another window.
    """
    config = adapters.read_model_config(model)
    source = given or _recorded_source(config, model)
    try:
        trained_length = adapters.read_model_config(source).rope.trained_length
    except ModelError as error:
        raise OptionError(
            f"a certificate compares with the untouched model, here '{source}', which cannot be read: {error} Name it "
            "with --reference MODEL, or leave the certificate out with --no-certificate."
        ) from error
    if trained_length != config.rope.trained_length:
        raise OptionError(
            f"a certificate compares with the model that '{model}' was made from, whose window is "
            f"{config.rope.trained_length:,} tokens; '{source}' was trained with {trained_length:,}. Name the right "
            "one with --reference MODEL."
        )
    return source


def weights_fingerprint(folder: Path) -> str:
    """First 16 hex digits of SHA-256 over the safetensors files of a checkpoint, in the order of their names."""
    return _files_fingerprint(folder, ("*.safetensors",))


def settings_fingerprint(folder: Path) -> str:
    """The same over its config and tokenizer."""
    return _files_fingerprint(folder, SETTINGS)


def _files_fingerprint(folder: Path, patterns: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _recorded_source(config: ModelConfig, model: str | Path) -> str | Path:
    if config.extension is None:
        return model
    run = OutputFolder(config.path).run_file
    try:
        return str(tomllib.loads(run.read_text("utf-8"))["model"])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise OptionError(
            f"a certificate compares with the untouched model; '{run}' does not say which one '{model}' was made from. "
            "Name it with --reference MODEL, or leave the certificate out with --no-certificate."
        ) from error
