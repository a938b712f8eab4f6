"""The sizes of a checkpoint that its memory depends on, without torch."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.experts import experts_of
from ropewalk.analysis.memory import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig

# Llama 4 calls the width of its layers without experts intermediate_size_mlp.
DENSE_WIDTH = ("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim")


def shape_of(config: ModelConfig) -> Shape:
    """The shape of a model; its weights are counted in the safetensors files, or as a Llama of that shape has them.

    Args:
        config: What its config.json says.
    """
    text = config.text
    hidden = _number(text, "hidden_size", "n_embd", "d_model")
    counted = Shape.llama(
        layers=config.layers,
        hidden=hidden,
        intermediate=_number(text, *DENSE_WIDTH) or 4 * hidden,
        heads=config.query_heads,
        kv_heads=config.key_value_heads,
        head_dim=config.head_size,
        vocabulary=config.vocabulary_size,
        tied=bool(text.get("tie_word_embeddings", False)),
        experts=experts_of(text, config.layers),
    )
    return replace(counted, parameters=_counted(config.path) or counted.parameters)


def _number(text: Mapping[str, Any], *names: str) -> int:
    """The first of these keys that holds a number, or 0."""
    return next((int(text[name]) for name in names if isinstance(text.get(name), int)), 0)


def _counted(folder: Path) -> int:
    """Numbers in all safetensors files of a folder, from their headers."""
    return sum(
        math.prod(entry["shape"])
        for file in sorted(folder.glob("*.safetensors"))
        for name, entry in _header(file).items()
        if name != "__metadata__"
    )


def _header(file: Path) -> dict[str, dict[str, list[int]]]:
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header: dict[str, dict[str, list[int]]] = json.loads(opened.read(size))
    return header
