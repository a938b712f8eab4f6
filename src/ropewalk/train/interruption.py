"""Ctrl-C and SIGTERM end a run at a step's border, with a checkpoint; on all processes at the same step."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Ends the run, with a checkpoint, after the step in which a signal arrived at any process."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.accelerator: Accelerator | None = None

    def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
        """Stops here if a signal arrived."""
        if self._agreed():
            self.asked.set()  # also where none arrived, so that no process takes the run for finished
            if state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = True

    def _agreed(self) -> bool:
        """Signals reach processes at different moments; one that went on alone would wait for the others for ever."""
        asked = self.asked.is_set()
        if self.accelerator is None or self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)


@contextmanager
def signals_set(event: threading.Event) -> Iterator[None]:
    """Within, the first Ctrl-C or SIGTERM sets the event, and a second one acts as it would without us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def on_signal(*_: object) -> None:
        event.set()
        restore()

    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()
