"""Candidates: methods times training positions, each with the run that trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk import positions
from ropewalk.errors import OptionError
from ropewalk.run.flags import SEARCHED
from ropewalk.run.plan import build_method
from ropewalk.run.runfile import Choice, override, parse_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ropewalk.rope import Rope
    from ropewalk.run.runfile import RunFile

# What all candidates are trained by, unless --entry says otherwise.
DEFAULTS: Mapping[str, Any] = {
    "train": {"schedule": "linear", "weight_decay": 0.0, "beta2": 0.95, "precision": "auto"},
    "data": {"packing": "fill"},
}
# These are what a comparison is about, or what it makes equal.
OURS = ("train.steps", "train.batch", "train.learning_rate", "train.seed", "data.window", "data.files", "data.sources")
WARMUP = 10  # one step of warm-up for every so many steps
MOST_UNEQUAL = 0.05  # of the tokens of a step


@dataclass(frozen=True)
class Candidate:
    """A method with training positions.

    Attributes:
        method: With its options.
        positions: Sampler of its training positions.
        described: The method in a phrase.
        window: Tokens of a training window.
        batch: Windows of a step.
        searched: Its frequencies come from a search.
    """

    method: Choice
    positions: str
    described: str
    window: int
    batch: int
    searched: bool = False

    @property
    def method_name(self) -> str:
        """What the user calls the method."""
        return SEARCHED if self.searched else self.method.name

    @property
    def name(self) -> str:
        """Such as `yarn, cream`."""
        return f"{self.method_name}, {self.positions}"

    @property
    def slug(self) -> str:
        """The same for folders."""
        return f"{self.method_name}-{self.positions}"

    def run(
        self, base: Mapping[str, Any], *, target_length: int, steps: int, learning_rate: float, seed: int
    ) -> RunFile:
        """The run that trains it.

        Args:
            base: Model, data and whatever else all candidates share, as in a run file.
            target_length: Tokens of the new window.
            steps: Optimizer steps.
            learning_rate: Peak.
            seed: Of the order of the data, the positions and the tasks.
        """
        at_once = max(1, target_length // self.window)  # windows that hold as many tokens as one of the target length
        shared = override(DEFAULTS, {"train": {"warmup_steps": steps // WARMUP}})
        own = {
            "target_length": target_length,
            "method": self.method.model_dump(),
            "positions": {"name": self.positions},
            "train": {"steps": steps, "batch": self.batch, "learning_rate": learning_rate, "seed": seed},
        }
        if self.batch % at_once == 0:
            shared["train"]["micro_batch"] = at_once
        return parse_run(override(override(shared, base), own), where="this comparison")


def candidates_of(
    methods: Iterable[Choice],
    samplers: Sequence[str],
    rope: Rope,
    target_length: int,
    step_tokens: int,
    *,
    searched: Choice | None = None,
) -> tuple[Candidate, ...]:
    """Every method with every sampler; a preset that names its own sampler comes with that one alone.

    Args:
        methods: By name, with options.
        samplers: By name.
        rope: The trained geometry.
        target_length: Tokens of the new window.
        step_tokens: Tokens of a training step.
        searched: What a search found, as a further method.

    Raises:
        OptionError: A method or sampler twice, or windows that do not make equal steps.
        UnknownNameError: No such method or sampler.
    """
    found = []
    chosen = [(choice, False) for choice in methods] + ([(searched, True)] if searched else [])
    for choice, is_searched in chosen:
        method = build_method(choice, rope, target_length)
        for name in (method.sampler,) if method.sampler else samplers:
            sampler = positions.get(name)
            window = target_length if sampler.trains_at_target else rope.trained_length
            found.append(
                Candidate(
                    Choice(name=method.name, **method.options),
                    sampler.name,
                    method.describe(rope),
                    window,
                    _batch(window, step_tokens),
                    is_searched,
                )
            )
    names = [candidate.name for candidate in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(
            f"every candidate is compared once; '{twice[0]}' was named twice. Leave one of them out of --methods or "
            "--positions."
        )
    return tuple(found)


def control_of(trained_length: int, step_tokens: int) -> Candidate:
    """What holds every candidate to account: nothing extended, as many tokens at the old window."""
    batch = max(1, round(step_tokens / trained_length))
    return Candidate(Choice(name="none"), "contiguous", "the same tokens at the old window", trained_length, batch)


def check_entries(entries: Mapping[str, Any]) -> None:
    """Raises OptionError for entries of a run file that a comparison sets itself."""
    for name in OURS:
        section, _, key = name.partition(".")
        if key in entries.get(section, {}) or set(entries) & {"method", "positions", "model", "target_length"}:
            raise OptionError(
                f"a comparison trains all candidates alike and sets their {', '.join(OURS)} itself; got an entry among "
                "these, or one of the method. Use --budget, --batch, --rates, --data, --methods and --positions."
            )


def _batch(window: int, step_tokens: int) -> int:
    """Windows of a step.

    Raises:
        OptionError: No number of windows comes near the tokens of a step.
    """
    batch = max(1, round(step_tokens / window))
    if abs(batch * window / step_tokens - 1) > MOST_UNEQUAL:
        raise OptionError(
            f"every candidate gets the same tokens a step; {step_tokens:,} tokens are no whole number of windows of "
            f"{window:,}, within {MOST_UNEQUAL:.0%}. Choose another --batch, such as {4 * window // 256 or 4}, or a "
            "target that is a multiple of the trained window."
        )
    return batch
