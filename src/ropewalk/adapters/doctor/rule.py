"""What a rule of the doctor is, and what it finds."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ropewalk.adapters.config import scaling_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ropewalk.adapters.config import ModelConfig

Severity: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Case:
    """A checkpoint that is looked at.

    Attributes:
        config: What its config says.
        told: What a user said that the files do not: `trained_length`, `exempt_layers`.
    """

    config: ModelConfig
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The rope type that is declared."""
        return scaling_type(self.config.declared_scaling or {})

    @property
    def scaling(self) -> Mapping[str, Any]:
        """The declared rope setting, empty where nothing scales."""
        return self.config.declared_scaling or {}

    @property
    def original(self) -> int | None:
        """The trained window, where the config says it."""
        key = "original_max_position_embeddings"
        found = self.scaling.get(key) or self.config.text.get(key)
        return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    @property
    def factor(self) -> float | None:
        """The factor of the declared scaling, where it names one."""
        found = self.scaling.get("factor")
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    @cached_property
    def tokenizer(self) -> Mapping[str, Any]:
        """tokenizer_config.json, empty where there is none that can be read."""
        return self.json("tokenizer_config.json")

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty where there is none that can be read."""
        try:
            found = json.loads((self.config.path / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Repair:
    """A change that is certain.

    Attributes:
        entries: Entries of the language model's config.
        rope: Entries of its rope setting; both spellings are always written.
        tokenizer: Entries of tokenizer_config.json.
        generation: Entries of generation_config.json.
        adopts: The config becomes that of ropewalk's own extension (see `adapters.foreign`).
    """

    entries: Mapping[str, Any] = field(default_factory=dict)
    rope: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    adopts: bool = False


@dataclass(frozen=True)
class Found:
    """What one rule found in one checkpoint.

    Attributes:
        message: What is there, and what happens because of it.
        fix: What to do about it: the entry of the config, or the command.
        repair: The change that `inspect --fix` makes, where it is certain.
    """

    message: str
    fix: str
    repair: Repair | None = None


Check: TypeAlias = "Callable[[Case], Iterator[Found]]"


@dataclass(frozen=True)
class Rule:
    """Something that must hold in a checkpoint.

    Attributes:
        name: Such as `window-left`.
        severity: `error` stops every verb, `warning` is read in two ways or commonly misread, `note` is worth knowing.
        source: What the rule rests on.
        check: Yields what breaks it; its docstring says what must hold, and why.
    """

    name: str
    severity: Severity
    source: str
    check: Check

    @property
    def law(self) -> str:
        """What must hold, and why."""
        return " ".join(inspect.cleandoc(self.check.__doc__ or "").split())


@dataclass(frozen=True)
class Finding:
    """A broken rule: `Found`, with the rule's name and severity."""

    rule: str
    severity: Severity
    message: str
    fix: str
    repair: Repair | None = None

    @property
    def sentence(self) -> str:
        """The message with its fix."""
        return f"{self.message}. {self.fix}"


def rule(rules: list[Rule], name: str, severity: Severity, source: str) -> Callable[[Check], Check]:
    """Enters a check in a list of rules."""

    def enter(check: Check) -> Check:
        rules.append(Rule(name, severity, source, check))
        return check

    return enter
