"""A run on several processes: what the first does alone, and how the others learn of it.

`accelerate launch` and `torchrun` start one process for each device. All of them load and train; the first alone
chooses, writes, measures and prints.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ropewalk.errors import RopewalkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from accelerate import PartialState

Value = TypeVar("Value")
# The first process alone reads and tokenises a corpus, which may take longer than the half hour that others wait for.
PATIENCE = timedelta(hours=6)
REFUSED = 2


def started_together() -> bool:
    """Whether a launcher started several processes; told from its environment, without importing torch."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def spreads_weights() -> bool:
    """Whether the launcher asked for FSDP or DeepSpeed, which spread the weights over the devices."""
    spread = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in spread)


def process_state() -> PartialState:
    """Accelerate's state of this process among all; where there is no accelerator, processes talk through gloo."""
    import torch
    from accelerate import PartialState

    patience = {"timeout": PATIENCE} if started_together() else {}
    if torch.cuda.is_available():
        return PartialState(**patience)
    return PartialState(cpu=True, **({"backend": "gloo", **patience} if patience else {}))


def shared(value: Any) -> Any:
    """The first process's value, on all of them; waits for it.

    Args:
        value: Anything that pickles; what the other processes pass does not matter.
    """
    if not started_together():
        return value
    from accelerate.utils import broadcast_object_list

    process_state()
    return broadcast_object_list([value])[0]


def on_first(work: Callable[[], Value]) -> Value:
    """Does something on the first process alone, and gives its value to all.

    Raises:
        RopewalkError: What the work raised, on the first process.
        SystemExit: On the others, so that one refusal is printed once.
    """
    if not started_together():
        return work()
    value, error = None, None
    if is_first():
        try:
            value = work()
        except RopewalkError as refusal:
            error = refusal
    value, error = shared((value, error))
    if error is not None:
        leave_the_others()  # all have heard; a process that ends with the group open may be aborted
        raise error if is_first() else SystemExit(REFUSED)
    return value  # type: ignore[no-any-return]


def leave_the_others() -> None:
    """Ends the talk between processes: from here on the first works alone, and the others may end."""
    if started_together():
        process_state().destroy_process_group()


def data_parallel_size() -> int:
    """How many processes read different windows: all of them, over those that share one."""
    return int(process_state().num_processes // (_size("TP") * _size("CP") * _size("SP")))


def shares_windows() -> bool:
    """Whether several devices hold one window together: context or sequence parallelism."""
    return _size("CP") > 1 or _size("SP") > 1


def _size(way: str) -> int:
    """Processes in a group of tensor, context or sequence parallelism, as `accelerate launch` wrote it down."""
    return int(os.environ.get(f"PARALLELISM_CONFIG_{way}_SIZE", "1"))
