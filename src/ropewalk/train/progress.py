"""What a training step tells: its loss, how fast tokens go by, and the most memory so far."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any, Protocol

import torch
from transformers import TrainerCallback


class StepReport(Protocol):
    """Hears of every optimizer step."""

    def __call__(
        self,
        step: int,
        steps: int,
        loss: float | None,
        *,
        tokens_per_second: float | None = None,
        peak_memory_bytes: int | None = None,
    ) -> None:
        """Step `step` of `steps` is done, with this loss in nats per supervised token."""


class ProgressReport(TrainerCallback):  # type: ignore[misc]
    """Passes each step on."""

    def __init__(self, report: StepReport | None) -> None:
        self.report = report
        self._began, self._seen = 0.0, 0
        self._pace: float | None = None

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Starts the clock of a step."""
        self._began, self._seen = time.monotonic(), state.num_input_tokens_seen

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        """Stops it, before anything is measured or saved."""
        seconds = time.monotonic() - self._began
        self._pace = (state.num_input_tokens_seen - self._seen) / seconds if seconds else None

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, float] | None = None, **___: Any) -> None:
        """Passes the loss of a step on."""
        if not (logs and "loss" in logs and self.report):
            return
        self.report(
            state.global_step,
            state.max_steps,
            float(logs["loss"]),
            tokens_per_second=self._pace,
            peak_memory_bytes=peak_memory_bytes(),
        )


def peak_memory_bytes() -> int:
    """The most memory that this process has held: on its accelerator if there is one, else on the machine."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes everywhere but there
