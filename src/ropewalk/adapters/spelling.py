"""One rope setting, written so that transformers 4.57 and 5.x read the same.

transformers 5 saves `rope_parameters` alone, which 4.57 does not read: it computes with base 10,000 and no scaling, and
says nothing. 5.x lets a `rope_scaling` beside `rope_parameters` win and takes the base from the top level, so both
spellings must say the same. Pure dictionaries, no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import rope_dictionary, scaling_type
from ropewalk.adapters.families import FULL, SLIDING, assumed_family

if TYPE_CHECKING:
    from collections.abc import Mapping

# GPT-NeoX-type config classes read these names from the top level, and nothing else.
_OLD_NAMES = {"gpt_neox": ("rotary_emb_base", "rotary_pct")}
# The config classes of these families in 4.57 admit exactly {"type", "factor"}, for linear and dynamic alone. Of what
# they do not admit they raise an error, which is better than computing without it.
_TYPE_AND_FACTOR = ("olmo", "olmo2")


def transformers_4_refuses(model_type: str, kind: str) -> bool:
    """Whether the family's config class in transformers 4.57 raises an error for a rope type (5.x reads them all)."""
    if model_type in _TYPE_AND_FACTOR:
        return kind not in ("default", "linear", "dynamic")
    return model_type == "phi3" and kind != "default"


def rope_parameters(text: Mapping[str, Any], rope: Mapping[str, Any]) -> dict[str, Any]:
    """The `rope_parameters` of a config whose full-attention layers get `rope`.

    Layers with a window of their own (nested `rope_parameters`) keep what they have: they never see a distance that
    they were not trained with.

    Args:
        text: The config as it stands.
        rope: Rope type, base and the type's own keys.
    """
    model_type = str(text.get("model_type"))
    before = rope_dictionary(text, model_type)
    after = dict(rope)
    if before["partial_rotary_factor"] != 1.0 or "partial_rotary_factor" in (text.get("rope_parameters") or {}):
        after["partial_rotary_factor"] = before["partial_rotary_factor"]
    if not assumed_family(model_type).rope_per_layer_type:
        return after
    declared = text.get("rope_parameters") or {}
    sliding = dict(declared.get(SLIDING) or {"rope_type": "default", "rope_theta": before["rope_theta"]})
    return {SLIDING: sliding, FULL: after}


def both_spellings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config dictionary with the newer and the older spelling of its rope setting; everything else unchanged."""
    model_type = str(config.get("model_type"))
    full = rope_dictionary(config, model_type)
    scales = scaling_type(full) != "default"
    base, fraction = full.pop("rope_theta"), full.pop("partial_rotary_factor")
    full["rope_type"] = full.pop("type", None) or full.get("rope_type", "default")
    short = model_type in _TYPE_AND_FACTOR and full["rope_type"] in ("linear", "dynamic")
    scaling = {"type": full["rope_type"], "factor": full["factor"]} if short else full
    after = {**config, "rope_theta": base, "rope_scaling": scaling if scales else None}
    if not isinstance(config.get("rope_parameters"), dict):
        after["rope_parameters"] = rope_parameters(config, {**full, "rope_theta": base})
    old_base, old_fraction = _OLD_NAMES.get(model_type, ("rope_theta", "partial_rotary_factor"))
    after[old_base] = base
    if fraction != 1.0 or old_fraction in config:
        after[old_fraction] = fraction
    return after
