"""Which model families ropewalk extends, and what their config classes assume when a config is silent.

Both were measured, not written down: `scripts/census.py` builds a small random model of every causal language model
class of transformers, extends it, compares its logits with a rotation by hand, and writes `assets/families.json`. Rows
by hand remain for what a config class does not show. No torch here: `ropewalk inspect` reads this table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

SLIDING = "sliding_attention"
FULL = "full_attention"
HYBRID = "hybrid"  # full attention beside another mixer in one layer (Falcon-H1, Zamba 2)
_OLD_LAYER_TYPES = {"attention": FULL, "mamba": "linear_attention"}


@dataclass(frozen=True)
class Family:
    """What a model family's config class assumes.

    Attributes:
        base: `rope_theta` of a config that names none; of the full-attention layers, where layers differ.
        rotated_fraction: Share of each head that is rotated when the config names none.
        head_size: Dimensions of a head when the config names none; None means hidden size / query heads.
        sliding: Which layers slide when the config has no `layer_types`: `none`, `all` (with a `sliding_window`),
            `top` (from `max_window_layers` on, if `use_sliding_window`), `even`, `even-below` (even ones below
            `max_window_layers`, if `use_sliding_window`).
        layer_pattern: Attention types that repeat over the layers when the config has no `layer_types`; empty means
            that `sliding` decides.
        layer_bases: `rope_parameters` is nested, one entry for each of these layer types, with the base of a config
            that names none; empty means one setting for all layers.
        rope_types: Native rope types that the family's own validation admits; None means all.
        needs_head_dim: transformers' yarn and dynamic fail unless the config says `head_dim`, which it may leave null.
        scale_refused: Why a position-dependent scale cannot be applied; None where it can.
        hides_positions: Its attention function is not told which positions it gets.
        note: What a user should know; empty for most.
    """

    base: float = 10_000.0
    rotated_fraction: float = 1.0
    head_size: int | None = None
    sliding: str = "none"
    layer_pattern: tuple[str, ...] = ()
    layer_bases: Mapping[str, float] = field(default_factory=dict)
    rope_types: tuple[str, ...] | None = None
    needs_head_dim: bool = False
    scale_refused: str | None = None
    hides_positions: bool = False
    note: str = ""

    @property
    def rope_per_layer_type(self) -> bool:
        """Whether sliding layers have a rope setting of their own."""
        return bool(self.layer_bases)

    def size_of_head(self, config: Mapping[str, Any], hidden: int, heads: int) -> int:
        """Dimensions of a head, from the config or from the family's rule."""
        declared = (config.get(name) for name in ("head_dim", "attention_head_dim", "kv_channels"))  # Zamba 2, JetMoe
        return int(next((size for size in declared if size), None) or self.head_size or hidden // heads)

    def layer_types(self, config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
        """The attention type of each layer, from the config or from the family's rule."""
        declared = config.get("layer_types") or config.get("layers_block_type")
        if isinstance(declared, list) and len(declared) == layers:
            return tuple(_OLD_LAYER_TYPES.get(str(kind), str(kind)) for kind in declared)
        attending = config.get("attn_layer_indices", config.get("full_attn_idxs"))
        if isinstance(attending, list):  # Bamba, LFM 2
            return tuple(FULL if layer in attending else "linear_attention" for layer in range(layers))
        if self.layer_pattern:
            return tuple(self.layer_pattern[layer % len(self.layer_pattern)] for layer in range(layers))
        uses = config.get("use_sliding_window", self.sliding in ("all", "even"))
        # These alternate by design, and have a window even when the config is silent about it.
        has_window = config.get("sliding_window") or self.sliding == "even"
        if not (uses and has_window):
            return (FULL,) * layers
        first = int(config.get("max_window_layers", 28))
        slides = {
            "none": [False] * layers,
            "all": [True] * layers,
            "top": [layer >= first for layer in range(layers)],
            "even": [layer % 2 == 0 for layer in range(layers)],
            "even-below": [layer % 2 == 0 and layer < first for layer in range(layers)],
        }[self.sliding]
        return tuple(SLIDING if slide else FULL for slide in slides)


# What a config class does not show: rules that look at other entries, and what the family's own validation admits.
_BY_HAND: dict[str, dict[str, Any]] = {
    "dots1": {"sliding": "top"},
    "gemma2": {"sliding": "even"},
    # These find a rotary table by its base, and a new base by none.
    "granite_swa": {"rope_types": ("linear", "yarn", "llama3", "longrope")},
    "granitemoe_swa": {"rope_types": ("linear", "yarn", "llama3", "longrope")},
    "mistral": {"sliding": "all"},
    "mixtral": {"sliding": "all"},
    "phi3": {"sliding": "all", "rope_types": ("default", "longrope")},
    "phi4_multimodal": {"sliding": "all", "rope_types": ("default", "longrope")},
    "phimoe": {"sliding": "all", "rope_types": ("default", "longrope")},
    "qwen2": {"sliding": "top"},
    "qwen2_moe": {"sliding": "even-below"},
    "qwen3": {"sliding": "top"},
    "qwen3_moe": {"sliding": "all"},
    "starcoder2": {"sliding": "all"},
}


def _read() -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads(files("ropewalk.assets").joinpath("families.json").read_text("utf-8"))
    return rows


def _family(model_type: str, row: Mapping[str, Any]) -> Family:
    entries = {**row, **_BY_HAND.get(model_type, {})}
    if "sliding" in _BY_HAND.get(model_type, {}):
        entries.pop("layer_pattern", None)
    pattern = tuple(entries.pop("layer_pattern", ()))
    return Family(**entries, layer_pattern=pattern)


_ROWS = _read()
SUPPORTED: dict[str, Family] = {name: _family(name, row) for name, row in _ROWS.items() if "refused" not in row}
REFUSED: dict[str, str] = {name: str(row["refused"]) for name, row in _ROWS.items() if "refused" in row}
ROTARY_WITHOUT_KEYS = frozenset(_ROWS)


def supported_family(model_type: str) -> Family:
    """The family of a model type.

    Raises:
        ModelError: ropewalk does not extend that family; the message says why.
    """
    if model_type in SUPPORTED:
        return SUPPORTED[model_type]
    reason = REFUSED.get(model_type, "nobody has checked yet that its attention computes what a method says")
    raise ModelError(
        f"a model family must be one that ropewalk was verified with; got '{model_type}': {reason}. "
        f"docs/families.md lists the {len(SUPPORTED)} that are, gemma, llama, mistral and qwen3 among them; "
        "scripts/census.py examines a new one."
    )


def assumed_family(model_type: str) -> Family:
    """The family's assumptions, or the common ones for a family that ropewalk only inspects."""
    return SUPPORTED.get(model_type, Family())
