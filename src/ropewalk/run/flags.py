"""What the command line says of a run, laid over a recipe; no torch before there is something to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.errors import OptionError
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import override, parse_run, read_run
from ropewalk.train.processes import started_together

# In the place of a method's name: a choice, which is made above this layer.
AUTO = "auto"
SEARCHED = "searched"
SECTIONS = ("method", "positions", "train", "train.lora", "train.gap", "data")

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ropewalk.result import ExtensionResult
    from ropewalk.run.extension import Reporter
    from ropewalk.run.gate import GateSettings
    from ropewalk.run.runfile import RunFile


def flags_as_run(
    *,
    model: str | None = None,
    target_length: int | None = None,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    positions: str | None = None,
    steps: int | None = None,
    data: Sequence[str | Path] = (),
    seed: int | None = None,
    entries: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Flags in the shape of a run file; what is None or empty is left open.

    `entries` are any others of its entries by dotted name, such as `train.learning_rate`.
    """
    named = {
        "model": model,
        "target_length": target_length,
        "method": {"name": method, **(options or {})},
        "positions": {"name": positions},
        "train": {"steps": steps, "seed": seed},
        "data": {"files": [str(file) for file in data] or None},
    }
    return override(_nested(entries or {}), named)


def _nested(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries by dotted name as sections inside sections."""
    sections: dict[str, Any] = {}
    for name, value in entries.items():
        if name in ("method", "positions") and isinstance(value, str):
            name += ".name"
        elif name in SECTIONS:
            raise OptionError(
                f"'{name}' is a section of a run file, and an entry stands inside one; got {name} = {value}. "
                f"Say --entry {name}.KEY=VALUE."
            )
        for part in reversed(name.split(".")):
            value = {part: value}
        sections = override(sections, value)
    return sections


def check_flags(flags: Mapping[str, Any], recipe: str | None = None) -> None:
    """Refuses at once what the flags and the model's config rule out: to import torch takes seconds.

    Of several processes the first alone may speak, which the run itself sees to; nothing is checked here then.

    Raises:
        OptionError: Options of a method that is not named.
        RopewalkError: What `resolve` refuses.
    """
    method = flags.get("method", {})
    options = sorted(method.keys() - {"name"})
    if options and (is_open(flags) or not ("name" in method or recipe)):
        raise OptionError(
            f"--set gives options of one method, and which it is is open here ({method.get('name', 'none named')}); "
            f"got {', '.join(options)}. Name it with --method, or leave --set out."
        )
    if not started_together():
        named = {key: value for key, value in flags.items() if key != "method" or not is_open(flags)}
        resolve(run_from_flags(named, recipe))


def is_open(flags: Mapping[str, Any]) -> bool:
    """Whether a choice stands in the place of a method's name."""
    return flags.get("method", {}).get("name") in (AUTO, SEARCHED)


def extend_from_flags(
    flags: Mapping[str, Any],
    output: Path,
    *,
    recipe: str | None = None,
    gate: GateSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    link: bool = False,
    reporter: Reporter | None = None,
) -> ExtensionResult:
    """Extends a checkpoint by a recipe (if one is named) with flags laid over it."""
    from ropewalk.run.extension import run_extension

    run = run_from_flags(flags, recipe)
    return run_extension(run, output, gate=gate, resume=resume, overwrite=overwrite, link=link, reporter=reporter)


def run_from_flags(flags: Mapping[str, Any], recipe: str | None = None) -> RunFile:
    """A recipe (if one is named) with flags laid over it.

    Raises:
        RunFileError: A value that cannot be.
        UnknownNameError: No such recipe.
    """
    base = read_run(recipe) if recipe else {}
    for section in ("method", "positions"):  # another one does not know the recipe's options
        named = flags.get(section, {}).get("name")
        if named not in (None, base.get(section, {}).get("name")):
            base.pop(section, None)
    if flags.get("train", {}).get("trainable", "lora") != "lora":
        base.get("train", {}).pop("lora", None)
    # The same choice in other words.
    if "target_length" in flags:
        base.pop("factor", None)
    if "files" in flags.get("data", {}) and "data" in base:
        base["data"].pop("sources", None)
    values = override(base, flags)
    if "method" in values:
        values["method"].setdefault("name", "yarn")
    return parse_run(values, where=f"recipe '{recipe}'" if recipe else "this run")
