"""What others' scaled configs say, as our methods: YaRN, LongRoPE, llama3, linear, dynamic, and Entropy-ABF's release.

Nothing here imports torch. transformers computes all but the last from the config itself; the reading is for people,
for records, and for comparison. Entropy-ABF's released configs (arXiv 2401.07004) hold `{"type": "eabf", "factor": 4}`,
which no library reads: its patch sets base 500,000 and scales queries, and `adopted` writes that as our own record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import RECORD, ModelConfig, parse_config, scaling_type
from ropewalk.adapters.families import assumed_family
from ropewalk.adapters.record import method_record
from ropewalk.errors import OptionError
from ropewalk.methods.dynamic_ntk import DynamicNtk
from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.methods.linear import Linear
from ropewalk.methods.llama3 import Llama3
from ropewalk.methods.longrope import LongRope
from ropewalk.methods.yarn import Yarn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ropewalk.method import Method
    from ropewalk.rope import Rope

ENTROPY_ABF_RELEASE = "eabf"
# The released patch sets this base, whatever the config says.
RELEASED_BASE = 500_000.0


@dataclass(frozen=True)
class Foreign:
    """A reading of a config that ropewalk did not write.

    Attributes:
        method: The method, or None where there is none that computes the same.
        rope: The trained geometry that the method starts from.
        target_length: Tokens of the window after scaling.
        notes: What the config leaves open, or why there is no method.
    """

    method: Method | None
    rope: Rope
    target_length: int
    notes: tuple[str, ...] = ()


def read_foreign(config: ModelConfig) -> Foreign | None:
    """Reads a scaling that ropewalk did not write; None where nothing scales, or ropewalk recorded the method."""
    if config.extension is not None or config.declared_scaling is None:
        return None
    scaling, kind = config.declared_scaling, scaling_type(config.declared_scaling)
    reader = _READERS.get(kind)
    if reader is None:
        return Foreign(None, config.rope, config.declared_length, (f"no method here computes rope type '{kind}'",))
    try:
        return reader(config, scaling)
    except (OptionError, TypeError, ValueError, KeyError) as error:
        why = f"its {kind} setting cannot be read as a method ({error})"
        return Foreign(None, config.rope, config.declared_length, (why,))


def adopted(config: ModelConfig, *, exempt_layers: int = 2) -> ModelConfig:
    """The same config, or that of ropewalk's own extension where it is a release of Entropy-ABF.

    Args:
        config: As read.
        exempt_layers: First layers whose logits stay as they are: 2 as the paper says, 0 as the released code computes.
    """
    scaling = config.declared_scaling or {}
    if config.extension is not None or scaling_type(scaling) != ENTROPY_ABF_RELEASE:
        return config
    method = EntropyAbf(base=RELEASED_BASE, exempt_layers=exempt_layers)
    target = _reached(config, float(scaling.get("factor", 1.0)))
    text = {
        **config.text,
        "rope_parameters": {"rope_type": "default", "rope_theta": RELEASED_BASE},
        "rope_theta": RELEASED_BASE,
        "rope_scaling": None,
        "max_position_embeddings": target,
        RECORD: method_record(method, config.rope, target),
    }
    return parse_config(text if config.text is config.raw else {**config.raw, "text_config": text}, config.path)


def target_length_of(config: ModelConfig) -> int:
    """Tokens of a model's window as it is now."""
    if config.extension is not None:
        return int(config.extension.get("target_length", config.declared_length))
    foreign = read_foreign(config)
    return config.declared_length if foreign is None else foreign.target_length


def _reached(config: ModelConfig, factor: float) -> int:
    """The window after scaling: as declared, or the factor times the trained one where that was left standing."""
    trained = config.rope.trained_length
    return config.declared_length if config.declared_length > trained else round(factor * trained)


def _linear(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    factor = float(scaling["factor"])
    return Foreign(Linear(factor), config.rope, _reached(config, factor))


def _dynamic(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    alpha = float(scaling["factor"])
    # transformers begins to scale at the declared window, whatever else the config says.
    rope = replace(config.rope, trained_length=config.declared_length)
    note = "its frequencies follow the longest position of a call, so keys that were cached before are not exact"
    return Foreign(DynamicNtk(alpha), rope, round(alpha * config.declared_length), (note,))


def _yarn(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    factor = _factor(config, scaling)
    mscale, all_dimensions = scaling.get("mscale"), scaling.get("mscale_all_dim")
    stated, notes = scaling.get("attention_factor"), []
    if stated is None and mscale and all_dimensions:
        stated = _mscale(factor, float(mscale)) / _mscale(factor, float(all_dimensions))
    if all_dimensions and config.text.get("kv_lora_rank") is not None:
        # DeepSeek's attention multiplies its softmax scale by the square of this, beside what the rotation brings.
        stated = (_mscale(factor, 1.0) if stated is None else float(stated)) * _mscale(factor, float(all_dimensions))
        notes.append("its attention scale is DeepSeek's: mscale_all_dim acts on whole queries, in the model's own code")
    # A per-layer-type entry's own 'truncate' is not read.
    nested = assumed_family(config.model_type).rope_per_layer_type
    method = Yarn(
        factor=factor,
        beta_fast=float(scaling.get("beta_fast") or 32),
        beta_slow=float(scaling.get("beta_slow") or 1),
        truncate=nested or bool(scaling.get("truncate", True)),
        attention_factor=None if stated is None else float(stated),
    )
    return Foreign(method, config.rope, _reached(config, factor), tuple(notes))


def _mscale(factor: float, weight: float) -> float:
    """YaRN's attention factor with DeepSeek's weight on the logarithm (arXiv 2405.04434, released code)."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _longrope(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    factor = _factor(config, scaling)
    short, long = scaling["short_factor"], scaling["long_factor"]
    stated = scaling.get("attention_factor")
    method = LongRope(
        factor=factor,
        factors=tuple(float(value) for value in long),
        attention_factor=None if stated is None else float(stated),
    )
    notes: tuple[str, ...] = ()
    if list(short) != list(long):
        notes = (
            f"beyond {config.rope.trained_length:,} tokens, as described; a call that ends before takes short_factor",
        )
    method.frequencies(config.rope)
    return Foreign(method, config.rope, _reached(config, factor), notes)


def _llama3(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    factor = float(scaling["factor"])
    bends = {key: float(scaling[key]) for key in ("low_freq_factor", "high_freq_factor")}
    return Foreign(Llama3(factor, **bends), config.rope, _reached(config, factor))


def _entropy_abf(config: ModelConfig, scaling: Mapping[str, Any]) -> Foreign:
    note = (
        "read with the paper's two exempt layers; its released code scales all layers, and ropewalk.load computes that "
        "with exempt_layers=0"
    )
    target = _reached(config, float(scaling.get("factor", 1.0)))
    return Foreign(EntropyAbf(base=RELEASED_BASE), config.rope, target, (note,))


def _factor(config: ModelConfig, scaling: Mapping[str, Any]) -> float:
    """The stated factor, or the quotient of the two windows, as transformers takes it."""
    stated = scaling.get("factor")
    return float(stated) if stated is not None else max(1.0, config.declared_length / config.rope.trained_length)


_READERS: dict[str, Callable[[ModelConfig, Mapping[str, Any]], Foreign]] = {
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "su": _longrope,
    "llama3": _llama3,
    ENTROPY_ABF_RELEASE: _entropy_abf,
}
