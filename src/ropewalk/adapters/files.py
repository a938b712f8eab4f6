"""Folders that appear complete or not at all, and the files of a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ropewalk.errors import ModelError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

WEIGHTS = (".safetensors", ".bin")
# The folder in which runs keep their records; those of the source are about the source.
RECORDS = "ropewalk"
# What a Trainer leaves in its checkpoints; and GGUF files, which carry the old rope setting inside.
_LEFT_BEHIND = ("training_args.bin", "optimizer.bin", "trainer_state.json", "config.json")
_LEFT_BEHIND_SUFFIXES = (".pt", ".pth", ".gguf")
_OTHER_WEIGHTS = (*_LEFT_BEHIND_SUFFIXES, ".onnx", ".onnx_data", ".msgpack", ".h5", ".distcp")


@contextmanager
def whole_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields `target.partial` to write into; it becomes `target` when the block ends, and vanishes when it fails.

    Raises:
        OutputError: The target or its partial folder exists, or the disk refused something.
    """
    partial = target.with_name(target.name + ".partial")
    for place in (target, partial):
        if place.exists() and not overwrite:
            raise OutputError(
                f"an output folder must not exist yet, because nothing is overwritten by accident; {place} exists. "
                "Choose another name, or pass overwrite."
            )
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        put_in_place(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(
            f"the output must be written whole or not at all; writing {target} failed ({error}). Nothing was left "
            "behind: make room or choose another place, and run it again."
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def whole_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields `target.partial` to write; it becomes `target` when the block ends, and vanishes when it fails.

    Raises:
        OutputError: The target exists, or the disk refused something.
    """
    partial = target.with_name(target.name + ".partial")
    if target.exists() and not overwrite:
        raise OutputError(
            f"an output file must not exist yet, because nothing is overwritten by accident; {target} exists. Choose "
            "another name, or pass overwrite."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise OutputError(
            f"the output must be written whole or not at all; writing {target} failed ({error}). Nothing was left "
            "behind: make room or choose another place, and run it again."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def put_in_place(partial: Path, target: Path) -> None:
    """Gives a whole folder its final name; one that stood there goes only when the new one is in its place."""
    if not target.exists():
        partial.rename(target)
        return
    replaced = target.with_name(target.name + ".replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    target.rename(replaced)
    try:
        partial.rename(target)
    except OSError:
        replaced.rename(target)
        raise
    shutil.rmtree(replaced)


def bring_weights(
    origin: Path, target: Path, *, link: bool, bring: Callable[[Path, Path], object] = shutil.copyfile
) -> None:
    """Copies or hard links every file of a checkpoint but config.json, and folders without weights (chat templates).

    Args:
        origin: The checkpoint.
        target: The folder that gets the files.
        link: Hard links for the weights.
        bring: Brings one file under its new name, or leaves it out.

    Raises:
        ModelError: The folder holds no weights.
        OutputError: The file system cannot link across the two places.
    """
    found = sorted(file for file in origin.iterdir() if file.is_file() and not file.name.startswith("."))
    kept = [f for f in found if f.name not in _LEFT_BEHIND and f.suffix not in _LEFT_BEHIND_SUFFIXES]
    if not any(file.suffix in WEIGHTS for file in kept):
        raise ModelError(
            f"a checkpoint must hold its weights as {' or '.join(WEIGHTS)} files; {origin} has none. "
            "Fetch them, or convert the checkpoint to safetensors."
        )
    for file in kept:
        if link and file.suffix in WEIGHTS:
            try:
                # Hub caches hold symbolic links; a hard link to one would break when the cache moves.
                os.link(file.resolve(), target / file.name)
            except OSError as error:
                raise OutputError(
                    f"hard links must stay on one file system that knows them; linking {file.name} into "
                    f"{target.parent} failed ({error}). Copy instead (link=False)."
                ) from error
        else:
            bring(file, target / file.name)
    for folder in _other_folders(origin):
        shutil.copytree(folder, target / folder.name)


def link_or_copy(file: Path, target: Path) -> bool:
    """Links a file, or copies it where the file system cannot link; whether it is a link."""
    try:
        os.link(file.resolve(), target)  # hub caches hold symbolic links; a hard link to one would break with the cache
    except OSError:
        shutil.copyfile(file, target)
        return False
    return True


def _other_folders(origin: Path) -> list[Path]:
    """Folders of a checkpoint that belong to it and hold no weights: those would be another form of the old model."""
    found = []
    for folder in sorted(path for path in origin.iterdir() if path.is_dir()):
        if folder.name.startswith(".") or folder.name == RECORDS:
            continue
        inside = [file for file in folder.rglob("*") if file.is_file()]
        if inside and not any(file.suffix in (*WEIGHTS, *_OTHER_WEIGHTS) for file in inside):
            found.append(folder)
    return found


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON as transformers does: two spaces, sorted keys."""
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def set_window(folder: Path, trained_length: int, target_length: int) -> None:
    """Tells the tokenizer and generation the new window; `generate` refuses prompts beyond a `max_length` of the old.

    Args:
        folder: A checkpoint.
        trained_length: The window before; a `max_length` that is not this one was chosen by somebody, and stays.
        target_length: The window after.
    """
    set_tokenizer_length(folder, target_length)
    file = folder / "generation_config.json"
    if file.is_file():
        settings = json.loads(file.read_text(encoding="utf-8"))
        if settings.get("max_length") == trained_length:
            write_json(file, {**settings, "max_length": target_length})


def set_tokenizer_length(folder: Path, length: int) -> None:
    """Tells the tokenizer the new window, where it has a setting for it."""
    file = folder / "tokenizer_config.json"
    if file.is_file():
        settings = json.loads(file.read_text(encoding="utf-8"))
        if "model_max_length" in settings:
            write_json(file, {**settings, "model_max_length": length})
