"""Which methods suit a model, by three properties of their frequency vectors that need no measurement.

An angle that training never showed is what breaks a model beyond its window, so no pair should meet one. A fast pair
that is slowed down makes neighbours harder to tell apart, which training has to mend: the price of Position
Interpolation. And where resembling tokens are no longer preferred, retrieval may fail however good the perplexity is;
this third one is said and decides nothing, because models exceed it inside the window that they were trained with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ropewalk import methods
from ropewalk.analysis.geometry import base_bound, critical_dimension, reach
from ropewalk.analysis.pairs import pairs_beyond_training
from ropewalk.errors import RopewalkError
from ropewalk.result import Geometry, Suitability

if TYPE_CHECKING:
    from ropewalk.method import Method
    from ropewalk.result.plan import Suits
    from ropewalk.rope import Rope

SLOWED = 1.001  # of the fastest pair; by less is rounding
ORDER: tuple[Suits, ...] = ("suits", "after training", "in part")
# Among methods that suit alike, those that most published models were extended by come first.
PREFERRED = ("yarn", "llama3", "ntk-by-parts", "entropy-abf", "abf", "linear", "ntk")


def geometry_of(rope: Rope, target_length: int) -> Geometry:
    """What a model's rotary geometry says of a target length."""
    return Geometry(
        head_dim=rope.head_dim,
        base=rope.base,
        trained_length=rope.trained_length,
        target_length=target_length,
        trained_pair_fraction=rope.trained_pair_fraction,
        critical_dimension=critical_dimension(rope),
        base_bound=base_bound(rope.head_dim, target_length),
        reach=reach(rope.frequencies, target_length),
    )


def suitable_methods(rope: Rope, target_length: int) -> tuple[Suitability, ...]:
    """Every static method that can go to a target length, those that suit first."""
    found = [one for name in methods.names() if (one := _suitability(name, rope, target_length)) is not None]
    return tuple(sorted(found, key=lambda one: (ORDER.index(one.suits), _preference(one.method), one.method)))


def _preference(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _suitability(name: str, rope: Rope, target_length: int) -> Suitability | None:
    """None for what stands for no frequency vector of its own, needs options, or changes with the length."""
    cls = methods.get(name)
    if name == "none" or cls.sampler is not None or cls.depends_on_length:
        return None
    try:
        method = cls.for_target(rope, target_length)
    except RopewalkError:
        return None
    return judged(name, method, rope, target_length)


def judged(name: str, method: Method, rope: Rope, target_length: int) -> Suitability:
    """How one method fits.

    Args:
        name: What it is called.
        method: With its numbers.
        rope: The trained geometry.
        target_length: Tokens of the new window.
    """
    frequencies = method.frequencies(rope)
    new_angles = len(pairs_beyond_training(rope, frequencies, target_length))
    fastest, far = float(method.stretch(rope)[0]), reach(frequencies, target_length)
    reasons = []
    if new_angles:
        reasons.append(f"{new_angles} of {rope.pairs} pairs meet angles that training never showed")
    if math.isinf(fastest):
        reasons.append("no pair turns any more: the causal mask alone tells positions, once it is tuned")
    elif fastest > SLOWED:
        reasons.append(f"the fastest pair turns {fastest:.3g} times slower, so neighbours look alike until it is tuned")
    if far < target_length:
        reasons.append(f"resembling tokens are preferred up to {far:,} tokens")
    tuned: Suits = "after training" if fastest > SLOWED else "suits"
    suits: Suits = "in part" if new_angles else tuned
    return Suitability(
        method=name,
        described=method.describe(rope),
        suits=suits,
        new_angles=new_angles,
        fastest_stretch=None if math.isinf(fastest) else fastest,
        reach=far,
        because="; ".join(reasons) or "no new angles, and fast pairs turn as they did",
    )
