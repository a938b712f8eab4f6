"""What llama.cpp computes from the keys of a GGUF file: the rotary table, its factor, and the scale on queries.

By formula, from llama.cpp as of commit 0c1e570 (the one inside llama-cpp-python 0.3.36):

rope keys    src/llama-model.cpp, load_hparams: `rope.freq_base`, `rope.scaling.{type,factor,original_context_length,
             attn_factor}`. An absent type means linear, an absent factor 1.
constants    src/llama-context.cpp: the type none undoes the factor; yarn's own factor on cos and sin is
             0.1 ln(factor) + 1, and `rope.scaling.attn_factor` multiplies whatever there is.
table        ggml/src/ggml-cpu/ops.cpp, rope_yarn and ggml_rope_cache_init; ggml/src/ggml.c, ggml_rope_yarn_corr_dims:
             base frequency / divisor, by yarn's ramp between that and the same / factor. Divisors are the tensor
             `rope_freqs.weight`, which the architectures llama and mistral3 read and qwen2 and qwen3 do not
             (src/models/*.cpp). yarn's betas are keys that only mistral3 reads; elsewhere they are 32 and 1, and the
             ramp is always cut to whole pairs.
stairs       src/models/mistral3.cpp and src/llama-graph.cpp, llm_graph_input_attn_temp: queries times
             1 + `attention.temperature_scale` ln(1 + floor(p / original_context_length)).

Numbers are stored in float32; the formulas here are float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.analysis.engines import Reading
from ropewalk.errors import CarrierError
from ropewalk.rope import Rope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.rope import Floats

# Keys and divisors are float32: each is off by 6e-8 at most, and a base by as much times ln(base) / ln(base).
TOLERANCE = 3e-7
# The tensor of divisors, and who reads it.
DIVISORS = "rope_freqs.weight"
READ_DIVISORS = ("llama", "mistral3")
_TYPES = ("none", "linear", "yarn")
_YARN_KEYS = ("rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier")


def read_keys(architecture: str, keys: Mapping[str, Any], divisors: Floats | None) -> Reading:
    """The rotary table of a GGUF file.

    Args:
        architecture: As `general.architecture` says: llama, mistral3, qwen2 or qwen3.
        keys: The architecture's keys, without its name in front.
        divisors: `rope_freqs.weight`, `[pairs]`, or None.

    Raises:
        CarrierError: A rope type whose formula is not written down here, or a key that is missing.
    """
    kind = str(keys.get("rope.scaling.type", "linear"))
    if kind not in _TYPES:
        raise CarrierError(f"the rope type of a GGUF must be {', '.join(_TYPES)}; it is '{kind}'. Export it again.")
    try:
        trained = Rope(
            int(keys["rope.dimension_count"]), float(keys.get("rope.freq_base", 10_000)), int(keys["context_length"])
        )
    except KeyError as error:
        raise CarrierError(f"a GGUF must hold every rope key; {error} is missing. Export it again.") from None
    read = divisors is not None and architecture in READ_DIVISORS
    plain = trained.frequencies / divisors if read and divisors is not None else trained.frequencies
    factor = 1.0 if kind == "none" else float(keys.get("rope.scaling.factor", 0)) or 1.0
    original = int(keys.get("rope.scaling.original_context_length", keys["context_length"]))
    frequencies, scale = plain / factor, 1.0
    if kind == "yarn":
        scale = 1.0 if factor <= 1 else 0.1 * math.log(factor) + 1
        share = _ramp(architecture, keys, trained, original)
        frequencies = plain / factor * share + plain * (1 - share)
    beta = float(keys.get("attention.temperature_scale", 0)) if architecture == "mistral3" else 0.0
    return Reading(
        "llama.cpp",
        frequencies,
        scale * float(keys.get("rope.scaling.attn_factor", 1.0)),
        int(keys["context_length"]),  # computed as they are needed; this is what the file declares
        _unread(architecture, keys, divisors),
        stairs=(beta, original) if beta else None,
    )


def _ramp(architecture: str, keys: Mapping[str, Any], rope: Rope, original: int) -> Floats:
    """The share of the stretched frequency in each pair, `[pairs]`."""
    fast, slow = 32.0, 1.0
    if architecture == "mistral3":
        fast, slow = float(keys.get(_YARN_KEYS[0], fast)), float(keys.get(_YARN_KEYS[1], slow))
    low, high = (
        rope.head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(rope.base)) for turns in (fast, slow)
    )
    low, high = max(0, math.floor(low)), min(rope.head_dim - 1, math.ceil(high))
    return np.asarray(np.clip((np.arange(rope.pairs) - low) / max(0.001, high - low), 0, 1), dtype=np.float64)


def _unread(architecture: str, keys: Mapping[str, Any], divisors: Floats | None) -> tuple[str, ...]:
    """What the file says and the architecture does not look at."""
    found = [] if architecture == "mistral3" else [key for key in _YARN_KEYS if key in keys]
    if architecture != "mistral3" and "attention.temperature_scale" in keys:
        found.append("attention.temperature_scale")
    if divisors is not None and architecture not in READ_DIVISORS:
        found.append(DIVISORS)
    return tuple(found)
