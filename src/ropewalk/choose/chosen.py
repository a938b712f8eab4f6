"""The method of `extend`, where its name stands for a choice: none named, `auto`, `searched`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import read_model_config, resolve_source
from ropewalk.adapters.doctor import require_sound
from ropewalk.cells.measuring import model_fingerprints
from ropewalk.choose.automatic import CHOICE, choose_method, choose_unnamed, earlier_choice
from ropewalk.choose.searched import searched_choice
from ropewalk.evals.store import write_text
from ropewalk.run.extension import Silent
from ropewalk.run.flags import AUTO, is_open, run_from_flags
from ropewalk.run.output import RECORDS
from ropewalk.run.plan import target_of
from ropewalk.run.runfile import read_run
from ropewalk.train.processes import is_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

SEARCHED_FILE, SEARCHED_FOR = "searched.toml", "searched.json"


def with_method(
    flags: Mapping[str, Any],
    recipe: str | None,
    output: Path,
    held_out: Sequence[str],
    reporter: Reporter,
    *,
    search: str,
    evaluations: int,
    check: Callable[[RunFile], None] | None = None,
) -> dict[str, Any]:
    """The flags with a method's own name, whatever was named.

    Args:
        flags: In the shape of a run file.
        recipe: A run file that they are laid over.
        output: The folder of the extended checkpoint; what is measured lies beside it until that is complete.
        held_out: Text that is not trained on.
        reporter: Hears of decisions.
        search: For `searched`.
        evaluations: For `searched`.
        check: Refuses a run that cannot be, before anything is measured for it.

    Raises:
        RopewalkError: What cannot be measured, or run.
    """
    if not is_open(flags) and (recipe or "method" in flags):
        return dict(flags)
    named = flags.get("method", {}).get("name")
    open_flags = {key: value for key, value in flags.items() if key != "method"}
    run = run_from_flags(open_flags, recipe)
    require_sound(read_model_config(resolve_source(run.model)))  # nothing is said of a model that cannot be extended
    if check is not None:
        check(run)
    folder = choosing_folder(output)
    if named in (None, AUTO):
        known = earlier_choice(output / RECORDS / CHOICE, run, held_out)
        if known is not None:
            return open_flags | {"method": {"name": known.method}}
        if named is None:
            name = choose_unnamed(run, folder, held_out, reporter if is_first() else Silent())
            return open_flags | {"method": {"name": name}}
        return open_flags | {"method": {"name": choose_method(run, folder, held_out, reporter).method}}
    return open_flags | {"method": _searched(run, folder, output, search, evaluations, reporter)}


def keep_choice(output: Path) -> None:
    """Moves what a choice rests on into the records of the finished checkpoint."""
    folder = choosing_folder(output)
    for name in (CHOICE, SEARCHED_FILE, SEARCHED_FOR):
        if (folder / name).is_file() and (output / RECORDS).is_dir():
            shutil.copyfile(folder / name, output / RECORDS / name)
    if (output / RECORDS).is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def choosing_folder(output: Path) -> Path:
    """Where probe, comparison and search lie until the checkpoint is complete."""
    return output.with_name(output.name + ".choosing")


def _searched(
    run: RunFile, folder: Path, output: Path, search: str, evaluations: int, reporter: Reporter
) -> dict[str, Any]:
    target_length = target_of(run, read_model_config(run.model))
    asked = {"search": search, "evaluations": evaluations, "target_length": target_length}
    asked_for = json.dumps(asked | {"model": model_fingerprints(run.model)}, indent=1) + "\n"
    kept = output / RECORDS
    if (kept / SEARCHED_FOR).is_file() and (kept / SEARCHED_FOR).read_text("utf-8") == asked_for:
        method: dict[str, Any] = read_run(str(kept / SEARCHED_FILE))["method"]
        return method
    choice = searched_choice(
        run.model,
        target_length,
        folder / "search",
        search=search,
        evaluations=evaluations,
        file=folder / SEARCHED_FILE,
        reporter=reporter,
    )
    write_text(folder / SEARCHED_FOR, asked_for)
    return choice.model_dump()
