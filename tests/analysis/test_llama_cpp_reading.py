"""What a GGUF's keys make llama.cpp compute, against its C code followed line by line, and each way to be wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropewalk.analysis.engines import Wanted, mismatch
from ropewalk.analysis.llama_cpp import TOLERANCE, read_keys
from ropewalk.errors import CarrierError

PLAIN = {"rope.dimension_count": 64, "context_length": 32_768, "rope.freq_base": 10_000.0}
YARN = {
    **PLAIN,
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 8.0,
    "rope.scaling.original_context_length": 4096,
}
DIVISORS = np.linspace(1, 8, 32)


def followed(keys, divisors, *, betas=(32.0, 1.0)):
    """ggml_rope_cache_init and rope_yarn for position 1, and the factor of llama-context.cpp: a loop over pairs."""
    kind, dimensions, base = keys.get("rope.scaling.type", "linear"), 64, keys["rope.freq_base"]
    freq_scale = 1.0 if kind == "none" else 1 / keys.get("rope.scaling.factor", 1.0)
    corrections = []
    for turns, rounded in zip(betas, (math.floor, math.ceil), strict=True):
        original = keys.get("rope.scaling.original_context_length", keys["context_length"])
        corrections.append(rounded(dimensions * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))))
    low, high = max(0, corrections[0]), min(dimensions - 1, corrections[1])
    table, theta, mscale = [], 1.0, 1.0
    if kind == "yarn":
        mscale = 0.1 * math.log(1 / freq_scale) + 1.0
        mscale *= 1.0 / (1.0 + 0.1 * math.log(1 / freq_scale))  # llama-context.cpp cancels what ggml puts back
    mscale *= keys.get("rope.scaling.attn_factor", 1.0)
    for pair in range(dimensions // 2):
        extrapolated = theta / (1.0 if divisors is None else divisors[pair])
        angle = freq_scale * extrapolated
        if kind == "yarn":
            mix = 1 - min(1, max(0, (pair - low) / max(0.001, high - low)))
            angle = angle * (1 - mix) + extrapolated * mix
        table.append(angle)
        theta *= base ** (-2.0 / dimensions)
    if kind == "yarn":
        mscale *= 1.0 + 0.1 * math.log(1.0 / freq_scale)
    return np.array(table), mscale


@pytest.mark.parametrize("divisors", [None, DIVISORS])
@pytest.mark.parametrize(
    "keys",
    [
        {**PLAIN, "rope.scaling.type": "none", "rope.scaling.factor": 4.0},
        {**PLAIN, "rope.scaling.factor": 4.0},
        {**PLAIN, "rope.scaling.type": "linear", "rope.scaling.factor": 4.0, "rope.scaling.attn_factor": 1.2},
        YARN,
        {**YARN, "rope.scaling.attn_factor": 0.8},
    ],
)
def test_the_table_is_that_of_the_c_code(keys, divisors):
    table, scale = followed(keys, divisors)
    found = read_keys("llama", keys, divisors)
    np.testing.assert_allclose(found.frequencies, table, rtol=1e-12)
    assert found.attention_factor == pytest.approx(scale, rel=1e-12)
    wanted = Wanted(table, scale, 32_768)
    assert mismatch((found,), wanted, TOLERANCE) is None
    for wrong, words in (
        (Wanted(table * np.where(np.arange(32) == 9, 1.01, 1), scale, 32_768), "turns pair 9"),
        (Wanted(table, scale * 1.01, 32_768), "multiplies cos and sin"),
        (Wanted(table, scale, 65_536), "has a table of 32,768 positions instead of 65,536"),
        (Wanted(table, scale, 32_768, (0.1, 4096)), "scales queries by nothing"),
    ):
        assert words in mismatch((found,), wrong, TOLERANCE)


def test_only_mistral3_reads_betas_and_stairs_and_qwen_no_divisors():
    keys = {**YARN, "rope.scaling.yarn_beta_fast": 16.0, "rope.scaling.yarn_beta_slow": 2.0}
    stairs = {"attention.temperature_scale": 0.12}
    for architecture, betas in (("llama", (32.0, 1.0)), ("mistral3", (16.0, 2.0))):
        table, _ = followed(keys, None, betas=betas)
        np.testing.assert_allclose(read_keys(architecture, keys, None).frequencies, table, rtol=1e-12)
    assert read_keys("mistral3", {**YARN, **stairs}, None).stairs == (0.12, 4096)
    llama = read_keys("llama", {**keys, **stairs}, None)
    assert llama.stairs is None
    assert "attention.temperature_scale" in llama.ignored
    qwen = read_keys("qwen2", YARN, DIVISORS)
    assert qwen.ignored == ("rope_freqs.weight",)
    np.testing.assert_array_equal(qwen.frequencies, read_keys("qwen2", YARN, None).frequencies)


def test_keys_that_say_too_little_or_too_much_are_refused():
    with pytest.raises(CarrierError, match="must be none, linear, yarn; it is 'longrope'"):
        read_keys("llama", {**PLAIN, "rope.scaling.type": "longrope"}, None)
    with pytest.raises(CarrierError, match=r"'rope\.dimension_count' is missing"):
        read_keys("llama", {"context_length": 8}, None)
