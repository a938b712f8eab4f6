"""How `extend` came to its method where none was named."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ropewalk.result.probe import Probe
from ropewalk.result.ranking import Ranking
from ropewalk.result.records import FORMAT_VERSION, Record


class MethodChoice(Record):
    """A choice with everything that it rests on.

    Attributes:
        model: What was asked for.
        target_length: Tokens.
        steps: Of the run that it is for.
        method: The name that was chosen.
        because: What was decided at each stage, and the measurement behind it.
        probe: Forward passes, if there were any.
        ranking: The short comparison, if there was one.
        wall_seconds: Of choosing.
        conditions: What the choice depends on: the run, its texts, the model's files.
    """

    format_version: int = FORMAT_VERSION
    model: str
    target_length: int
    steps: int
    method: str
    because: tuple[str, ...]
    probe: Probe | None = None
    ranking: Ranking | None = None
    wall_seconds: float = 0.0
    conditions: dict[str, Any] = Field(default_factory=dict)
