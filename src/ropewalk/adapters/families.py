"""Which model families ropewalk extends, and what their config classes assume when a config is silent.

The defaults are those of transformers' config classes; `tests/adapters/test_families.py` compares each row with them.
No torch here: `ropewalk inspect` reads this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

SLIDING = "sliding_attention"
FULL = "full_attention"


@dataclass(frozen=True)
class Family:
    """What a model family's config class assumes.

    Attributes:
        base: `rope_theta` of a config that names none.
        rotated_fraction: Share of each head that is rotated when the config names none.
        head_size: Dimensions of a head when the config names none; None means hidden size / query heads.
        sliding: Which layers slide when the config has no `layer_types`: `none`, `all` (with a `sliding_window`),
            `top` (from `max_window_layers` on, if `use_sliding_window`), `even`, `even-below` (even ones below
            `max_window_layers`, if `use_sliding_window`), `three-of-four`.
        rope_per_layer_type: `rope_parameters` is nested: one entry for sliding layers, one for full ones.
        rope_types: Native rope types that the family's own validation admits; None means all.
        needs_head_dim: transformers' yarn and dynamic fail unless the config says `head_dim`, which it may leave null.
    """

    base: float = 10_000.0
    rotated_fraction: float = 1.0
    head_size: int | None = None
    sliding: str = "none"
    rope_per_layer_type: bool = False
    rope_types: tuple[str, ...] | None = None
    needs_head_dim: bool = False

    def layer_types(self, config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
        """The attention type of each layer, from the config or from the family's rule."""
        declared = config.get("layer_types")
        if isinstance(declared, list) and len(declared) == layers:
            return tuple(str(kind) for kind in declared)
        uses = config.get("use_sliding_window", self.sliding in ("all", "even", "three-of-four"))
        # These two alternate by design, and have a window even when the config is silent about it.
        has_window = config.get("sliding_window") or self.sliding in ("even", "three-of-four")
        if not (uses and has_window):
            return (FULL,) * layers
        first = int(config.get("max_window_layers", 28))
        slides = {
            "none": [False] * layers,
            "all": [True] * layers,
            "top": [layer >= first for layer in range(layers)],
            "even": [layer % 2 == 0 for layer in range(layers)],
            "even-below": [layer % 2 == 0 and layer < first for layer in range(layers)],
            "three-of-four": [layer % 4 != 3 for layer in range(layers)],
        }[self.sliding]
        return tuple(SLIDING if slide else FULL for slide in slides)


SUPPORTED: dict[str, Family] = {
    "gemma": Family(head_size=256),
    "gemma2": Family(head_size=256, sliding="even"),
    "gpt_neox": Family(rotated_fraction=0.25),
    "granite": Family(),
    "llama": Family(),
    "mistral": Family(sliding="all"),
    "mixtral": Family(base=1_000_000.0, sliding="all", needs_head_dim=True),
    "olmo": Family(),
    "olmo2": Family(),
    "olmo3": Family(base=500_000.0, sliding="three-of-four", rope_per_layer_type=True),
    "olmoe": Family(),
    "phi": Family(rotated_fraction=0.5),
    "phi3": Family(sliding="all", rope_types=("default", "longrope")),
    "qwen2": Family(sliding="top"),
    "qwen2_moe": Family(sliding="even-below"),
    "qwen3": Family(head_size=128, sliding="top"),
    "qwen3_moe": Family(sliding="all"),
    "seed_oss": Family(head_size=128),
    "stablelm": Family(rotated_fraction=0.25),
    "starcoder2": Family(sliding="all"),
}

_OWN_TABLES = "its code computes the rotary table itself and never reads rope_parameters, so a new setting is ignored"
_NO_INTERFACE = "its attention does not go through transformers' attention interface, so a position scale is ignored"
REFUSED: dict[str, str] = {
    "codegen": _OWN_TABLES,
    "deepseek_v2": "its rotary part is a separate slice of a compressed key, which ropewalk has not been checked with",
    "deepseek_v3": "its rotary part is a separate slice of a compressed key, which ropewalk has not been checked with",
    "falcon": _NO_INTERFACE,
    "gpt_neox_japanese": _NO_INTERFACE,
    "gptj": _OWN_TABLES,
    "llama4": "it rotates only some layers and scales queries by position already",
    "llama4_text": "it rotates only some layers and scales queries by position already",
    "recurrent_gemma": _OWN_TABLES,
    "roformer": _OWN_TABLES,
    "smollm3": "every fourth layer has no rotary embedding, which ropewalk's position scale does not tell apart",
}
ROTARY_WITHOUT_KEYS = frozenset({*SUPPORTED, *REFUSED})


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
        f"Supported: {', '.join(SUPPORTED)}. To add one, see families.py and its tests."
    )


def assumed_family(model_type: str) -> Family:
    """The family's assumptions, or the common ones for a family that ropewalk only inspects."""
    return SUPPORTED.get(model_type, Family())
