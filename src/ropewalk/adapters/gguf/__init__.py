"""Writes an extended checkpoint as a GGUF file, for llama.cpp and what is built on it.

A checkpoint's folder says what it computes in `config.json`; a GGUF file says it in keys of its own, which each
architecture of llama.cpp reads differently. `forms` finds keys that give the method's numbers, `layout` places the
tensors, `vocabulary` translates the tokenizer, `file` writes and reads.
"""

from __future__ import annotations

from ropewalk.adapters.gguf.engine import GGUF_ENGINES, Gguf, GgufEngine
from ropewalk.adapters.gguf.file import GgufFile, read_gguf, require_gguf

__all__ = ["GGUF_ENGINES", "Gguf", "GgufEngine", "GgufFile", "read_gguf", "require_gguf"]
