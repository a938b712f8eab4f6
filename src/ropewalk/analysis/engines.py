"""What serving engines compute from a config: which rope keys they read, and the tables that follow.

By formula, from their sources; no engine runs here. Where versions of an engine read a key differently, each reading is
given, and a checkpoint is safe only where all of them agree.

vLLM     vllm/model_executor/layers/rotary_embedding/{__init__,yarn_scaling_rope,phi3_long_rope_scaled_rope}.py, as of
         926c71f, 07b12f1 and ffdc985. yarn reads `attn_factor` (a multiplier of its default) and not
         `attention_factor` (vllm-project/vllm#48351); `truncate` since 926c71f. longrope reads `short_mscale` and
         `long_mscale`. The scale of `ministral3` stands at the top level (#48621), later also among the rope keys.
SGLang   python/sglang/srt/layers/rotary_embedding/{factory,yarn,rope_variant}.py, as of eb047c1 and 0b1fd02. The same
         formulas; longrope chooses between short and long by `any(position > original)` in each batch.

Both compute their tables once, for so many positions; beyond them there is nothing to read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import CarrierError, unknown_name
from ropewalk.rope import Rope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ropewalk.rope import Floats

# The readings are float64 formulas, as the methods are; a base is written with ten digits.
TOLERANCE = 1e-8
# Radians per token that count as none.
STANDS_STILL = 2e-12
# Rows of cosines and sines that an engine can be expected to hold: 2 ** 24 of 128 float32 numbers are 8 GiB.
MOST_ROWS = 1 << 24
_COMMON = ("rope_type", "type", "rope_theta", "partial_rotary_factor")


@dataclass(frozen=True)
class Reading:
    """What an engine makes of a config.

    Attributes:
        version: Which versions read it so.
        frequencies: Radians per token, `[pairs]`.
        attention_factor: On cos and sin.
        rows: Positions of its table.
        ignored: Rope keys of the config that it does not read.
        astray: Positions at which it takes the wrong row of its table.
        stairs: beta and length (tokens) of a scale on queries, or None.
    """

    version: str
    frequencies: Floats
    attention_factor: float
    rows: float
    ignored: tuple[str, ...]
    astray: tuple[int, ...] = ()
    stairs: tuple[float, int] | None = None


def readings(
    engine: str, parameters: Mapping[str, Any], top: Mapping[str, Any], head_dim: int, declared_length: int
) -> tuple[Reading, ...]:
    """All documented readings of a config by an engine.

    Args:
        engine: `vllm` or `sglang`.
        parameters: The rope keys, one flat dictionary with the base.
        top: The top level of the config.
        head_dim: Rotated dimensions of a head.
        declared_length: `max_position_embeddings`, tokens.

    Raises:
        UnknownNameError: No such engine.
        CarrierError: A rope type that the engine does not know, or one whose keys are incomplete.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    kind = str(parameters.get("rope_type", "default"))
    if kind not in _TABLES:
        raise CarrierError(f"{engine} must know the rope type; it knows {', '.join(_TABLES)} and not '{kind}'.")
    try:
        return ENGINES[engine](kind, parameters, top, head_dim, declared_length)
    except KeyError as error:
        raise CarrierError(f"{engine} must find every key of rope type '{kind}'; {error} is missing.") from None


@dataclass(frozen=True)
class Wanted:
    """What an engine is to compute.

    Attributes:
        frequencies: Radians per token, `[pairs]`.
        attention_factor: On cos and sin.
        target_length: Tokens that the table must cover.
        stairs: beta and length of the scale on queries, or None.
    """

    frequencies: Floats
    attention_factor: float
    target_length: int
    stairs: tuple[float, int] | None = None


def mismatch(found: Iterable[Reading], wanted: Wanted, tolerance: float = TOLERANCE) -> str | None:
    """The first way in which a reading is not what is wanted, naming the key; None where there is none.

    Args:
        found: What an engine's versions read.
        wanted: What they are to compute.
        tolerance: Relative, of frequencies and factors.
    """
    for reading in found:
        complaint = _mismatch(reading, wanted, tolerance)
        if complaint is not None:
            unread = f" (it does not read {', '.join(reading.ignored)})" if reading.ignored else ""
            return f"{reading.version} {complaint}{unread}"
    return None


def _mismatch(reading: Reading, wanted: Wanted, tolerance: float) -> str | None:
    if reading.frequencies.shape != wanted.frequencies.shape:
        return f"rotates {len(reading.frequencies)} pairs instead of {len(wanted.frequencies)}: partial_rotary_factor"
    if not np.allclose(reading.frequencies, wanted.frequencies, rtol=tolerance, atol=STANDS_STILL):
        error = np.abs(reading.frequencies - wanted.frequencies) / np.maximum(wanted.frequencies, STANDS_STILL)
        pair = int(error.argmax())
        return (
            f"turns pair {pair} by {reading.frequencies[pair]:.9g} radians per token instead of "
            f"{wanted.frequencies[pair]:.9g}: rope_type and its factors"
        )
    if not math.isclose(reading.attention_factor, wanted.attention_factor, rel_tol=tolerance):
        return (
            f"multiplies cos and sin by {reading.attention_factor:.9g} instead of {wanted.attention_factor:.9g}: "
            "attention_factor"
        )
    if reading.rows < wanted.target_length:
        return f"has a table of {reading.rows:,.0f} positions instead of {wanted.target_length:,}: factor"
    if reading.rows > MOST_ROWS:
        return f"would make a table of {reading.rows:.3g} positions, more than memory holds: factor"
    if reading.astray:
        return f"takes the wrong row at position {reading.astray[0]:,}: original_max_position_embeddings"
    if not _same_stairs(reading.stairs, wanted.stairs, tolerance):
        return f"scales queries by {_stairs(reading.stairs)} instead of {_stairs(wanted.stairs)}: llama_4_scaling"
    return None


def _same_stairs(one: tuple[float, int] | None, other: tuple[float, int] | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one[0], other[0], rel_tol=tolerance) and one[1] == other[1]


def _stairs(stairs: tuple[float, int] | None) -> str:
    return f"stairs of {stairs[1]:,} tokens, beta {stairs[0]:.6g}" if stairs else "nothing"


_Table = tuple["Floats", float, float, tuple[str, ...]]  # frequencies, factor on cos and sin, rows, keys read


def _plain(parameters: Mapping[str, Any], rope: Rope) -> _Table:
    del parameters
    return rope.frequencies, 1.0, rope.trained_length, ()


def _linear(parameters: Mapping[str, Any], rope: Rope) -> _Table:
    factor = float(parameters["factor"])
    return rope.frequencies / factor, 1.0, rope.trained_length * factor, ("factor",)


def _dynamic(parameters: Mapping[str, Any], rope: Rope) -> _Table:
    """One base for every length: that of the longest text the table covers."""
    factor = float(parameters["factor"])
    base = rope.base * (factor * factor - (factor - 1)) ** (rope.head_dim / (rope.head_dim - 2))
    table = Rope(rope.head_dim, base, rope.trained_length).frequencies
    return table, 1.0, rope.trained_length * factor, ("factor",)


def _llama3(parameters: Mapping[str, Any], rope: Rope) -> _Table:
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    factor, low, high, original = (float(parameters[key]) for key in keys)
    turns = original / rope.wavelengths
    smooth = (turns - low) / (high - low) if high != low else np.zeros_like(turns)
    blend = (1 - smooth) * rope.frequencies / factor + smooth * rope.frequencies
    slow = np.where(turns < low, rope.frequencies / factor, blend)
    return np.where(turns > high, rope.frequencies, slow), 1.0, rope.trained_length, keys


def _yarn(parameters: Mapping[str, Any], rope: Rope, *, truncates: bool = True) -> _Table:
    factor, original = float(parameters["factor"]), float(parameters["original_max_position_embeddings"])
    keys = ["factor", "original_max_position_embeddings", "attn_factor", "beta_fast", "beta_slow"]
    low, high = (
        rope.head_dim * math.log(original / (float(parameters.get(key, turns)) * 2 * math.pi)) / 2 / math.log(rope.base)
        for key, turns in (("beta_fast", 32), ("beta_slow", 1))
    )
    if truncates:
        keys.append("truncate")
    if not truncates or parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.head_dim - 1)
    ramp = np.clip((np.arange(rope.pairs) - low) / (high - low if high != low else 0.001), 0, 1)
    default = 1.0 if factor <= 1 else 0.1 * math.log(factor) + 1
    table = rope.frequencies / factor * ramp + rope.frequencies * (1 - ramp)
    return table, default * float(parameters.get("attn_factor", 1.0)), original * factor, tuple(keys)


def _longrope(parameters: Mapping[str, Any], rope: Rope) -> _Table:
    """The long list, for the whole window; a second one can only differ where `_switches`."""
    original = float(parameters["original_max_position_embeddings"])
    scale = rope.trained_length / original
    default = 1.0 if scale <= 1 else math.sqrt(1 + math.log(scale) / math.log(original))
    long = scale > 1
    factors = np.asarray(parameters["long_factor" if long else "short_factor"], dtype=np.float64)
    factor = float(parameters.get("long_mscale" if long else "short_mscale", default))
    keys = ("short_factor", "long_factor", "short_mscale", "long_mscale", "original_max_position_embeddings")
    # The explicit attention_factor is what the two mscale say again, and `factor` is not needed.
    return rope.frequencies / factors, factor, rope.trained_length, keys


_TABLES: dict[str, Callable[[Mapping[str, Any], Rope], _Table]] = {
    "default": _plain,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}


def _read(
    version: str, table: _Table, parameters: Mapping[str, Any], *, stairs: tuple[float, int] | None, more: Any = ()
) -> Reading:
    frequencies, factor, rows, keys = table
    also = ("llama_4_scaling_beta", "original_max_position_embeddings") if stairs else ()
    ignored = tuple(sorted(set(parameters) - {*_COMMON, *keys, *also}))
    return Reading(version, frequencies, factor, rows, ignored, tuple(more), stairs)


def _vllm(
    kind: str, parameters: Mapping[str, Any], top: Mapping[str, Any], head_dim: int, declared_length: int
) -> tuple[Reading, ...]:
    rope = Rope(head_dim, float(parameters.get("rope_theta", 10_000)), declared_length)
    outer = top.get("llama_4_scaling")
    stairs = (float(outer["beta"]), int(outer["original_max_position_embeddings"])) if outer else None
    inner = parameters.get("llama_4_scaling_beta")
    later = stairs or ((float(inner), int(parameters["original_max_position_embeddings"])) if inner else None)
    older = _yarn(parameters, rope, truncates=False) if kind == "yarn" else _TABLES[kind](parameters, rope)
    old = _read("vLLM (up to 0.25)", older, parameters, stairs=stairs)
    return old, _read("vLLM (later)", _TABLES[kind](parameters, rope), parameters, stairs=later)


def _sglang(
    kind: str, parameters: Mapping[str, Any], top: Mapping[str, Any], head_dim: int, declared_length: int
) -> tuple[Reading, ...]:
    del top
    rope = Rope(head_dim, float(parameters.get("rope_theta", 10_000)), declared_length)
    astray = []
    if kind == "longrope" and int(parameters["original_max_position_embeddings"]) < declared_length:
        # `any(position > original)` is false at this very position, and the short table ends before it.
        astray = [int(parameters["original_max_position_embeddings"])]
    return (_read("SGLang", _TABLES[kind](parameters, rope), parameters, stairs=None, more=astray),)


ENGINES = {"vllm": _vllm, "sglang": _sglang}
