"""One rope setting, written so that transformers 4.57 and 5.x read the same.

transformers 5 saves `rope_parameters` alone, which 4.57 does not read: it computes with base 10,000 and no scaling, and
says nothing. 5.x lets a `rope_scaling` beside `rope_parameters` win and takes the base from the top level, so both
spellings must say the same. Pure dictionaries, no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import rope_dictionary, scaling_type, text_part
from ropewalk.adapters.families import FULL, assumed_family

if TYPE_CHECKING:
    from collections.abc import Mapping

# GPT-NeoX-type config classes read these names from the top level, and nothing else.
_OLD_NAMES = dict.fromkeys(("gpt_neox", "gpt_neox_japanese"), ("rotary_emb_base", "rotary_pct"))
# Of the families with one setting for each layer type, these had an older spelling of a scaling.
_NESTED_BEFORE = ("olmo3", "gemma3_text")
# Base of the sliding layers, in the older spelling.
_LOCAL_BASES = ("rope_local_base_freq", "local_rope_theta")
# What belongs to a rope type or to its place in the config; everything else in a rope setting stays as it is.
_OF_A_TYPE = frozenset(
    "rope_type type rope_theta factor original_max_position_embeddings attention_factor beta_fast beta_slow truncate "
    "mscale mscale_all_dim low_freq_factor high_freq_factor short_factor long_factor short_mscale long_mscale "
    "partial_rotary_factor max_position_embeddings".split()
)
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
    kept = {key: value for key, value in before.items() if key not in _OF_A_TYPE}
    if "llama_4_scaling_beta" in kept and "original_max_position_embeddings" in before:
        kept["original_max_position_embeddings"] = before["original_max_position_embeddings"]
    after = {**kept, **rope}
    if before["partial_rotary_factor"] != 1.0 or "partial_rotary_factor" in (text.get("rope_parameters") or {}):
        after["partial_rotary_factor"] = before["partial_rotary_factor"]
    if not assumed_family(model_type).rope_per_layer_type:
        return after
    declared = text.get("rope_parameters") or {}
    others = {
        kind: dict(declared.get(kind) or {"rope_type": "default", "rope_theta": layer_base(text, kind)})
        for kind in assumed_family(model_type).layer_bases
        if kind != FULL
    }
    return {**others, FULL: after}


def layer_base(text: Mapping[str, Any], kind: str) -> float:
    """The base of the layers of one attention type, in a family that keeps one for each."""
    declared = (text.get("rope_parameters") or {}).get(kind) or {}
    if "rope_theta" in declared:
        return float(declared["rope_theta"])
    model_type = str(text.get("model_type"))
    assumed = assumed_family(model_type).layer_bases
    if len(set(assumed.values())) == 1:  # OLMo 3: one base for both, unless the entries say otherwise
        return float(rope_dictionary(text, model_type)["rope_theta"])
    older = [text[name] for name in _LOCAL_BASES if text.get(name) is not None]
    return float(older[0] if older else assumed[kind])


def both_spellings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config dictionary with the newer and the older spelling of its rope setting; everything else unchanged."""
    if (text := text_part(config)) is not config:
        return {**config, "text_config": both_spellings(text)}
    model_type = str(config.get("model_type"))
    family = assumed_family(model_type)
    if family.rope_per_layer_type and model_type not in _NESTED_BEFORE:
        return {key: value for key, value in config.items() if key not in ("rope_scaling", "rope_theta")}
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
