"""What an evaluation measures: lengths, numbers of samples, tasks. One frozen record, the same for every model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ropewalk.errors import OptionError, unknown_name

TASKS = ("paired", "repeated", "streams", "passkey", "key-value")
TEXT_TASKS = ("paired", "repeated")
FAR_TASKS = ("repeated", "streams")


@dataclass(frozen=True)
class EvaluationPlan:
    """Sizes of an evaluation.

    Attributes:
        lengths: Context lengths in tokens, increasing.
        scored: Target tokens at the end of each text window.
        windows_per_document: Text windows of each document, with disjoint targets.
        repeats_per_document: Windows of each document whose target repeats a chunk from far back.
        streams: Key-value streams whose last records repeat keys from far back.
        depths: Places of the pass key, 0 (start of the context) to 1 (end).
        trials: Pass keys at each depth and length.
        contexts: Key-value contexts at each length.
        keys: Records, and so questions, in each key-value context.
        new_tokens: Tokens that are decoded at most for one answer.
        tasks: What to measure, out of `TASKS`.
        seed: Seed of everything that is drawn.
        batch_tokens: Tokens of one forward, a limit on memory that does not change results.

    Raises:
        OptionError: Sizes with which nothing can be measured.
        UnknownNameError: A task that does not exist.
    """

    lengths: tuple[int, ...] = (256, 512, 1024, 2048)
    scored: int = 128
    windows_per_document: int = 8
    repeats_per_document: int = 2
    streams: int = 16
    depths: tuple[float, ...] = tuple(round(i / 9, 4) for i in range(10))
    trials: int = 3
    contexts: int = 16
    keys: int = 16
    new_tokens: int = 10
    tasks: tuple[str, ...] = TASKS
    seed: int = 0
    batch_tokens: int = 8192

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in TASKS:
                raise unknown_name("measurement", task, TASKS)
        self._check_lengths()
        for depth in self.depths:
            if not 0 <= depth <= 1:
                raise OptionError(f"a depth lies between 0 (start of the context) and 1 (end); got {depth}.")
        for name in ("windows_per_document", "repeats_per_document", "streams", "trials", "contexts", "keys"):
            if getattr(self, name) < 1:
                raise OptionError(
                    f"{name} must be at least 1, because nothing is measured otherwise; got {getattr(self, name)}. "
                    "To leave a measurement out, leave it out of tasks."
                )

    def _check_lengths(self) -> None:
        increasing = all(a < b for a, b in pairwise(self.lengths))
        if not self.lengths or not increasing or self.scored < 1:
            raise OptionError(
                f"lengths must increase and at least one token must be scored; got lengths {list(self.lengths)} and "
                f"{self.scored} scored tokens. An example: lengths 256, 512 and 128 scored tokens."
            )
        if self.lengths[0] <= self.scored:
            raise OptionError(
                f"each length must be above the {self.scored} scored tokens, because these are its last tokens; "
                f"got {self.lengths[0]}. Give a longer length or score fewer tokens."
            )
        if self.measures_far and self.longest - self.near < 2 * self.scored:
            raise OptionError(
                f"what repeats from far back needs {2 * self.scored} tokens between the two lengths that it compares; "
                f"got {self.near} and {self.longest}. Give a longer last length, or leave 'repeated' and 'streams' out."
            )

    @property
    def longest(self) -> int:
        """The longest length, in tokens."""
        return self.lengths[-1]

    @property
    def near(self) -> int:
        """The longest length that cannot see what stands far back: at most half the longest, if there is one."""
        halves = [length for length in self.lengths[:-1] if 2 * length <= self.longest]
        return halves[-1] if halves else self.lengths[0]

    @property
    def measures_far(self) -> bool:
        """Whether far repeats are measured; a single length has nothing to compare with."""
        return len(self.lengths) > 1 and any(task in FAR_TASKS for task in self.tasks)
