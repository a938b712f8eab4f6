"""Inference maps: which distance a query is told instead of the true one, so that none exceeds the trained window.

A map needs no training and changes no weight. It cannot be written into a config either, because it is two rotary
embeddings at once: keys near the query keep their true distance, keys farther off are scored a second time at mapped
positions, and the second score is taken. No engine's fused attention does that, so maps are for comparison and for
teaching: `ropewalk.load(..., inference_map=...)` computes them plainly, and nothing exports them.

The computation takes rows without padding whose positions count on by one, in eager or sdpa attention, on a checkpoint
that nothing has extended; layers that slide over a window are left alone. Saving such a model is refused.

Distances are query position minus key position, in tokens. Everything here is NumPy float64.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ropewalk.errors import OptionError, unknown_name
from ropewalk.register import Paper

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ropewalk.rope import Floats, Integers, Rope


@dataclass(frozen=True)
class RelativeMap:
    """Base of the maps: true distances below a window, mapped ones from there on.

    Class attributes:
        name: What the command line and `ropewalk.load` call it.
        idea: One sentence.
        equation: What a distance of at least `window` becomes, in the paper's terms.
        disagrees: Where paper and released code differ, and what is done here.
        paper: Where it was published.
        windows_per_trained: The default window is the trained one divided by this.

    Attributes:
        window: Keys nearer than so many tokens keep their distance.
        scaled: Whether logits are multiplied by max(1, ln n / ln L) for query n, counted from 1.
    """

    name: ClassVar[str]
    idea: ClassVar[str]
    equation: ClassVar[str]
    disagrees: ClassVar[str]
    paper: ClassVar[Paper]
    windows_per_trained: ClassVar[int] = 8

    window: int
    scaled: bool = True

    def __post_init__(self) -> None:
        check_whole("window", self.window, "keys nearer than it keep their distance")
        if not isinstance(self.scaled, bool):
            raise OptionError(
                f"scaled must be true or false, because logits are scaled or they are not; got {self.scaled}."
            )

    @classmethod
    def for_rope(cls, rope: Rope, options: Mapping[str, Any] | None = None) -> Self:
        """The map for a model; a window that is not given is the same share of the trained one as in the release.

        Raises:
            UnknownNameError: An option that the map does not have.
            OptionError: A value that it cannot use, or a window beyond the trained one.
        """
        chosen = dict(options or {})
        for key in chosen:
            if key not in cls.option_names():
                raise unknown_name(f"option of inference map '{cls.name}'", key, cls.option_names())
        chosen.setdefault("window", max(1, rope.trained_length // cls.windows_per_trained))
        found = cls(**chosen)
        if found.window >= rope.trained_length:
            raise OptionError(
                f"window must be below the trained window of {rope.trained_length:,} tokens, because distances from it "
                f"on are mapped into what was trained; got {found.window}. The default is "
                f"{max(1, rope.trained_length // cls.windows_per_trained)}."
            )
        return found

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the map's parameters."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @property
    def options(self) -> dict[str, Any]:
        """The parameters with their values."""
        return dataclasses.asdict(self)

    def far_queries(self, positions: Integers) -> Floats:
        """Where queries stand when they are compared with far keys, same shape."""
        raise NotImplementedError

    def far_keys(self, positions: Integers) -> Floats:
        """Where far keys stand, same shape."""
        raise NotImplementedError

    def reach(self, rope: Rope) -> float:
        """Tokens of the longest text in which no told distance leaves the trained window; may be infinite."""
        raise NotImplementedError

    def relative(self, queries: Integers, keys: Integers) -> Floats:
        """The distance that each query is told, `[queries, keys]`; keys behind a query keep their negative one.

        Args:
            queries: Positions, `[queries]`.
            keys: Positions, `[keys]`.
        """
        true = np.subtract.outer(np.asarray(queries), np.asarray(keys)).astype(np.float64)
        mapped = np.subtract.outer(self.far_queries(queries), self.far_keys(keys))
        told: Floats = np.where(true < self.window, true, mapped)
        return told

    def attention_scale(self, rope: Rope, positions: Integers) -> Floats:
        """What the logits of the query at each position are multiplied by, same shape."""
        if not self.scaled:
            return np.ones(np.shape(positions))
        counted = np.maximum(np.asarray(positions, dtype=np.float64) + 1.0, rope.trained_length)
        scale: Floats = np.log(counted) / np.log(np.float64(rope.trained_length))
        return scale

    def describe(self) -> str:
        """One phrase, such as `rerope, window 512, scaled`."""
        numbers = [f"{key.replace('_', ' ')} {value}" for key, value in self.options.items() if key != "scaled"]
        return ", ".join([self.name, *numbers, *(["scaled"] if self.scaled else [])])


@dataclass(frozen=True)
class ReRope(RelativeMap):
    """All far keys are equally far.

    Attributes:
        window: Keys nearer than so many tokens keep their distance; all others are told to stand so far.
        scaled: Whether logits are multiplied by max(1, ln n / ln L), as the released code does.
    """

    name: ClassVar[str] = "rerope"
    idea: ClassVar[str] = "keys beyond a window are all told to stand at its edge"
    equation: ClassVar[str] = "min(m - n, w): far scores turn the query by w and the key not at all"
    disagrees: ClassVar[str] = (
        "There is no paper; the released code is the definition. Its default window is 512 of 4,096 tokens, its "
        "reported results use 1,024."
    )
    paper: ClassVar[Paper] = Paper(
        title="Rectified Rotary Position Embeddings",
        authors="Jianlin Su",
        year=2023,
        url="https://github.com/bojone/rerope",
    )

    def far_queries(self, positions: Integers) -> Floats:
        """All at the window."""
        return np.full(np.shape(positions), float(self.window))

    def far_keys(self, positions: Integers) -> Floats:
        """All at 0."""
        return np.zeros(np.shape(positions))

    def reach(self, rope: Rope) -> float:
        """Endless: the window is the farthest distance."""
        del rope
        return float("inf")


@dataclass(frozen=True)
class LeakyReRope(RelativeMap):
    """Far keys come nearer by a factor, counted from the window.

    Attributes:
        window: Keys nearer than so many tokens keep their distance.
        scaled: Whether logits are multiplied by max(1, ln n / ln L), as the released code does.
        leak: So many times slower distances grow beyond the window, at least 1.
    """

    name: ClassVar[str] = "leaky-rerope"
    idea: ClassVar[str] = "beyond a window distances grow on, but many times slower"
    equation: ClassVar[str] = "w + (m - n - w) / k: far scores turn the query at (m + w (k - 1)) / k, the key at n / k"
    disagrees: ClassVar[str] = "As for rerope. The code's default is k = 16."
    paper: ClassVar[Paper] = ReRope.paper

    leak: float = 16.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.leak, bool) or not isinstance(self.leak, int | float) or not 1 <= self.leak < np.inf:
            raise OptionError(
                f"leak must be a finite number of at least 1, because far distances are divided by it; got "
                f"{self.leak}. The released code's is 16."
            )

    def far_queries(self, positions: Integers) -> Floats:
        """Slowed down, and moved so that both sides of the window meet."""
        slowed: Floats = (np.asarray(positions, dtype=np.float64) + self.window * (self.leak - 1.0)) / self.leak
        return slowed

    def far_keys(self, positions: Integers) -> Floats:
        """Slowed down."""
        slowed: Floats = np.asarray(positions, dtype=np.float64) / self.leak
        return slowed

    def reach(self, rope: Rope) -> float:
        """The window, and the rest of the trained one as often as the leak."""
        return self.window + (rope.trained_length - self.window) * self.leak


@dataclass(frozen=True)
class SelfExtend(RelativeMap):
    """Far keys and queries share one position for each group of tokens.

    Attributes:
        window: Keys nearer than so many tokens keep their distance; the paper's neighbour window W.
        scaled: Whether logits are multiplied by max(1, ln n / ln L); off in the released code, too.
        group: Tokens of one group, at least 1; the paper's G.
    """

    name: ClassVar[str] = "self-extend"
    idea: ClassVar[str] = "beyond a neighbour window tokens are counted in groups"
    equation: ClassVar[str] = "far scores turn the query at floor(m / G) + W - floor(W / G), the key at floor(n / G)"
    disagrees: ClassVar[str] = (
        "The code computes W / G as a fraction, the paper rounds it down, and so do we: they differ where G does not "
        "divide W. The code drops the offset W - W / G in texts below W tokens, which have no far key."
    )
    paper: ClassVar[Paper] = Paper(
        title="LLM Maybe LongLM: Self-Extend LLM Context Window Without Tuning",
        authors=(
            "Hongye Jin and Xiaotian Han and Jingfeng Yang and Zhimeng Jiang and Zirui Liu and Chia-Yuan Chang and "
            "Huiyuan Chen and Xia Hu"
        ),
        year=2024,
        arxiv="2401.01325",
    )
    windows_per_trained: ClassVar[int] = 4

    scaled: bool = False
    group: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("group", self.group, "it counts the tokens that share a position")

    def far_queries(self, positions: Integers) -> Floats:
        """Group numbers, moved so that both sides of the window meet."""
        offset = self.window - self.window // self.group
        return (np.asarray(positions) // self.group + offset).astype(np.float64)

    def far_keys(self, positions: Integers) -> Floats:
        """Group numbers."""
        return (np.asarray(positions) // self.group).astype(np.float64)

    def reach(self, rope: Rope) -> float:
        """The paper's (L - W) G + W."""
        return float((rope.trained_length - self.window) * self.group + self.window)


MAPS: dict[str, type[RelativeMap]] = {cls.name: cls for cls in (ReRope, LeakyReRope, SelfExtend)}


def names() -> tuple[str, ...]:
    """Names of the maps, sorted."""
    return tuple(sorted(MAPS))


def get(name: str) -> type[RelativeMap]:
    """The map of a name.

    Raises:
        UnknownNameError: No map has that name.
    """
    if name not in MAPS:
        raise unknown_name("inference map", name, MAPS)
    return MAPS[name]


def check_whole(name: str, value: object, reason: str) -> None:
    """Raises OptionError for what is no whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{name} must be a whole number of at least 1, because {reason}; got {value}.")
