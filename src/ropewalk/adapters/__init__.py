"""Everything that touches transformers' model classes: read a config, extend, load, save.

Importing this package imports no torch: names are looked up when they are first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropewalk.adapters.apply import ExtensionReport, extend_checkpoint, extend_model
    from ropewalk.adapters.config import ModelConfig, read_model_config, resolve_source
    from ropewalk.adapters.fresh import Form, Shape, write_fresh_model
    from ropewalk.adapters.load import load_model, load_tokenizer, save_model
    from ropewalk.adapters.progress_bars import hide_progress_bars
else:
    _HOME = {
        "ModelConfig": "config",
        "read_model_config": "config",
        "resolve_source": "config",
        "ExtensionReport": "apply",
        "extend_checkpoint": "apply",
        "extend_model": "apply",
        "Form": "fresh",
        "Shape": "fresh",
        "write_fresh_model": "fresh",
        "hide_progress_bars": "progress_bars",
        "load_model": "load",
        "load_tokenizer": "load",
        "save_model": "load",
    }

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [
    "ExtensionReport",
    "Form",
    "ModelConfig",
    "Shape",
    "extend_checkpoint",
    "extend_model",
    "hide_progress_bars",
    "load_model",
    "load_tokenizer",
    "read_model_config",
    "resolve_source",
    "save_model",
    "write_fresh_model",
]
