"""Writes an extended checkpoint so that an engine computes the method; one file for each kind of engine.

A new engine is a class that answers `engine.Engine`, entered in `ENGINES`. Engines that read a GGUF file are in
`adapters.gguf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.adapters.export.engine import Engine, choose
from ropewalk.adapters.export.form import Form, Subject, read_subject
from ropewalk.adapters.export.plain import Transformers
from ropewalk.adapters.export.served import SGLANG, VLLM
from ropewalk.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

ENGINES: Mapping[str, Engine] = {engine.name: engine for engine in (Transformers(), VLLM, SGLANG)}

# These read a GGUF file instead of a folder: see `adapters.gguf`.
GGUF_NAMES = ("llama.cpp", "ollama")

__all__ = ["ENGINES", "GGUF_NAMES", "Engine", "Form", "Subject", "choose", "find_engine", "read_subject"]


def find_engine(name: str) -> Engine:
    """The engine of a name.

    Raises:
        UnknownNameError: No engine is called so.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, (*ENGINES, *GGUF_NAMES))
    return ENGINES[name]
