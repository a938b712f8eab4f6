"""Two ways of computing one thing, by turns in one process: CPU seconds and peak memory, the best of a few runs."""

from __future__ import annotations

import ctypes
import gc
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Cost:
    """The least of several runs.

    Attributes:
        cpu_seconds: Of the process, all threads.
        peak_memory_bytes: Highest resident memory during the run above what was resident before it.
    """

    cpu_seconds: float = math.inf
    peak_memory_bytes: float = math.inf


@dataclass(frozen=True)
class Line:
    """One comparison.

    Attributes:
        number: Line of the scorecard.
        name: What was computed.
        peer: What it is compared with.
        shape: Of the model.
        workload: Sizes, in words.
        agreement: What was found equal before the ratio was taken.
        time_ratio, memory_ratio: Peer over ours; above 1 we are cheaper.
        time_limit: The ratio of the multiply-adds that each way does.
        time_target, memory_target: What the project asks for, if anything.
    """

    number: str
    name: str
    peer: str
    shape: str
    workload: str
    agreement: str
    ours: Cost
    theirs: Cost
    time_limit: float
    time_target: float | None = None
    memory_target: float | None = None

    @property
    def time_ratio(self) -> float:
        return self.theirs.cpu_seconds / self.ours.cpu_seconds

    @property
    def memory_ratio(self) -> float:
        return self.theirs.peak_memory_bytes / self.ours.peak_memory_bytes

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "time_ratio": self.time_ratio, "memory_ratio": self.memory_ratio}


def by_turns(
    ours: Callable[[], Any], theirs: Callable[[], Any], agree: Callable[[Any, Any], str], *, repeats: int
) -> tuple[str, Cost, Cost]:
    """Runs both, `repeats` times, one after the other, and gives no cost unless their results agree.

    Args:
        ours: One way.
        theirs: The other.
        agree: Says what is equal about two results, or raises.
        repeats: Runs of each.
    """
    agreement, cost, other = "", Cost(), Cost()
    for _ in range(repeats):
        result, reference = run_once(ours, cost), run_once(theirs, other)
        agreement = agree(result, reference)
    return agreement, cost, other


def run_once(function: Callable[[], Any], cost: Cost) -> Any:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    CLEAR.write_text("5")  # sets the highest resident memory back to the present one
    before, started = _resident("VmRSS"), time.process_time()
    result = function()
    cost.cpu_seconds = min(cost.cpu_seconds, time.process_time() - started)
    cost.peak_memory_bytes = min(cost.peak_memory_bytes, _resident("VmHWM") - before)
    return result


def _resident(field: str) -> int:
    (line,) = (line for line in STATUS.read_text("ascii").splitlines() if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])
