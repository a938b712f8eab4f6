"""What is exported, and the forms that it can be written in: exact ones first, then what comes near."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.adapters.carriers import attention_factor, candidates, container, declared_length
from ropewalk.adapters.carriers.staircase import staircase
from ropewalk.adapters.config import read_model_config, resolve_source
from ropewalk.adapters.doctor import require_sound
from ropewalk.adapters.families import supported_family
from ropewalk.adapters.foreign import adopted
from ropewalk.adapters.record import recorded_method
from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Floats

FOLDED, STAIRCASE, FROZEN = "folded", "staircase", "frozen"


@dataclass(frozen=True)
class Subject:
    """An extended checkpoint that is to be exported.

    Attributes:
        folder: Where it is.
        config: What its config says.
        method: The recorded method.
        target_length: Tokens of its window.
    """

    folder: Path
    config: ModelConfig
    method: Method
    target_length: int

    @property
    def factor(self) -> float:
        """The method's factor on cos and sin; 1 where its scale varies."""
        return attention_factor(self.method, self.config.rope, self.target_length, self.config.layers)


@dataclass(frozen=True)
class Form:
    """One way to write a subject.

    Attributes:
        carrier: A rope type; `folded`, `staircase` or `frozen` with one.
        method: The static or dynamic table that it holds.
        rope_parameters: Flat, as transformers 5 spells them.
        factor: What readers multiply cos and sin by.
        query_factor: What the weights that make queries are multiplied by.
        entries: Other entries of the config.
        stairs: beta and length (tokens) of a scale on queries, or None.
        loses: What the form gets wrong, or None where it is exact.
    """

    carrier: str
    method: Method
    rope_parameters: Mapping[str, Any]
    factor: float
    query_factor: float = 1.0
    entries: Mapping[str, Any] = field(default_factory=dict)
    stairs: tuple[float, int] | None = None
    loses: str | None = None

    @property
    def kind(self) -> str:
        """The rope type."""
        return str(self.rope_parameters["rope_type"])

    def declared_length(self, subject: Subject) -> int:
        """What `max_position_embeddings` says, tokens."""
        return declared_length(self.kind, subject.config.rope, subject.target_length)

    def frequencies(self, subject: Subject, length: int) -> Floats:
        """Radians per token in a call of so many tokens, `[pairs]`."""
        return self.method.at(length).frequencies(subject.config.rope)


def read_subject(source: str | Path) -> Subject:
    """Reads an extended checkpoint's config.

    Raises:
        ModelError: No such model, a broken one, one that ropewalk did not extend, or one with a text_config.
    """
    config = read_model_config(source)
    folder = resolve_source(source)
    require_sound(config)
    if adopted(config) is not config:
        raise ModelError(
            f"an export must know which layers are scaled, and Entropy-ABF's paper and released code differ in that; "
            f"{config.path} has the released spelling. Write it anew with `ropewalk inspect DIR --fix -o OUT --set "
            "exempt_layers=2` (the paper) or `exempt_layers=0` (the code), and export that."
        )
    method = recorded_method(config)
    if method is None or config.extension is None:
        raise ModelError(
            f"an export compares with the method that a checkpoint records, because a form without it proves nothing; "
            f"{config.path} records none. Extend it first, with --method none if it is to stay as it is."
        )
    if config.text is not config.raw:
        raise ModelError("a model with a text_config inside cannot be exported yet; export its language model.")
    return Subject(folder, config, method, int(config.extension["target_length"]))


def table_forms(subject: Subject, *, static_window: bool = False) -> Iterator[Form]:
    """Rope types that might hold the method, and the container.

    Args:
        subject: What is exported.
        static_window: Write the container so that no reader ever chooses between its two lists; see `container`.
    """
    if not subject.method.scale_varies:
        yield from _tables(subject, subject.method, subject.factor, static_window=static_window)


def folded_forms(subject: Subject, *, static_window: bool = False) -> Iterator[Form]:
    """The same without a factor on cos and sin: the weights that make queries carry its square."""
    if subject.method.scale_varies or subject.factor == 1:
        return
    for form in _tables(subject, subject.method, 1.0, static_window=static_window):
        yield Form(FOLDED, form.method, form.rope_parameters, 1.0, subject.factor**2, form.entries)


def staircase_forms(subject: Subject) -> Iterator[Form]:
    """`ministral3`, for a scale that grows with the logarithm of the position.

    Raises:
        CarrierError: See `carriers.staircase`.
    """
    if not subject.method.scale_varies:
        return
    found = staircase(subject.method, subject.config, subject.target_length)
    for form in _tables(subject, subject.method, 1.0, static_window=False):
        original = form.rope_parameters.get("original_max_position_embeddings", found.length)
        if original == found.length:  # rope types with an original window must mean the same one
            parameters = {**form.rope_parameters, **found.rope_keys}
            stairs = (found.beta, found.length)
            yield Form(STAIRCASE, form.method, parameters, 1.0, 1.0, found.entries, stairs, found.loses)


def frozen_forms(subject: Subject, *, static_window: bool = False) -> Iterator[Form]:
    """A method that depends on the length, as it is at the target."""
    if not subject.method.depends_on_length:
        return
    rope = subject.config.rope
    still = subject.method.at(subject.target_length)
    inside = subject.method.at(rope.trained_length).frequencies(rope)
    lost = float(np.max(inside / still.frequencies(rope)))
    loses = f"the frequencies are those of {subject.target_length:,} tokens at every length: inside the trained window "
    loses += f"up to {lost:.3g} times too slow"
    for form in _tables(subject, still, subject.factor, static_window=static_window):
        yield Form(FROZEN, still, form.rope_parameters, form.factor, 1.0, form.entries, None, loses)


def _tables(subject: Subject, method: Method, factor: float, *, static_window: bool) -> Iterator[Form]:
    rope, target = subject.config.rope, subject.target_length
    family = supported_family(subject.config.model_type)
    top = subject.config.text.get("original_max_position_embeddings") is not None
    for parameters in candidates(method, rope, target, factor, family):
        entries = {}
        if parameters["rope_type"] == "longrope" and static_window:
            parameters = container(method, rope, target, factor, original=target)
            entries = {"original_max_position_embeddings": target} if top else {}
        yield Form(parameters["rope_type"], method, parameters, factor, 1.0, entries)
