"""What an evaluation measures: lengths, numbers of samples, tasks. One frozen record, the same for every model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from ropewalk.data import retrieval
from ropewalk.errors import OptionError, unknown_name
from ropewalk.evals.perplexity_protocol import PerplexityProtocol

DEPTH_DIGITS = 4  # to which samples say where a fact stands
TASKS = ("paired", "repeated", "streams", "passkey", "key-value")
PERPLEXITY_TASKS = ("truncate", "sliding")
TEXT_TASKS = ("paired", "repeated", *PERPLEXITY_TASKS)
FAR_TASKS = ("repeated", "streams")


def known_tasks() -> tuple[str, ...]:
    """Every task by name: those of text and key-value streams first, then the battery of retrieval tasks."""
    ours = (*PERPLEXITY_TASKS, *TASKS)
    return (*ours, *(name for name in retrieval.names() if name not in ours))


@dataclass(frozen=True)
class EvaluationPlan:
    """Sizes of an evaluation.

    Attributes:
        lengths: Context lengths in tokens, increasing.
        scored: Target tokens at the end of each text window.
        documents: Texts that are read, chosen at random by the seed among those that are long enough; None reads all.
        windows_per_document: Text windows of each document, with disjoint targets.
        repeats_per_document: Windows of each document whose target repeats a chunk from far back.
        streams: Key-value streams whose last records repeat keys from far back.
        stride: Tokens by which the windows of `sliding` move; an eighth of the longest length if not given, and never
            more than the shortest.
        document_windows: Text that `sliding` reads of each document, in longest lengths from its start; None reads all.
        released_code: Perplexities average over windows and not over tokens, as released code of papers does.
        depths: Places of the pass key, 0 (start of the context) to 1 (end).
        trials: Pass keys at each depth and length.
        contexts: Key-value contexts at each length.
        keys: Records, and so questions, in each key-value context.
        battery_contexts: Contexts at each length of every other retrieval task.
        new_tokens: Tokens that are decoded at most for one answer to `passkey` and `key-value`.
        tasks: What to measure, out of `known_tasks()`.
        seed: Seed of everything that is drawn.
        batch_tokens: Tokens of one forward, a limit on memory that does not change results.

    Raises:
        OptionError: Sizes with which nothing can be measured.
        UnknownNameError: A task that does not exist.
    """

    lengths: tuple[int, ...] = (256, 512, 1024, 2048)
    scored: int = 128
    documents: int | None = None
    windows_per_document: int = 8
    repeats_per_document: int = 2
    streams: int = 16
    stride: int | None = None
    document_windows: int | None = None
    released_code: bool = False
    depths: tuple[float, ...] = tuple(round(i / 9, DEPTH_DIGITS) for i in range(10))
    trials: int = 3
    contexts: int = 16
    keys: int = 16
    battery_contexts: int = 16
    new_tokens: int = 10
    tasks: tuple[str, ...] = TASKS
    seed: int = 0
    batch_tokens: int = 4096

    def __post_init__(self) -> None:
        known = known_tasks()
        for task in self.tasks:
            if task not in known:
                raise unknown_name("measurement", task, known)
        self._check_lengths()
        for depth in self.depths:
            if not 0 <= depth <= 1:
                raise OptionError(f"a depth lies between 0 (start of the context) and 1 (end); got {depth}.")
        sizes = ("windows_per_document", "repeats_per_document", "streams", "trials", "contexts", "keys")
        for name in (*sizes, "documents", "battery_contexts", "stride", "document_windows"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
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

    @property
    def battery(self) -> tuple[str, ...]:
        """The retrieval tasks that are not measured in a way of their own."""
        return tuple(task for task in self.tasks if task not in (*PERPLEXITY_TASKS, *TASKS))

    @property
    def protocols(self) -> tuple[PerplexityProtocol, ...]:
        """The perplexity protocols that are asked for."""
        protocol = partial(
            PerplexityProtocol,
            lengths=self.lengths,
            released_code=self.released_code,
            batch_tokens=self.batch_tokens,
        )
        found = []
        if "truncate" in self.tasks:
            found.append(protocol())
        if "sliding" in self.tasks:
            text = None if self.document_windows is None else self.document_windows * self.longest
            stride = self.stride or max(1, self.longest // 8)
            found.append(protocol(stride=min(stride, self.lengths[0]), max_tokens=text))
        return tuple(found)
