"""Which setting of transformers carries a method, decided by comparing numbers, not names.

Native rope types are tried first; one is taken only if the table that transformers computes from it is the method's.
Otherwise the method travels in `longrope` with short_factor = long_factor = trained / wanted frequency and an explicit
attention factor: without a difference between short and long nothing ever switches, so caches stay right. A static
method therefore needs no code here. A method that stops every pair (no rotary embedding) is `linear` with a factor of
1e12: at a million tokens no pair has turned by more than a millionth of a radian.

transformers multiplies cos and sin by its attention factor, so logits get the square; `attention_scale` speaks of
logits, hence the square roots below. vLLM's longrope reads `short_mscale` and `long_mscale` and not `attention_factor`,
so the container names all three; transformers logs one line about the two keys that it does not know, and ignores them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ropewalk.adapters.families import Family
    from ropewalk.method import Method
    from ropewalk.rope import Floats, Rope

# transformers raises the base to float32 exponents: an error of half a unit in the last place of the exponent becomes
# ln(base) times as much in the frequency, 8e-7 for base 500,000.
RELATIVE_TOLERANCE = 2e-6
# A pair that a method stops (frequency 0) has an infinite factor, which JSON cannot hold; this one never turns either.
_STOPPED = 1e30
_NO_ROTARY = 1e12
# Radians per token that count as none; float32 rounds 1e-12 up.
STANDS_STILL = 2e-12


@dataclass(frozen=True)
class Carrier:
    """How a method is written into a config.

    Attributes:
        name: `default`, `linear`, `dynamic`, `yarn`, `llama3` or `longrope`.
        rope_parameters: Rope type, base and the type's own keys (flat; `spelling` places them).
        max_position_embeddings: Tokens that the config declares.
        records_scale: The scale varies over positions or layers; only ropewalk's own record in the config holds it.
    """

    name: str
    rope_parameters: Mapping[str, Any]
    max_position_embeddings: int
    records_scale: bool

    @property
    def exact(self) -> bool:
        """Plain transformers computes the method exactly from the config alone."""
        return not self.records_scale


def carrier(method: Method, rope: Rope, target_length: int, family: Family, layers: int) -> Carrier:
    """The exact carrier of a method.

    Raises:
        CarrierError: No setting of transformers gives the method's numbers.
    """
    factor = attention_factor(method, rope, target_length, layers)
    for parameters in candidates(method, rope, target_length, factor, family):
        kind = parameters["rope_type"]
        if computes(parameters, method, rope, target_length, factor):
            return Carrier(kind, parameters, declared_length(kind, rope, target_length), method.scale_varies)
    admitted = "all types" if family.rope_types is None else " and ".join(family.rope_types)
    raise CarrierError(
        f"a config must give the numbers of the method exactly, because a model that is silently off is worse than "
        f"none; no rope type of transformers does for '{method.name}' with this model (its family admits {admitted}). "
        "A method that depends on the length can only be dynamic NTK, in a family that admits 'dynamic': choose a "
        "static method instead."
    )


def attention_factor(method: Method, rope: Rope, target_length: int, layers: int) -> float:
    """The factor on cos and sin, whose square multiplies the logits; 1 where the scale varies.

    Raises:
        CarrierError: The method says that its scale is constant, but it is not, or it is not above 0.
    """
    if method.scale_varies:
        return 1.0
    positions = np.unique(np.array([0, rope.trained_length - 1, rope.trained_length, target_length - 1]))
    scales = np.concatenate([method.attention_scale(rope, positions, layer) for layer in range(layers)])
    if scales.min() <= 0 or np.ptp(scales) > 0:
        raise CarrierError(
            f"a constant attention scale must be one number above 0; '{method.name}' gives {scales.min():g} to "
            f"{scales.max():g}. Set scale_varies = True in the method."
        )
    return math.sqrt(float(scales[0]))


def declared_length(kind: str, rope: Rope, target_length: int) -> int:
    """What `max_position_embeddings` says under a rope type: dynamic takes it for the trained window."""
    return rope.trained_length if kind == "dynamic" else target_length


def candidates(
    method: Method, rope: Rope, target_length: int, factor: float, family: Family
) -> Iterator[dict[str, Any]]:
    """Rope settings that might be the method and that the family admits, the most widely understood ones first.

    Args:
        method: What is to be carried.
        rope: The trained geometry.
        target_length: Tokens of the new window.
        factor: On cos and sin; see `attention_factor`.
        family: Which rope types it admits.
    """
    for parameters in (*_native(method, rope, factor), container(method, rope, target_length, factor)):
        if family.rope_types is not None and parameters["rope_type"] not in family.rope_types:
            continue
        # transformers 4 keeps one base for all layers, and 5.23 reads a nested 'truncate' from the wrong place.
        if family.rope_per_layer_type and (parameters["rope_theta"] != rope.base or "truncate" in parameters):
            continue
        yield parameters


def _native(method: Method, rope: Rope, factor: float) -> Iterator[dict[str, Any]]:
    """Native settings that might be the method."""
    same_base = {"rope_theta": float(rope.base)}
    original = {"original_max_position_embeddings": rope.trained_length}
    options = method.options
    if method.depends_on_length:
        strength = options.get("alpha", options.get("factor"))
        if isinstance(strength, int | float):
            yield {"rope_type": "dynamic", "factor": float(strength), **same_base}
        return
    frequencies = method.frequencies(rope)
    if frequencies.max() <= 0:
        yield {"rope_type": "linear", "factor": _NO_ROTARY, **same_base}
    if frequencies.min() <= 0:
        return
    stretch = rope.frequencies / frequencies
    if rope.pairs > 1:
        # Pair i of base B turns by B ** (-2 i / d): the slowest pair tells the base.
        base = float(frequencies[-1] ** (-rope.head_dim / (rope.head_dim - 2)))
        yield {"rope_type": "default", "rope_theta": options.get("base", _rounded(base, rope.base))}
    if stretch.min() < 1 - RELATIVE_TOLERANCE:  # these types speed no pair up
        return
    yield {"rope_type": "linear", "factor": float(stretch[0]), **same_base}
    slowest = float(options.get("factor", stretch[-1]))
    ramp = {key: float(options[key]) for key in ("beta_fast", "beta_slow") if options.get(key) not in (None, 32.0, 1.0)}
    if options.get("truncate") is False:
        ramp["truncate"] = False
    yarn = {"rope_type": "yarn", "factor": slowest, **original, **ramp, **same_base}
    yield yarn
    yield {**yarn, "attention_factor": factor}
    bends = {
        key: float(options.get(key, default)) for key, default in (("low_freq_factor", 1), ("high_freq_factor", 4))
    }
    yield {"rope_type": "llama3", "factor": slowest, **original, **bends, **same_base}


def container(
    method: Method, rope: Rope, target_length: int, factor: float, *, original: int | None = None
) -> dict[str, Any]:
    """`longrope` with the same factors for short and long: any static table.

    Args:
        method: What is to be carried.
        rope: The trained geometry.
        target_length: Tokens of the new window.
        factor: On cos and sin.
        original: The length at which readers choose between short and long; None for the trained window. The target
            keeps them from ever choosing.
    """
    original = original or rope.trained_length
    with np.errstate(divide="ignore"):
        stretch = np.minimum(rope.frequencies / method.frequencies(rope), _STOPPED).tolist()
    return {
        "rope_type": "longrope",
        "rope_theta": float(rope.base),
        "factor": target_length / original,
        "original_max_position_embeddings": original,
        "short_factor": stretch,
        "long_factor": list(stretch),
        "attention_factor": factor,
        "short_mscale": factor,
        "long_mscale": factor,
    }


def _rounded(base: float, old: float) -> float:
    """Without the rounding of the fit, so that 'unchanged' is written unchanged and 500000 as 500000."""
    return float(old) if math.isclose(base, old, rel_tol=1e-9) else float(f"{base:.10g}")


def computes(parameters: Mapping[str, Any], method: Method, rope: Rope, target_length: int, factor: float) -> bool:
    """Whether transformers' own table from these parameters is the method's, at every length that matters."""
    if method.depends_on_length and parameters["rope_type"] != "dynamic":
        return False
    middle = (rope.trained_length + target_length) // 2
    lengths = (rope.trained_length, middle, target_length) if method.depends_on_length else (target_length,)
    for length in lengths:
        table, multiplier = transformers_table(parameters, rope, length)
        wanted = method.at(length).frequencies(rope)
        if not (
            np.allclose(table, wanted, rtol=RELATIVE_TOLERANCE, atol=STANDS_STILL) and math.isclose(multiplier, factor)
        ):
            return False
    return True


def transformers_table(parameters: Mapping[str, Any], rope: Rope, length: int) -> tuple[Floats, float]:
    """What transformers computes: frequencies `[pairs]` in radians per token, and the factor on cos and sin."""
    kind = parameters["rope_type"]
    config = LlamaConfig(
        hidden_size=rope.head_dim,
        num_attention_heads=1,
        head_dim=rope.head_dim,
        # Only dynamic computes with this number; the others merely compare it and log what they find odd.
        max_position_embeddings=rope.trained_length + (kind == "llama3"),
        rope_parameters={key: value for key, value in parameters.items() if not key.endswith("_mscale")},
    )
    if kind == "default":
        table, multiplier = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    else:
        table, multiplier = ROPE_INIT_FUNCTIONS[kind](config, seq_len=length)
    return table.double().numpy(), float(multiplier)
