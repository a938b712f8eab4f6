"""The sizes of a checkpoint that its memory depends on, without torch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.experts import experts_of
from ropewalk.adapters.safetensors_header import read_header, weight_files
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

    Raises:
        ModelError: A weight file is not one, or is cut off.
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
    """Numbers in the weight files that transformers loads from a folder; 0 where they are not all here."""
    files = weight_files(folder)
    if not all(file.is_file() for file in files):  # a hub id of which the JSON files alone were fetched
        return 0
    return sum(math.prod(tensor.shape) for file in files for tensor in read_header(file).values())
