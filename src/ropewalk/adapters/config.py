"""Reads a checkpoint's config.json, in the spelling of transformers 4 and of 5, without torch or transformers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.families import FULL, ROTARY_WITHOUT_KEYS, SLIDING, Family, assumed_family, supported_family
from ropewalk.adapters.source import resolve_source as resolve_source
from ropewalk.errors import AlreadyScaledError, ModelError, NoRopeError, OptionError
from ropewalk.rope import Rope

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORD = "ropewalk"
RECORD_VERSION = 1
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}
WITHOUT_CACHE = frozenset({"linear_attention", "mamba", "conv"})  # their state does not grow with the tokens
_ROPE_KEYS = ("rope_parameters", "rope_theta", "rope_scaling", "rotary_emb_base", "rotary_pct", "rotary_dim")


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint's config says about positions and memory.

    Attributes:
        path: The folder.
        raw: config.json as it stands.
        model_type: Family name in transformers.
        rope: The rotary geometry that the model was trained with, before any scaling that the config declares.
        declared_length: `max_position_embeddings`, tokens.
        declared_scaling: The rope dictionary if it scales anything, else None.
        layers: Number of layers.
        query_heads: Query heads per layer.
        key_value_heads: Key/value heads per layer.
        head_size: Dimensions of a head, rotated or not.
        dtype: Name of the number format of the weights, such as `bfloat16`.
        vocabulary_size: Tokens.
        layer_types: Attention type of each layer, such as `full_attention`.
        sliding_window: Tokens that a sliding layer sees, or None.
        extension: What ropewalk recorded when it extended this checkpoint, or None.
    """

    path: Path
    raw: Mapping[str, Any] = field(repr=False)
    model_type: str
    rope: Rope
    declared_length: int
    declared_scaling: Mapping[str, Any] | None
    layers: int
    query_heads: int
    key_value_heads: int
    head_size: int
    dtype: str
    vocabulary_size: int
    layer_types: tuple[str, ...] = field(repr=False)
    sliding_window: int | None
    extension: Mapping[str, Any] | None

    @cached_property
    def text(self) -> Mapping[str, Any]:
        """The part of config.json that describes the language model."""
        return text_part(self.raw)

    @property
    def family(self) -> Family:
        """What ropewalk knows of the family.

        Raises:
            ModelError: ropewalk does not extend it; the message says why.
        """
        supported_family(str(self.raw.get("model_type")))  # of a model with images, too
        return supported_family(self.model_type)

    @property
    def query_size(self) -> int:
        """Dimensions that a query is compared with a key in, rotated or not."""
        return int(self.text.get("qk_nope_head_dim") or 0) + self.rope.head_dim if self._latent else self.head_size

    @property
    def _latent(self) -> bool:
        return self.text.get("kv_lora_rank") is not None

    @property
    def key_value_bytes_per_token(self) -> int:
        """Bytes that one more token adds to the key/value cache of one sequence, while no layer's window is full."""
        return self._layer_bytes() * sum(1 for kind in self.layer_types if kind not in WITHOUT_CACHE)

    def key_value_bytes(self, tokens: int) -> int:
        """Bytes of the key/value cache of one sequence; sliding layers stop growing at their window."""
        kept = [
            min(tokens, self.sliding_window) if kind == SLIDING and self.sliding_window else tokens
            for kind in self.layer_types
            if kind not in WITHOUT_CACHE
        ]
        return self._layer_bytes() * sum(kept)

    def _layer_bytes(self) -> int:
        compressed = self.text.get("kv_lora_rank")
        if compressed:
            numbers = int(compressed) + int(self.text.get("qk_rope_head_dim", 0))
        else:
            numbers = 2 * self.key_value_heads * self.head_size
        return numbers * _BYTES.get(self.dtype, 2)

    def warnings(self) -> tuple[str, ...]:
        """What in this config contradicts itself or is commonly misread; empty when nothing does."""
        from ropewalk.adapters.doctor import config_warnings

        return config_warnings(self)

    def require_unscaled(self) -> None:
        """Raises AlreadyScaledError when the rotary embedding is scaled already."""
        if self.extension is not None:
            raise AlreadyScaledError(
                "an extension must start from a checkpoint whose rotary embedding is as it was trained, because a "
                f"second stretch multiplies with the first; {self.path} was extended by ropewalk already (method "
                f"{self.extension.get('method')}, {self.rope.trained_length:,} to "
                f"{int(self.extension.get('target_length', self.declared_length)):,} tokens). "
                "Extend the checkpoint that it was made from, straight to the new length."
            )
        if self.declared_scaling is not None:
            kind = scaling_type(self.declared_scaling)
            factor = self.declared_scaling.get("factor")
            stretched = f" with factor {factor:g}" if isinstance(factor, int | float) else ""
            raise AlreadyScaledError(
                "an extension must start from a checkpoint whose rotary embedding is as it was trained, because a "
                f"second stretch multiplies with the first; {self.path} is scaled by '{kind}'{stretched} already "
                f"(window {self.declared_length:,} tokens). Extend the unscaled checkpoint that it was made from; or, "
                "if its weights were not trained with the scaling, take rope_scaling out of config.json and set "
                "max_position_embeddings to the trained window."
            )


def read_model_config(source: str | Path) -> ModelConfig:
    """Reads a model's config.json.

    Raises:
        ModelError: No such model, no config.json, broken JSON, or a config without the needed numbers.
        NoRopeError: The model's positions are not rotary.
    """
    path = resolve_source(source, config_only=True)
    return parse_config(_read_json(path), path)


def loaded_config(model: Any) -> ModelConfig:
    """The typed view of a loaded model's config."""
    return parse_config(model.config.to_dict(), Path(model.config.name_or_path or type(model).__name__))


def parse_config(raw: Mapping[str, Any], path: Path) -> ModelConfig:
    """The typed view of a config.json that was read from `path` already (see `read_model_config`)."""
    text = text_part(raw)
    model_type = str(text.get("model_type") or raw.get("model_type") or "unknown")
    _require_rope(raw, text, model_type, path)
    family = assumed_family(model_type)
    query_heads = _number(text, path, "num_attention_heads", "n_head", "n_heads")
    hidden = _number(text, path, "hidden_size", "n_embd", "d_model")
    head_size = family.size_of_head(text, hidden, query_heads)
    layers = _number(text, path, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    length = _number(text, path, "max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
    scaling = rope_dictionary(text, model_type)
    record = text.get(RECORD) or raw.get(RECORD)
    return ModelConfig(
        path=path,
        raw=raw,
        model_type=model_type,
        rope=_trained_rope(text, scaling, record, head_size, length, path),
        declared_length=length,
        declared_scaling=None if scaling_type(scaling) in ("default", "mrope") else scaling,
        layers=layers,
        query_heads=query_heads,
        key_value_heads=int(text.get("num_key_value_heads") or text.get("num_kv_heads") or query_heads),
        head_size=head_size,
        dtype=str(
            text.get("dtype") or text.get("torch_dtype") or raw.get("dtype") or raw.get("torch_dtype") or "float32"
        ),
        vocabulary_size=_number(text, path, "vocab_size"),
        layer_types=family.layer_types(text, layers),
        sliding_window=_optional_number(text, "sliding_window"),
        extension=record if isinstance(record, dict) else None,
    )


def text_part(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part of a config: `text_config` of a model with images, else the whole."""
    inner = raw.get("text_config")
    return inner if isinstance(inner, dict) and "hidden_size" in inner else raw


def scaling_type(scaling: Mapping[str, Any]) -> str:
    """The rope type that a rope dictionary names, in either spelling."""
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def rope_dictionary(text: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The rope settings that transformers 5 computes with, of the full-attention layers where layers differ.

    Its rule: a `rope_scaling` beside `rope_parameters` wins, and what it does not say comes from the top level.
    """
    parameters = dict(text.get("rope_parameters") or {})
    nested = isinstance(parameters.get(FULL), dict)
    if nested:
        parameters = dict(parameters[FULL])
    elif assumed_family(model_type).rope_per_layer_type:
        parameters = {}
    legacy = text.get("rope_scaling")
    if isinstance(legacy, dict):
        base = parameters.get("rope_theta") if nested else None
        parameters = {**(parameters if nested else {}), **legacy}
        if base is not None:
            parameters["rope_theta"] = base
    family = assumed_family(model_type)
    top_base = text.get("rope_theta", text.get("rotary_emb_base", text.get("rotary_base")))
    parameters.setdefault("rope_theta", top_base if top_base is not None else family.base)
    top_share = text.get("partial_rotary_factor", text.get("rotary_pct"))
    parameters.setdefault("partial_rotary_factor", top_share if top_share is not None else family.rotated_fraction)
    return parameters


def _trained_rope(
    text: Mapping[str, Any],
    scaling: Mapping[str, Any],
    record: Any,
    head_size: int,
    length: int,
    path: Path,
) -> Rope:
    if isinstance(record, dict):
        if record.get("format_version") != RECORD_VERSION:
            raise ModelError(
                f"the '{RECORD}' record in config.json must have format_version {RECORD_VERSION}; {path} has "
                f"{record.get('format_version')}. Use the ropewalk version that wrote it, or a newer one."
            )
        return Rope(**record["rope"])
    rotated = text.get("rotary_dim") or text.get("qk_rope_head_dim")
    dimensions = int(rotated) if rotated else int(head_size * float(scaling["partial_rotary_factor"]))
    if scaling_type(scaling) not in ("default", "mrope"):
        original = scaling.get("original_max_position_embeddings") or text.get("original_max_position_embeddings")
        length = int(original) if original else length
    try:
        return Rope(head_dim=dimensions, base=float(scaling["rope_theta"]), trained_length=length)
    except OptionError as error:
        raise ModelError(f"the rotary numbers in {path}/config.json must describe an embedding: {error}") from error


def _require_rope(raw: Mapping[str, Any], text: Mapping[str, Any], model_type: str, path: Path) -> None:
    positions = text.get("position_embedding_type", text.get("pos_embd_type"))
    declared = any(text.get(key) is not None for key in _ROPE_KEYS) or positions in ("rotary", "rope")
    refuted = positions in ("absolute", "alibi", "relative_key", "relative_key_query") or text.get("alibi") is True
    if refuted or not (declared or model_type in ROTARY_WITHOUT_KEYS):
        name = raw.get("model_type", "unknown")
        raise NoRopeError(
            f"a model must have a rotary position embedding, because that is what an extension stretches; {path} is a "
            f"'{name}' without one (no rope_parameters or rope_theta in config.json). Choose a rotary model such as "
            "Llama, Qwen or Mistral."
        )


def _read_json(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"a model folder must hold config.json; {path} has none. Name the folder that from_pretrained would load."
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"config.json must be JSON text; {file} is not ({error}). Fetch the file again.") from error
    if not isinstance(raw, dict):
        raise ModelError(f"config.json must hold a JSON object; {file} holds a {type(raw).__name__}. Fetch it again.")
    return raw


def _number(text: Mapping[str, Any], path: Path, *names: str) -> int:
    for name in names:
        if isinstance(text.get(name), int):
            return int(text[name])
    raise ModelError(
        f"config.json must say {names[0]}; {path} does not. Write the number of the trained model into the file."
    )


def _optional_number(text: Mapping[str, Any], name: str) -> int | None:
    value = text.get(name)
    return int(value) if isinstance(value, int) else None
