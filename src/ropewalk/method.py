"""What an extension method is: two hooks, each of which defaults to "no change".

A method is a frozen dataclass under `@register("name")` in a file of its own in `ropewalk/methods/`; the file name is
the registered name with underscores. Its fields are its parameters. Nothing else must be edited: the command line,
`docs/methods.md`, and the contract tests find it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ropewalk.errors import OptionError, unknown_name
from ropewalk.register import Paper, Register, Registered
from ropewalk.rope import checked_factor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ropewalk.rope import Floats, Integers, Rope

__all__ = ["METHODS", "FactorMethod", "Method", "OverlayMethod", "Paper", "register"]


@dataclass(frozen=True)
class Method(Registered):
    """Base of all methods: changes nothing. Subclasses override the hooks they change.

    Class attributes:
        paper: Where it was published.
        depends_on_length: The frequencies change with the longest position of a forward call (dynamic NTK), so that
            caches and nested measurements are not exact; `at(length)` gives the static method of one length.
        scale_varies: The attention scale differs between positions or layers.
        sampler: Name of the training-position sampler that a preset brings along, or None for contiguous positions.
        exemptions: Names of contract laws that the method breaks on purpose, each with its reason.
    """

    paper: ClassVar[Paper]
    depends_on_length: ClassVar[bool] = False
    scale_varies: ClassVar[bool] = False
    sampler: ClassVar[str | None] = None
    exemptions: ClassVar[Mapping[str, str]] = {}

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token after the extension, `[pairs]`, fastest pair first."""
        return rope.frequencies

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """What the *logits* of a query at each position are multiplied by.

        Args:
            rope: The trained geometry.
            positions: 0-based query positions, any shape.
            layer: 0-based layer index.

        Returns:
            Factors of the same shape as `positions`.
        """
        del rope, layer
        return np.ones(np.shape(positions), dtype=np.float64)

    def at(self, length: int) -> Method:
        """The static method that a forward call of `length` tokens sees; self unless `depends_on_length`."""
        del length
        return self

    def stretch(self, rope: Rope) -> Floats:
        """How many times slower each pair turns than before, `[pairs]`; infinite for a pair that stands still."""
        with np.errstate(divide="ignore"):
            return rope.frequencies / self.frequencies(rope)

    def stretch_bound(self, rope: Rope) -> float:
        """The largest stretch that the method may give a pair: the factor, unless a method says otherwise."""
        del rope
        return float(getattr(self, "factor", 1.0))

    @classmethod
    def neutral(cls, rope: Rope) -> Self:
        """The setting that changes nothing for `rope`."""
        return cls.for_target(rope, rope.trained_length)

    @classmethod
    def for_target(cls, rope: Rope, target_length: int, options: Mapping[str, Any] | None = None) -> Self:
        """The method for going from the trained window to `target_length` tokens.

        A `factor` that is not given becomes `target_length / trained_length`.

        Raises:
            UnknownNameError: An option that the method does not have.
            OptionError: A value that the method cannot use.
        """
        chosen = dict(options or {})
        for key in chosen:
            if key not in cls.option_names():
                raise unknown_name(f"option of method '{cls.name}'", key, cls.option_names())
        if "factor" in cls.option_names():
            chosen.setdefault("factor", target_length / rope.trained_length)
        method = cls(**chosen)
        method.frequencies(rope)
        return method

    @classmethod
    def example(cls, rope: Rope, target_length: int) -> Self:
        """A setting to show and to test the method with: `for_target`, unless it needs options without a default."""
        return cls.for_target(rope, target_length)

    def describe(self, rope: Rope) -> str:
        """One phrase for people, such as `yarn, factor 8`; methods with derived numbers add them."""
        del rope
        shown = [f"{key.replace('_', ' ')} {_brief(value)}" for key, value in self._changed_options().items()]
        return ", ".join([self.name, *shown])

    def _changed_options(self) -> dict[str, Any]:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {k: v for k, v in self.options.items() if k == "factor" or v != defaults[k]}


def _brief(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{len(value)} numbers]"
    return str(value)


METHODS: Register[Method] = Register("method", "ropewalk.methods")
register = METHODS.enter


@dataclass(frozen=True)
class FactorMethod(Method):
    """Base of the methods that stretch by a given factor.

    Attributes:
        factor: target_length / trained_length, at least 1.
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", checked_factor(self.factor))


@dataclass(frozen=True)
class OverlayMethod(FactorMethod):
    """Base of the methods that change one thing and leave the rest to another method.

    Attributes:
        factor: target_length / trained_length, at least 1; what the other method stretches by.
        over: Name of the other method, at its default options; `none` is the embedding as it was trained.
    """

    over: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        other = METHODS.get(self.over)
        if other is None:
            raise unknown_name("method", str(self.over), METHODS)
        if other.scale_varies or other.depends_on_length or other.sampler or issubclass(other, OverlayMethod):
            raise OptionError(
                f"over must name a method with fixed frequencies, one attention scale and no training positions of its "
                f"own, because '{self.name}' is laid over it; got '{self.over}'. Use none, linear, ntk, ntk-by-parts, "
                "yarn, abf or llama3."
            )

    @property
    def underlying(self) -> Method:
        """The other method."""
        other = METHODS[self.over]
        options: dict[str, Any] = {"factor": self.factor} if "factor" in other.option_names() else {}
        return other(**options)

    def frequencies(self, rope: Rope) -> Floats:
        """Radians per token, `[pairs]`: those of the other method, unless a method overrides this."""
        return self.underlying.frequencies(rope)

    def attention_scale(self, rope: Rope, positions: Integers, layer: int) -> Floats:
        """The other method's scale on logits, unless a method overrides this."""
        return self.underlying.attention_scale(rope, positions, layer)

    def stretch_bound(self, rope: Rope) -> float:
        """The other method's bound, unless a method overrides this."""
        return self.underlying.stretch_bound(rope)
