"""LongRoPE's evolution over the stretches of all pairs.

Paper      Ding et al. (2024), arXiv:2402.13753, section 3.2 and algorithm 1; released search code.
Population 64 vectors, seeded by PI, NTK-aware and YaRN and by mutations of these; each generation the best 32 are
           parents of 16 mutants and 16 crossings.
Mutation   every stretch is drawn anew with probability 0.3, on a grid of 0.01 within [1, 1.25 s].
Crossing   every stretch comes from either of two parents with equal probability.
Constraint stretches do not fall from fast pairs to slow ones; a child that breaks it is sorted, where theirs draws
           again until one does not (with 32 pairs hardly any draw does).
Left out   the unscaled first tokens: their scores are not relative across the border, and no engine carries them.
Ours       numbers and names of generations are arguments; a seed fixes every draw, so that a search that was stopped
           and has its measurements remembered goes through the same candidates. Those of a generation are known
           before any of them is measured, so that several processes can share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ropewalk.rope import Floats

STEP = 0.01
HIGHEST = 1.25  # times the factor


@dataclass(frozen=True)
class Evolution:
    """Sizes of the search; the paper's by default.

    Attributes:
        population: Vectors of the first generation.
        parents: The best so many of all that were seen have children.
        mutants, crossings: Children of each generation.
        probability: Of a stretch to be drawn anew.
        generations: After the first.
        seed: Of all draws.
    """

    population: int = 64
    parents: int = 32
    mutants: int = 16
    crossings: int = 16
    probability: float = 0.3
    generations: int = 40
    seed: int = 0

    @property
    def evaluations(self) -> int:
        """Vectors that are measured in all."""
        return self.population + self.generations * (self.mutants + self.crossings)

    def search(
        self, seeds: Sequence[Floats], factor: float, measure: Callable[[Sequence[Floats]], Sequence[float]]
    ) -> list[tuple[Floats, float]]:
        """Every candidate with its loss, in the order of the search.

        Args:
            seeds: Stretches to begin with, each `[pairs]`.
            factor: Target over trained length; no stretch lies above 1.25 times it.
            measure: The losses of a generation, each by the stretches of all pairs; smaller is better.
        """
        rng = np.random.default_rng((self.seed, 0x10A6))
        first = self._first(seeds, factor, rng)
        seen = list(zip(first, measure(first), strict=True))
        for _ in range(self.generations):
            parents = [stretch for stretch, _ in sorted(seen, key=lambda one: one[1])[: self.parents]]
            children = [*self._mutants(parents, factor, rng), *self._crossings(parents, rng)]
            seen += zip(children, measure(children), strict=True)
        return seen

    def _first(self, seeds: Sequence[Floats], factor: float, rng: np.random.Generator) -> list[Floats]:
        first = [_allowed(seed, factor) for seed in seeds][: self.population]
        missing = self.population - len(first)
        return first + [self._mutant(first[index % len(first)], factor, rng) for index in range(missing)]

    def _mutants(self, parents: Sequence[Floats], factor: float, rng: np.random.Generator) -> list[Floats]:
        return [self._mutant(parents[int(rng.integers(len(parents)))], factor, rng) for _ in range(self.mutants)]

    def _mutant(self, parent: Floats, factor: float, rng: np.random.Generator) -> Floats:
        drawn = 1.0 + STEP * rng.integers(0, round((HIGHEST * factor - 1.0) / STEP) + 1, size=len(parent))
        return _allowed(np.where(rng.random(len(parent)) < self.probability, drawn, parent), factor)

    def _crossings(self, parents: Sequence[Floats], rng: np.random.Generator) -> list[Floats]:
        children = []
        for _ in range(self.crossings):
            one, other = (parents[int(rng.integers(len(parents)))] for _ in range(2))
            children.append(np.sort(np.where(rng.random(len(one)) < 0.5, one, other)))
        return children


def _allowed(stretch: Floats, factor: float) -> Floats:
    """Stretches within their bounds that do not fall from fast pairs to slow ones."""
    return np.sort(np.clip(stretch, 1.0, HIGHEST * factor))
