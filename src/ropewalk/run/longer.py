"""A longer run that goes on from the end of a shorter one, in the place of repeating its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.run.output import CHECKPOINTS, OutputFolder
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import read_run

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.run.runfile import RunFile

NO_END = "constant"  # the one schedule in which a step does not depend on how many follow


def begin_with(shorter: Path, longer: RunFile, output: Path) -> bool:
    """Gives a run that has not begun the state of a finished, shorter one; `run_extension` then resumes there.

    Resuming is exact, so the longer run ends with the weights and the losses that it would have had alone. The state
    moves: it is no longer with the shorter run afterwards.

    Args:
        shorter: Folder of a finished run, made by `run_extension` with `keep_checkpoints`.
        longer: The run; its number format is settled.
        output: Where the longer run's checkpoint folder will stand.

    Returns:
        Whether the run now begins so. It does not where the shorter one kept no state, is another run but for its
        steps, or has as many; where the learning rate of a step depends on the number of steps; or where the longer run
        has begun or is finished.
    """
    finished, begun = OutputFolder(shorter), OutputFolder(output)
    state = finished.final / CHECKPOINTS
    if begun.final.exists() or begun.partial.exists() or not (state.is_dir() and finished.is_finished()):
        return False
    earlier, wanted = read_run(str(finished.run_file)), resolve(longer).run
    steps = earlier.get("train", {}).get("steps", 0)
    as_long = wanted.model_copy(update={"train": wanted.train.model_copy(update={"steps": steps})}).to_toml()
    if wanted.train.schedule != NO_END or steps >= wanted.train.steps or not finished.is_same_run(as_long):
        return False
    begun.prepare(wanted.to_toml(), resume=False, overwrite=False)
    state.rename(begun.partial / CHECKPOINTS)
    return True
