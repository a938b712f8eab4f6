"""A checkpoint folder in another form: the config changes, weights are linked unless they have to change."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from ropewalk.adapters import files
from ropewalk.adapters.carriers.folded import query_changes
from ropewalk.adapters.config import RECORD
from ropewalk.adapters.export.form import FROZEN, STAIRCASE
from ropewalk.adapters.shards import copy_changed, read_header
from ropewalk.adapters.spelling import both_spellings, rope_parameters
from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ropewalk.adapters.export.form import Form, Subject
    from ropewalk.adapters.shards import RowScale

_CONFIG = "config.json"


def exported_config(form: Form, subject: Subject) -> dict[str, Any]:
    """config.json of a form, in both spellings.

    Our own record stays where ropewalk.load would add nothing to what the config says; beside a staircase it would
    scale a second time.
    """
    raw = dict(subject.config.raw)
    if form.carrier in (STAIRCASE, FROZEN):
        raw.pop(RECORD, None)
    return both_spellings(
        {
            **raw,
            "rope_scaling": None,
            "rope_parameters": rope_parameters(subject.config.text, form.rope_parameters),
            "max_position_embeddings": form.declared_length(subject),
            **form.entries,
        }
    )


def write_folder(form: Form, subject: Subject, folder: Path, *, copy: bool) -> str:
    """Writes a form; see `Engine.write`.

    Raises:
        CarrierError: Weights must change, and are not stored as safetensors or not known by name.
        ModelError: A weight file is broken, or stored in a format without arithmetic.
    """
    changes = _weight_changes(form, subject)
    linked = not copy and not changes

    def bring(file: Path, target: Path) -> None:
        nonlocal linked
        if file.name in changes:
            copy_changed(file, target, changes[file.name])
        elif file.suffix in files.WEIGHTS and not copy:
            linked &= files.link_or_copy(file, target)
        else:
            shutil.copy2(file, target)

    for path in sorted(subject.folder.iterdir()):
        if path.name.startswith(".") or path.name == _CONFIG:
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            bring(path, folder / path.name)
    files.write_json(folder / _CONFIG, exported_config(form, subject))
    files.set_window(folder, subject.config.rope.trained_length, subject.target_length)
    return "changed" if changes else "linked" if linked else "copied"


def _weight_changes(form: Form, subject: Subject) -> dict[str, Mapping[str, RowScale]]:
    """The changed tensors of each weight file."""
    if form.query_factor == 1:
        return {}
    headers = {file.name: read_header(file) for file in sorted(subject.folder.glob("*.safetensors"))}
    if not headers:
        raise CarrierError(
            f"a scale is folded into weights that are stored as safetensors; {subject.folder} has none. Convert them, "
            "or choose another carrier."
        )
    shapes = {name: tensor.shape for header in headers.values() for name, tensor in header.items()}
    changes = query_changes(shapes, subject.config, form.query_factor)
    return {
        file: {name: changes[name] for name in header if name in changes}
        for file, header in headers.items()
        if any(name in changes for name in header)
    }


def weight_notes(form: Form, subject: Subject) -> tuple[str, ...]:
    """What people should know about the weights of a form."""
    if form.query_factor == 1:
        return ()
    exact = subject.config.dtype in ("float32", "float64")
    rounded = "" if exact else f", each rounded once to {subject.config.dtype}"
    return (f"the weights that make queries are multiplied by {form.query_factor:.9g}{rounded}",)
