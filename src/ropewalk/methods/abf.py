"""Adjusted base frequency: a larger base, chosen once and not by the target length.

Paper      Xiong et al. (2023), arXiv:2309.16039, section 4.1.
Equation   new_i = B^(-2 i / d)
Symbols    B  base           1  the new base; default 50 times the old one, which is the paper's 500 000 for 10 000
           d  rope.head_dim  1
Hooks      frequencies. The factor is ignored: stretch grows from 1 to (B / base)^((d - 2) / d) over the pairs.
Disagrees  The Entropy-ABF paper's prose says 50,000 twice; its table and its code say 500,000, as does Xiong et al.
Needs      Fine-tuning in the paper; works untrained with loss of quality.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py, golden numbers.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> Abf().stretch(rope)[[0, 15, 31]].round(2).tolist()
[1.0, 6.26, 44.25]
>>> Abf().describe(rope)
'abf, base 500000 (was 10000)'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from ropewalk.errors import OptionError
from ropewalk.method import Method, Paper, register
from ropewalk.rope import checked_positive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ropewalk.rope import Floats, Rope

DEFAULT_RATIO = 50.0


@register("abf")
@dataclass(frozen=True)
class Abf(Method):
    """Adjusted base frequency.

    Attributes:
        base: The new base (`rope_theta`); None for 50 times the model's own.
    """

    paper: ClassVar[Paper] = Paper(
        title="Effective Long-Context Scaling of Foundation Models",
        authors="Wenhan Xiong and Jingyu Liu and Igor Molybog and Hejia Zhang and Prajjwal Bhargava and others",
        year=2023,
        arxiv="2309.16039",
    )
    base: float | None = None

    def __post_init__(self) -> None:
        if self.base is not None:
            object.__setattr__(self, "base", checked_positive("base", self.base, "frequencies are powers of it"))

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: those of the new base.

        Raises:
            OptionError: The new base is below the old one.
        """
        return replace(rope, base=self.new_base(rope)).frequencies

    def new_base(self, rope: Rope) -> float:
        """The new base, in the place of `rope.base`.

        Raises:
            OptionError: The new base is below the old one.
        """
        base = DEFAULT_RATIO * rope.base if self.base is None else self.base
        if base < rope.base:
            raise _not_above(base, rope)
        return base

    def stretch_bound(self, rope: Rope) -> float:
        """The ratio of the bases: the base is chosen freely, so no factor bounds it."""
        return self.new_base(rope) / rope.base

    def describe(self, rope: Rope) -> str:
        """Such as `abf, base 500000 (was 10000)`: the base is always shown, because it is derived."""
        return f"{self.name}, base {self.new_base(rope):.9g} (was {rope.base:.9g})"

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """The old base."""
        return cls(base=rope.base)

    @classmethod
    def for_target(cls, rope: Rope, target_length: int, options: Mapping[str, Any] | None = None) -> Self:
        """The method for a model; the target length does not enter.

        Raises:
            UnknownNameError: An option that the method does not have.
            OptionError: The new base is not above the old one.
        """
        method = super().for_target(rope, target_length, options)
        if method.new_base(rope) <= rope.base:
            raise _not_above(method.new_base(rope), rope)
        return method


def _not_above(base: float, rope: Rope) -> OptionError:
    return OptionError(
        f"base must be above the model's own base of {rope.base:.9g}, because a smaller one makes pairs turn faster "
        f"and shortens the window; got {base:.9g}. The default is {DEFAULT_RATIO:g} x {rope.base:.9g} = "
        f"{DEFAULT_RATIO * rope.base:.9g}."
    )
