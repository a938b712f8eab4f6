"""Where a model comes from: the package, a folder, or the hub. No torch."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

from ropewalk.errors import ModelError, OutputError

BUILTIN = "builtin"
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


def resolve_source(source: str | Path, *, config_only: bool = False) -> Path:
    """The folder of a model: `builtin`, a folder, or a hub id (downloaded into the hub's own cache).

    Args:
        source: `builtin`, a path, or an id such as `org/name`.
        config_only: Of a hub id, fetch the JSON files alone.

    Raises:
        ModelError: There is no such folder and no such (reachable) hub model.
    """
    if str(source) == BUILTIN:
        return Path(str(importlib.resources.files("ropewalk") / "assets" / "builtin"))
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"a model must be a folder that holds config.json; got the file {path}. Name its folder.")
    if isinstance(source, Path) or not _HUB_ID.match(str(source)):
        raise ModelError(
            f"a model must be a folder, a hub id or '{BUILTIN}'; there is no folder {path}. "
            "Check the path, or give a hub id such as 'org/name'."
        )
    return _from_hub(str(source), config_only=config_only)


def _from_hub(name: str, *, config_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json"] if config_only else ["*.json", "*.safetensors", "*.bin", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen unrelated types: one message serves them all
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"a model must be a folder, a hub id or '{BUILTIN}'; there is no folder '{name}', and the hub gave no "
            f"model of that name ({reason}). Check the spelling, the network, or give a folder."
        ) from error


def is_here(source: str | Path) -> bool:
    """Whether all files of a model are on this machine: of a hub id perhaps the JSON files alone are."""
    return str(source) == BUILTIN or Path(source).expanduser().is_dir()


def hub_id(source: str) -> str | None:
    """A source as an id with an owner on the hub, or None where it is something else."""
    return source if "/" in source and not is_here(source) and _HUB_ID.match(source) else None


def require_outside(origin: Path, target: Path) -> None:
    """Raises OutputError for an output inside its source."""
    if target.resolve() == origin.resolve() or origin.resolve() in target.resolve().parents:
        raise OutputError(f"the output must lie outside the source, which stays as it is; got {target}. Name another.")
