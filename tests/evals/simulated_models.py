"""Models that exist only as probabilities: what they answer is drawn, and what they can do is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Truth = Callable[[str, int, int], float]


@dataclass
class SimulatedModel:
    """Answers right with a known probability in each cell; a context is the same on every call.

    Attributes:
        truth: (task, length, tenth) to the probability of a right answer.
        seed: Of everything that is drawn.
        failing: Probability that a sample fails.
        tenths: Tenths that each context asks about.
        asked: (task, length) to the contexts asked about so far, in order.
    """

    truth: Truth
    seed: int = 0
    failing: float = 0.0
    tenths: Sequence[int] = tuple(range(10))
    asked: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def __call__(self, task: str, length: int, start: int, count: int) -> list[Mapping[int, float | None]]:
        self.asked.setdefault((task, length), []).extend(range(start, start + count))
        return [self._answers(task, length, number) for number in range(start, start + count)]

    def _answers(self, task: str, length: int, number: int) -> dict[int, float | None]:
        rng = np.random.default_rng((self.seed, *task.encode(), length, number))
        draws = rng.random((len(self.tenths), 2))
        return {
            tenth: None if fails < self.failing else float(right < self.truth(task, length, tenth))
            for tenth, (right, fails) in zip(self.tenths, draws, strict=True)
        }


def everywhere(share: float) -> Truth:
    """The same share of right answers in every cell."""
    return lambda task, length, tenth: share


def readable_up_to(limit: int, share: float = 0.98) -> Truth:
    """A model that sees only the last `limit` tokens: facts further back are guessed."""
    return lambda task, length, tenth: share if (10 - tenth) * length <= 10 * limit else 0.02
