"""Configs that contradict themselves, or that a common reader takes for something else.

Each check was verified against transformers 5.23 and 4.57; none of these settings makes them stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.adapters.families import FULL, SLIDING, assumed_family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ropewalk.adapters.config import ModelConfig

_NEEDS_ORIGINAL = ("yarn", "longrope", "llama3")
_KNOWN_TYPES = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "proportional", "mrope")


def find(config: ModelConfig) -> tuple[str, ...]:
    """One sentence for each contradiction, in a fixed order."""
    return tuple(sentence for check in _CHECKS for sentence in check(config))


def _type(config: ModelConfig) -> str:
    scaling = config.declared_scaling or {}
    return str(scaling.get("rope_type") or scaling.get("type") or "default")


def _original(config: ModelConfig) -> Any:
    scaling = config.declared_scaling or {}
    key = "original_max_position_embeddings"
    return scaling.get(key) or config.text.get(key)


def _unknown_type(config: ModelConfig) -> Iterator[str]:
    if _type(config) not in _KNOWN_TYPES:
        yield f"rope type '{_type(config)}' is not one that transformers knows: loading fails without its own code"


def _original_missing(config: ModelConfig) -> Iterator[str]:
    if _type(config) in _NEEDS_ORIGINAL and not _original(config):
        yield (
            f"{_type(config)} without original_max_position_embeddings: readers take max_position_embeddings "
            f"({config.declared_length:,}) for the trained window, which bends the wrong pairs if it was raised"
        )


def _factor_mismatch(config: ModelConfig) -> Iterator[str]:
    scaling = config.declared_scaling or {}
    original, factor = _original(config), scaling.get("factor")
    # llama3 is left out: Meta's own checkpoints declare factor 8 of 8,192 and a window of 131,072.
    if _type(config) not in ("yarn", "longrope") or not original or not isinstance(factor, int | float):
        return
    # An engine reads max_position_embeddings = original as "scaling not counted yet"; that form is common and clear.
    if config.declared_length not in (original, round(factor * original)):
        yield (
            f"factor {factor:g} x original_max_position_embeddings {original:,} = {factor * original:,.0f}, but "
            f"max_position_embeddings says {config.declared_length:,}"
        )


def _linear_window(config: ModelConfig) -> Iterator[str]:
    if _type(config) == "linear" and not _original(config):
        yield (
            f"linear scaling does not say whether max_position_embeddings ({config.declared_length:,}) is the window "
            "before or after it; it is taken as the trained window here"
        )


def _dynamic_window(config: ModelConfig) -> Iterator[str]:
    if _type(config) != "dynamic":
        return
    original = _original(config)
    if original and config.declared_length > original:
        yield (
            f"dynamic scaling starts beyond max_position_embeddings ({config.declared_length:,}), which was raised "
            f"above the trained window ({original:,}): it never scales inside the declared window"
        )
    yield "dynamic scaling depends on the longest position of a call: cached keys and nested measurements are not exact"


def _two_spellings(config: ModelConfig) -> Iterator[str]:
    new, old = config.text.get("rope_parameters"), config.text.get("rope_scaling")
    top = config.text.get("rope_theta", config.text.get("rotary_emb_base"))
    if isinstance(new, dict) and isinstance(new.get(FULL), dict):
        # Where layers differ, the older spelling's base means different layers in different families.
        new, top = new[FULL], None
    if not isinstance(new, dict):
        return
    if isinstance(old, dict):
        a, b = _comparable(new), _comparable(old)
        differing = sorted(key for key in a.keys() & b.keys() if a[key] != b[key])
        if differing:
            yield (
                f"rope_parameters and rope_scaling disagree on {', '.join(differing)}: transformers 5 takes "
                "rope_scaling, and other readers may take the other"
            )
    elif _type(config) != "default":
        yield "the scaling is in rope_parameters alone: transformers 4 does not read it and applies none"
    base = new.get("rope_theta")
    if base is not None and top is not None and float(base) != float(top):
        yield f"rope_parameters says base {base:g}, the top level says {top:g}: readers differ on which one counts"
    if base is not None and top is None and float(base) != assumed_family(config.model_type).base:
        yield f"base {base:g} is in rope_parameters alone: transformers 4 reads its default instead"


def _comparable(rope: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: value for key, value in rope.items() if key not in ("type", "rope_theta") and value is not None}
    values["rope_type"] = str(rope.get("rope_type") or rope.get("type") or "default")
    return values


def _flat_for_nested(config: ModelConfig) -> Iterator[str]:
    parameters = config.text.get("rope_parameters")
    nested = assumed_family(config.model_type).rope_per_layer_type
    if nested and isinstance(parameters, dict) and parameters and not isinstance(parameters.get(FULL), dict):
        yield (
            f"'{config.model_type}' keeps one rope setting for each layer type; the flat rope_parameters in this "
            "config is ignored by transformers 5, which uses its defaults"
        )
    elif nested and isinstance(parameters, dict) and "truncate" in (parameters.get(FULL) or {}):
        yield (
            "yarn's 'truncate' inside a per-layer-type entry is not read by transformers 5.23 (it looks one level up)"
        )


def _factor_lists(config: ModelConfig) -> Iterator[str]:
    scaling = config.declared_scaling or {}
    for key in ("short_factor", "long_factor"):
        values = scaling.get(key)
        if isinstance(values, list) and len(values) != config.rope.pairs:
            yield f"{key} has {len(values)} numbers, but the heads have {config.rope.pairs} rotated pairs"


def _sliding_everywhere(config: ModelConfig) -> Iterator[str]:
    window = config.sliding_window
    if window and set(config.layer_types) == {SLIDING} and window < config.declared_length:
        yield (
            f"every layer slides over {window:,} tokens: whatever the rotary embedding, a token attends no further "
            f"back, although the window says {config.declared_length:,}"
        )


_CHECKS: tuple[Callable[[ModelConfig], Iterator[str]], ...] = (
    _unknown_type,
    _original_missing,
    _factor_mismatch,
    _linear_window,
    _dynamic_window,
    _two_spellings,
    _flat_for_nested,
    _factor_lists,
    _sliding_everywhere,
)
