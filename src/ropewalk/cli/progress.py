"""Long work on the terminal: stages as lines, steps as a bar with the loss, the speed, the memory and the time left.

All of it goes to standard error, so that standard output holds results only. Where standard error is no terminal, a
line every tenth of the work takes the place of the bar.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ropewalk.cli.output import console

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress, TaskID


WORDS = {
    "paired_nll": "text",
    "repeated_nll": "repeated text",
    "stream_nll": "key-value streams",
    "truncate_nll": "documents, cut",
    "sliding_nll": "documents, sliding",
    "passkey": "pass keys",
    "key_value": "key-value recall",
}
TRAINING = "training"
LABEL_WIDTH = 22
NOTE_WIDTH, TRAINING_NOTE_WIDTH = 11, 33  # "loss 2.345  12.3k tok/s  101.2 GB": the bar must not jump about
WIDEST_BAR, NARROWEST_BAR = 30, 8


class LiveReporter:
    """A reporter for people; a context manager, so that the bar goes away when the work ends."""

    def __init__(self) -> None:
        self.console = console(error=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""
        self._began = (0.0, 0)  # when the labelled work was first heard of, and how much of it was done by then

    def __enter__(self) -> Self:
        from ropewalk.adapters import hide_progress_bars

        hide_progress_bars()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()

    def stage(self, text: str) -> None:
        """A line of its own."""
        self._end_bar()
        self.console.print(text)

    def step(
        self,
        step: int,
        steps: int,
        loss: float | None,
        *,
        tokens_per_second: float | None = None,
        peak_memory_bytes: int | None = None,
    ) -> None:
        """A training step is done.

        Args:
            step: Its number, from 1.
            steps: Of the whole training.
            loss: Nats per supervised token.
            tokens_per_second: Over all devices.
            peak_memory_bytes: The most that has been held so far.
        """
        parts = [
            "" if loss is None else f"loss {loss:.3f}",
            "" if tokens_per_second is None else f"{_short(tokens_per_second)} tok/s",
            "" if peak_memory_bytes is None else f"{peak_memory_bytes / 1e9:.1f} GB",
        ]
        self.advance(TRAINING, step, steps, "  ".join(part for part in parts if part))

    def advance(self, label: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` parts of the labelled work are done."""
        label = WORDS.get(label, label.replace("_", " "))
        if label != self._label:
            self._end_bar()
            self._label, self._began = label, (time.monotonic(), done)
        if not self.console.is_terminal:
            if done == total or done % max(1, total // 10) == 0:
                left = f"  {self._time_left(done, total)}" if label == TRAINING else ""
                self.console.print(f"{label} {done} of {total} {note}{left}".rstrip())
            return
        if self._bar is None:
            self._start_bar(label, total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, note=note)

    def _start_bar(self, label: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        name, note = (len(label), TRAINING_NOTE_WIDTH) if label == TRAINING else (LABEL_WIDTH, NOTE_WIDTH)
        counts, clock, gaps = 2 * len(str(total)) + 1, len("0:00:00"), 4
        room = self.console.width - name - note - counts - clock - gaps
        self._bar = Progress(
            TextColumn(f"{{task.description:<{name}}}"),
            BarColumn(bar_width=max(NARROWEST_BAR, min(WIDEST_BAR, room))),
            MofNCompleteColumn(),
            TextColumn(f"{{task.fields[note]:<{note}}}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self._bar.start()
        self._task = self._bar.add_task(label, total=total, note="")

    def _time_left(self, done: int, total: int) -> str:
        """At the speed since the labelled work was first heard of; nothing at its first part."""
        since, first = self._began
        if done == first:
            return ""
        seconds = round((time.monotonic() - since) * (total - done) / (done - first))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._label = None, None, ""


def _short(number: float) -> str:
    """A speed in at most six characters, up to a million."""
    return f"{number:,.0f}" if number < 10_000 else f"{number / 1000:,.1f}k"
