"""What a bridge takes, worked out before any work: memory of a training step, and hours of the whole.

    seconds = operations / (share x rate) + overhead x cells        (operations: `ropewalk.analysis.compute`)

`rate` is what this device reaches in one large matrix product, measured; `share` of it is what training and measuring
are expected to reach, because attention, the optimizer and answers that are decoded token by token reach less. An
evaluation is counted as if every token had a context of the target length. The number of steps is the largest that fits
into the time, so it is settled once for a study: a study that goes on keeps that of its cells.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ropewalk.analysis.compute import forward_work, training_work
from ropewalk.analysis.memory import estimate, longest_window
from ropewalk.cells.exams import tokens_of
from ropewalk.cells.runs import recipe
from ropewalk.cells.sharing import held
from ropewalk.errors import MemoryShortageError, OptionError
from ropewalk.evals.store import write_text
from ropewalk.reproduce.bridge.cells import bridge_cells
from ropewalk.reproduce.bridge.order import SUITED
from ropewalk.reproduce.bridge.texts import NO_TEXTS
from ropewalk.train.memory_errors import available_bytes, step_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ropewalk.cells.cell import Cell
    from ropewalk.reproduce.bridge.order import Frame

SHARE = 0.3  # of the rate of a large product
OVERHEAD_SECONDS = 30.0  # of a cell: reading, testing itself, saving
STEPS = "steps"  # the file that holds those of all cells


@dataclass(frozen=True)
class Budget:
    """What is spent on what.

    Attributes:
        steps: Of each cell that is compared at equal tokens.
        hours: Of the whole study, by the estimate.
        cells: Number of models.
        rate: Operations a second of a large product.
    """

    steps: int
    hours: float
    cells: int
    rate: float

    def __str__(self) -> str:
        return (
            f"{self.cells} models, {self.steps} steps each where tokens are equal: about {self.hours:.1f} hours "
            f"({SHARE:.0%} of {self.rate / 1e12:,.3g} TFLOP/s, as measured here, and {OVERHEAD_SECONDS:.0f} s a model)"
        )


def budget_of(frame: Frame, rate: float, hours: float, *, on_processor: bool, settled: int | None = None) -> Budget:
    """As many steps as fit.

    Args:
        frame: Model, lengths, sizes.
        rate: Operations a second of a large product on this device.
        hours: What the whole may take.
        on_processor: There is no accelerator, which a refusal says.
        settled: Steps of a study that goes on; they are never refused.

    Raises:
        OptionError: Not even the fewest steps fit.
    """
    one, two = (seconds(frame, bridge_cells(frame, NO_TEXTS, steps), rate) for steps in (1, 2))
    a_step, fixed = two - one, 2 * one - two
    count = len(bridge_cells(frame, NO_TEXTS, 1))

    def budget(steps: int) -> Budget:
        return Budget(steps, (fixed + steps * a_step) / 3600, count, rate)

    if settled is not None:
        return budget(settled)
    most = recipe("bridge", model=frame.model, train=frame.sizes.train).train.steps
    steps = min(most, int((3600 * hours - fixed) / a_step))
    fewest = min(most, frame.sizes.fewest_steps)
    if steps < fewest:
        missing = " No accelerator was found here." if on_processor else ""
        fewer = "--quick for one seed, " if frame.sizes.seeds > 1 else ""
        raise OptionError(
            f"a bridge must end within {hours:g} hours; '{frame.model}' at {frame.target_length:,} tokens needs at "
            f"least {budget(fewest)}.{missing} Choose a shorter --target, {fewer}a smaller model or one with a shorter "
            f"window such as {SUITED}, or allow more with --hours {budget(fewest).hours * 1.05:.1f}."
        )
    return budget(steps)


def seconds(frame: Frame, cells: tuple[Cell, ...], rate: float) -> float:
    """Seconds of all cells, by the formula above."""
    return sum(operations(frame, cell) for cell in cells) / (SHARE * rate) + OVERHEAD_SECONDS * len(cells)


def operations(frame: Frame, cell: Cell) -> float:
    """Operations of training and measuring a cell."""
    measured = tokens_of(cell.exams) * forward_work(frame.shape, frame.target_length).total
    if cell.run is None:
        return measured
    train, window = cell.run.train, cell.run.data.window or frame.target_length
    checkpointing = train.activation_checkpointing != "off"
    a_token = training_work(frame.shape, window, activation_checkpointing=checkpointing)
    return measured + train.steps * train.batch * window * a_token.total


def settled_steps(folder: Path) -> int | None:
    """The steps of a study that was begun; None where there is none."""
    with suppress(OSError, ValueError):
        return int((folder / STEPS).read_text("utf-8"))
    return None


def settle_steps(folder: Path, steps: int) -> int:
    """Writes the steps down for all who work at the study; those of the first to do so are returned.

    They rest on a clock: two processes that begin together would find different ones.
    """
    with held(STEPS, folder):
        found = settled_steps(folder)
        if found is None:
            write_text(folder / STEPS, f"{steps}\n")
    return steps if found is None else found


def require_memory(frame: Frame, precision: str, device: torch.device) -> None:
    """Raises MemoryShortageError if a step at the target length does not fit the device."""
    entries = {**frame.sizes.train, "precision": precision}
    step = step_of(
        recipe("bridge", model=frame.model, train=entries).train, frame.shape, frame.target_length, device=device
    )
    step = replace(step, packed=True)
    needed, available = estimate(frame.shape, step).total, available_bytes(device)
    if needed <= available:
        return
    longest = longest_window(frame.shape, step, available) // frame.trained_length * frame.trained_length
    advice = f"--target {longest}" if longest > frame.trained_length else f"a smaller model such as {SUITED}"
    raise MemoryShortageError(
        f"a training step of the bridge must fit the memory of its device; one of {frame.target_length:,} tokens of "
        f"'{frame.model}' needs about {needed / 1e9:,.1f} GB, and the device has {available / 1e9:,.1f} GB. Choose "
        f"{advice}, or a larger device."
    )
