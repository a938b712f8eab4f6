"""Weights of targets that are told from across a gap.

A sampler that skips positions gives a short window long distances, but few targets need them: most are told by the
tokens close before them. EXACT (arXiv:2605.10544) raises the weight of targets whose context in their own document is
long, bucket by bucket. Here one weight is raised, and only where it is known what tells a target: the fact of a recall
task. Nobody knows that of plain text; what can be had for it is what an induction head would read (Olsson et al.,
arXiv:2209.11895): the token after the last place where the same token stood before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.data.recall import NOWHERE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ropewalk.rope import Integers


@dataclass(frozen=True)
class GapWeights:
    """Which targets count for more.

    Attributes:
        weight: Of a target that is told from across a gap, against 1 of all others.
        trained_length: Tokens; a gap is a distance that no two tokens of the original window have.
        repeats: Targets of text that repeat a pair of tokens count as told by the last such pair.
    """

    weight: float
    trained_length: int
    repeats: bool = False

    def of_recall(self, positions: Integers, evidence: Integers) -> NDArray[np.float32]:
        """The weight of each token as a target.

        Args:
            positions: Position numbers, `[window]`.
            evidence: Place in the window of what tells a token, `[window]`, `NOWHERE` where nothing does.

        Returns:
            `[window]`: `weight` where the place that predicts a token, the one before it, stands `trained_length`
            positions or more behind its evidence, else 1.
        """
        weights = np.ones(len(positions), dtype=np.float32)
        distance = positions[:-1] - positions[evidence[1:]]
        weights[1:][(evidence[1:] != NOWHERE) & (distance >= self.trained_length)] = self.weight
        return weights

    def of_text(self, positions: Integers, tokens: Integers, segments: Integers) -> NDArray[np.float32]:
        """The same for a window of text; 1 everywhere unless `repeats`.

        Args:
            positions: Position numbers, `[window]`.
            tokens: `[window]`.
            segments: Number of the document of each token, `[window]`.
        """
        if not self.repeats:
            return np.ones(len(positions), dtype=np.float32)
        return self.of_recall(positions, last_repeats(tokens, segments))


def last_repeats(tokens: Integers, segments: Integers) -> Integers:
    """The place where each token last followed the same token in the same document, `[window]`, or `NOWHERE`."""
    last: dict[tuple[int, int, int], int] = {}
    found = np.full(len(tokens), NOWHERE)
    pairs = zip(tokens[:-1].tolist(), tokens[1:].tolist(), segments[:-1].tolist(), segments[1:].tolist(), strict=True)
    for place, (before, token, segment, own) in enumerate(pairs, start=1):
        if segment == own:
            found[place] = last.get((segment, before, token), NOWHERE)
            last[segment, before, token] = place
    return found
