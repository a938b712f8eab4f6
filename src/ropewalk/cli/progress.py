"""Long work on the terminal: stages as lines, steps as a bar with the loss and the time that is left.

All of it goes to standard error, so that standard output holds results only. Where standard error is no terminal, a
line every tenth of the work takes the place of the bar.
"""

from __future__ import annotations

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


class LiveReporter:
    """A reporter for people; a context manager, so that the bar goes away when the work ends."""

    def __init__(self) -> None:
        self.console = console(error=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""

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

    def step(self, step: int, steps: int, loss: float | None) -> None:
        """A training step is done."""
        self.advance("training", step, steps, "" if loss is None else f"loss {loss:.3f}")

    def advance(self, label: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` parts of the labelled work are done."""
        label = WORDS.get(label, label.replace("_", " "))
        if not self.console.is_terminal:
            if done == total or done % max(1, total // 10) == 0:
                self.console.print(f"{label} {done} of {total} {note}".rstrip())
            return
        if self._bar is None or label != self._label:
            self._end_bar()
            self._start_bar(label, total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, note=note)

    def _start_bar(self, label: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]:<11}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        )
        self._bar.start()
        self._task, self._label = self._bar.add_task(label, total=total, note=""), label

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._label = None, None, ""
