"""What a training-position sampler is: which position numbers, and which tokens of a document, a window carries.

A sampler is a frozen dataclass under `@register("name")` in a file of its own in `ropewalk/positions/`. Its random
draws come from the generator it is given, which the caller keys by (seed, number of the sample over the whole run):
so a resumed run and a run with several workers see the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ropewalk.errors import OptionError, unknown_name
from ropewalk.register import Paper, Register, Registered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ropewalk.rope import Integers

__all__ = [
    "SAMPLERS",
    "Draw",
    "Paper",
    "Sampler",
    "batch_generator",
    "check_draw",
    "register",
    "sample_generator",
    "text_window",
]


@dataclass(frozen=True)
class Draw:
    """One training window.

    Attributes:
        positions: Position numbers, `[window]`, strictly increasing, each below the target length.
        text: Indices of the document's tokens that the window carries, `[window]`, increasing.
    """

    positions: Integers
    text: Integers


@dataclass(frozen=True)
class Sampler(Registered):
    """Base of all samplers.

    Class attributes:
        paper: Where it was published.
        trains_at_target: The window is as long as the target (contiguous training at full length); the others train
            at the trained window and only number its tokens differently.
    """

    paper: ClassVar[Paper]
    trains_at_target: ClassVar[bool] = False

    def draw(self, rng: np.random.Generator, *, window: int, target_length: int, available: int) -> Draw:
        """Draws the positions and the text of one window.

        Args:
            rng: Generator of this sample.
            window: Tokens in the window.
            target_length: Positions lie in `[0, target_length)`.
            available: Tokens of the document, at least `window`.

        Raises:
            OptionError: The document or the target is shorter than the window.
        """
        raise NotImplementedError

    def positions(self, rng: np.random.Generator, *, window: int, target_length: int) -> Integers:
        """Only the positions of one window, `[window]`."""
        return self.draw(rng, window=window, target_length=target_length, available=window).positions

    @classmethod
    def with_options(cls, options: Mapping[str, Any] | None = None) -> Self:
        """The sampler with options by name.

        Raises:
            UnknownNameError: An option that the sampler does not have.
        """
        known = cls.option_names()
        for key in options or {}:
            if key not in known:
                raise unknown_name(f"option of sampler '{cls.name}'", key, known)
        return cls(**(options or {}))


def check_draw(*, window: int, target_length: int, available: int) -> None:
    """Raises OptionError where no window can be drawn."""
    if target_length < window:
        raise OptionError(f"the target length must be at least the window of {window} tokens; got {target_length}.")
    if available < window:
        raise OptionError(f"a document must fill the window of {window} tokens; got {available}.")


def text_window(rng: np.random.Generator, window: int, available: int) -> Integers:
    """Indices of a window that begins anywhere in a document, `[window]`."""
    return np.arange(window) + int(rng.integers(0, available - window + 1))


def sample_generator(seed: int, number: int) -> np.random.Generator:
    """The generator of sample `number`, counted over the whole run and not within an epoch."""
    return np.random.default_rng((seed, number))


def batch_generator(rng: np.random.Generator, samples: int) -> np.random.Generator:
    """The generator that a sample shares with its batch of `samples` consecutive samples of the run.

    It is made from the seed and the number that the sample's own generator was made from, so that a sampler which
    repeats a per-batch draw of released code needs no state and no further argument.

    Args:
        rng: A generator made by `sample_generator`.
        samples: Samples in a batch; sample `number` belongs to batch `number // samples`.

    Raises:
        OptionError: The generator does not know its sample's number.
    """
    entropy = getattr(rng.bit_generator.seed_seq, "entropy", None)
    if not isinstance(entropy, tuple) or len(entropy) != 2:
        raise OptionError(
            "draws that a batch shares need a generator from sample_generator(seed, number), because the number tells "
            "the batch; got a generator made otherwise."
        )
    seed, number = entropy
    # The spawn key keeps these draws apart from those of the sample that has the batch's number.
    return np.random.default_rng(np.random.SeedSequence((seed, number // samples), spawn_key=(samples,)))


SAMPLERS: Register[Sampler] = Register("sampler", "ropewalk.positions")
register = SAMPLERS.enter
