"""What was trained beside a checkpoint goes into a copy of it, without the model in memory.

The weights of the source are the ones that training started from, in the format that they are stored in, so the copy is
rounded once however the model was held while it was trained: in bfloat16, in 4 bits, in pieces on several devices.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ropewalk.adapters import files
from ropewalk.adapters.apply import ExtensionReport, extend_checkpoint, extend_model
from ropewalk.adapters.config import read_model_config, resolve_source
from ropewalk.adapters.load import load_model, save_model
from ropewalk.adapters.safetensors_header import INDEX, SINGLE, read_header, weight_files
from ropewalk.adapters.shards import Change, copy_changed
from ropewalk.adapters.source import require_outside
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.method import Method


def merge_checkpoint(
    source: str | Path,
    output: str | Path,
    method: Method | str,
    target_length: int,
    changes: Mapping[str, Change],
    *,
    tied: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> ExtensionReport:
    """Extends a checkpoint folder as `extend_checkpoint` does, and changes some of its weights.

    The weight files are copied block by block and changed on the way. Where a changed tensor is not in them under its
    name in the model (an old format, or one that transformers converts when it loads), the model is loaded, changed and
    saved instead, and the report says so.

    Args:
        source: `builtin`, a folder, or a hub id: the checkpoint that was trained from.
        output: The folder to write; it appears complete or not at all.
        method: The method of the extension.
        target_length: Tokens of the new window.
        changes: What happens to tensors, by their names in the model.
        tied: Names in the model of tensors that are another one, and that one's name.
        overwrite: Replace an output folder that exists.

    Raises:
        ModelError: A name or a shape that the model does not have, or a stored format without arithmetic.
        RopewalkError: As `extend_checkpoint`.
    """
    origin = resolve_source(source)
    placed = _placed(origin, changes, tied or {})
    if placed is None:
        return _merged_in_memory(origin, Path(output), method, target_length, changes, overwrite=overwrite)

    def bring(file: Path, target: Path) -> None:
        if file.name not in placed:
            _bring_other(file, target)
        elif placed[file.name]:
            copy_changed(file, target, placed[file.name])
        else:
            shutil.copyfile(file, target)

    report = extend_checkpoint(origin, output, method, target_length, overwrite=overwrite, bring=bring)
    count = sum(map(len, placed.values()))
    return _noted(report, f"{count} tensors were changed in a copy of the weight files, and rounded once as stored")


def _noted(report: ExtensionReport, note: str) -> ExtensionReport:
    return dataclasses.replace(report, notes=(*report.notes, note))


def _bring_other(file: Path, target: Path) -> None:
    """Copies what is no weight file nor a list of them: weights that nobody changed are those of another model."""
    if file.suffix not in files.WEIGHTS and not file.name.endswith(".index.json"):
        shutil.copyfile(file, target)


def _placed(
    origin: Path, changes: Mapping[str, Change], tied: Mapping[str, str]
) -> dict[str, dict[str, Change]] | None:
    """The changes of each file that transformers loads, by names in the file; None if one has no place."""
    shards = weight_files(origin)
    placed: dict[str, dict[str, Change]] = {shard.name: {} for shard in shards}
    used = set()
    for shard in shards:
        for stored, tensor in read_header(shard).items():
            name = _name_in_model(stored, {*changes, *tied})
            name = tied.get(name, name)
            if name in changes and changes[name].fits(tensor.shape):
                placed[shard.name][stored] = changes[name]
                used.add(name)
    if used != set(changes):
        return None
    return placed if SINGLE in placed else {**placed, INDEX: {}}


def _name_in_model(stored: str, known: set[str]) -> str:
    """A stored name as the model says it: a checkpoint of the bare backbone lacks the first part, such as `model.`."""
    if stored in known:
        return stored
    return next((name for name in known if name.partition(".")[2] == stored), stored)


@torch.no_grad()
def _merged_in_memory(
    origin: Path,
    output: Path,
    method: Method | str,
    target_length: int,
    changes: Mapping[str, Change],
    *,
    overwrite: bool,
) -> ExtensionReport:
    require_outside(origin, output)
    stored = getattr(torch, read_model_config(origin).dtype)
    model = load_model(origin, dtype=stored)
    report = extend_model(model, method, target_length)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, change in changes.items():
        if name not in parameters or not change.fits(tuple(parameters[name].shape)):
            shape = tuple(parameters[name].shape) if name in parameters else "none"
            raise ModelError(
                f"every trained tensor must be one of the model's, of the same shape; '{name}' does not fit the model "
                f"in {origin} (shape there: {shape}). Name the checkpoint that the training started from."
            )
        exact = parameters[name].to(torch.promote_types(stored, torch.float32), copy=True)
        parameters[name].copy_(change.apply(exact, 0))
    with files.whole_folder(output, overwrite=overwrite) as partial:
        files.bring_weights(origin, partial, link=False, bring=_bring_other)
        save_model(model, None, partial)
        files.set_window(partial, report.trained_length, target_length)
    return _noted(
        report,
        f"{len(changes)} tensors were changed in the loaded model, because its weight files do not hold them under "
        "their names",
    )
