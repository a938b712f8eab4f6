"""Dynamic NTK: nothing changes inside the trained window; beyond it the base grows with the length of the text.

Paper      emozilla (2023), "Dynamically Scaled RoPE", LocalLLaMA; restated in Peng et al. (2023), arXiv:2309.00071,
           section 3.3.
Equation   new_base(l) = base * max(1, a l / L - (a - 1))^(d / (d - 2))
Symbols    l  tokens of the forward call (its longest position + 1)
           L  rope.trained_length  tokens
           a  alpha                1       1 makes it the NTK-aware base for l / L; transformers calls it `factor`
           d  rope.head_dim        1
Hooks      frequencies, through `at(length)`.
Disagrees  The YaRN paper's s(l) = max(1, l / L) is alpha = 1; the first code and transformers allow any alpha and users
           set it to target_length / trained_length. Our default is 1, because only then are both the same method and
           the stretch at length l no more than l / L. transformers reads L from `max_position_embeddings`: where that
           holds the target length, nothing is ever scaled. vLLM freezes the method at the longest length.
Needs      No training. Keys that are cached after rotation keep the base of the length at which they were made, so
           cached decoding differs from a full forward call, and a score of a text prefix depends on what follows it.
Checked    tests/methods/test_frequency_rules.py: tests/oracles/frequency_rules.py, golden numbers.
           tests/methods/test_agreement_with_transformers.py: transformers' `dynamic`.

>>> from ropewalk.rope import Rope
>>> rope = Rope(head_dim=64, base=1e4, trained_length=4096)
>>> DynamicNtk().stretch(rope)[[0, 15, 31]].tolist()
[1.0, 1.0, 1.0]
>>> DynamicNtk().at(32768).stretch(rope)[[0, 15, 31]].round(2).tolist()
[1.0, 2.74, 8.0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ropewalk.errors import OptionError
from ropewalk.method import Method, Paper, register
from ropewalk.methods.ntk import Ntk
from ropewalk.rope import is_number

if TYPE_CHECKING:
    from ropewalk.rope import Floats, Rope

PAPER = Paper(
    title="Dynamically Scaled RoPE further increases performance of long context LLaMA with zero fine-tuning",
    authors="emozilla",
    year=2023,
    url="https://www.reddit.com/r/LocalLLaMA/comments/14mrgpr/",
)


@register("dynamic-ntk", "dynamic")
@dataclass(frozen=True)
class DynamicNtk(Method):
    """NTK-aware scaling that follows the length of the text.

    Attributes:
        alpha: How fast the base grows beyond the trained window, at least 1; transformers' `factor`.
    """

    paper: ClassVar[Paper] = PAPER
    depends_on_length: ClassVar[bool] = True
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.alpha) or self.alpha < 1:
            raise OptionError(
                f"alpha must be a finite number of at least 1, because below 1 the base would not cover the text; "
                f"got {self.alpha}. 1 follows the length of the text exactly."
            )
        object.__setattr__(self, "alpha", float(self.alpha))

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`, in a forward call within the trained window; see `at` for longer ones."""
        return rope.frequencies

    def at(self, length: int) -> DynamicNtkAt:
        """The static method that a forward call of `length` tokens sees."""
        return DynamicNtkAt(alpha=self.alpha, length=length)


@dataclass(frozen=True)
class DynamicNtkAt(Method):
    """Dynamic NTK frozen at one length.

    Attributes:
        alpha: How fast the base grows beyond the trained window.
        length: Tokens of the forward call.
    """

    name: ClassVar[str] = "dynamic-ntk"
    paper: ClassVar[Paper] = PAPER
    alpha: float
    length: int

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`, in a forward call of this length."""
        return self.static(rope).frequencies(rope)

    def static(self, rope: Rope) -> Ntk:
        """NTK-aware scaling with the same frequencies."""
        return Ntk(factor=max(1.0, self.alpha * self.length / rope.trained_length - (self.alpha - 1.0)))

    def stretch_bound(self, rope: Rope) -> float:
        """The factor of the same NTK-aware scaling."""
        return self.static(rope).factor
