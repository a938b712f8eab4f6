"""What ropewalk writes into a config about an extension, and how it is read again. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk import methods
from ropewalk.adapters.config import RECORD_VERSION

if TYPE_CHECKING:
    from ropewalk.adapters.config import ModelConfig
    from ropewalk.method import Method
    from ropewalk.rope import Rope


def method_record(method: Method, rope: Rope, target_length: int) -> dict[str, Any]:
    """What ropewalk writes into a config about an extension; `recorded_method` reads it."""
    return {
        "format_version": RECORD_VERSION,
        "method": method.name,
        "options": method.options,
        "target_length": target_length,
        "rope": {"head_dim": rope.head_dim, "base": rope.base, "trained_length": rope.trained_length},
    }


def recorded_method(config: ModelConfig) -> Method | None:
    """The method that a config records, or None.

    Raises:
        UnknownNameError: The method is not installed here.
    """
    if config.extension is None:
        return None
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in config.extension["options"].items()}
    return methods.get(config.extension["method"])(**options)
