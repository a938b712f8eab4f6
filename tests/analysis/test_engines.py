"""What vLLM and SGLang are said to compute, against transformers, plain arithmetic, and each way to be wrong."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from oracles import frequency_rules

from ropewalk import methods
from ropewalk.adapters.carriers import attention_factor, container, transformers_table
from ropewalk.analysis.engines import MOST_ROWS, Wanted, mismatch, readings
from ropewalk.errors import CarrierError, UnknownNameError
from ropewalk.rope import Rope

ROPE = Rope(head_dim=128, base=10_000.0, trained_length=4096)
TARGET = 32_768
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096, "rope_theta": 10_000.0}
LLAMA3 = {**YARN, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LINEAR = {"rope_type": "linear", "factor": 8.0, "rope_theta": 10_000.0}
STEEP = methods.get("yarn")(factor=8.0, ramp="turns")


def read(engine, parameters, top=None, declared=TARGET):
    return readings(engine, parameters, top or {}, ROPE.head_dim, declared)


def wanted(method, **changes):
    factor = attention_factor(method, ROPE, TARGET, 4)
    return dataclasses.replace(Wanted(method.frequencies(ROPE), factor, TARGET), **changes)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_theta": 500_000.0},
        LINEAR,
        YARN,
        LLAMA3,
        {**YARN, "beta_fast": 16.0, "beta_slow": 2.0},
        container(STEEP, ROPE, TARGET, 1.2, original=TARGET),
    ],
    ids=lambda parameters: parameters.get("rope_type", "default"),
)
def test_where_no_version_disagrees_an_engine_reads_what_transformers_computes(engine, parameters):
    table, factor = transformers_table({"rope_type": "default", **parameters}, ROPE, TARGET)
    for reading in read(engine, parameters):
        np.testing.assert_allclose(reading.frequencies, table, rtol=2e-6)
        assert reading.attention_factor == pytest.approx(factor)
        assert reading.rows >= TARGET


def test_yarn_and_llama3_are_read_as_plain_arithmetic_says():
    kept = frequency_rules.kept_by_index(128, 10_000.0, 4096, 32, 1, truncate=True)
    by_hand = frequency_rules.blend(frequency_rules.plain(128, 10_000.0), kept, 8.0)
    np.testing.assert_allclose(read("vllm", YARN)[0].frequencies, by_hand, rtol=1e-12)
    assert read("sglang", YARN)[0].attention_factor == pytest.approx(0.1 * math.log(8) + 1)
    llama3 = frequency_rules.llama3(128, 10_000.0, 4096, 8.0, 1.0, 4.0)
    np.testing.assert_allclose(read("vllm", LLAMA3)[1].frequencies, llama3, rtol=1e-12)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_factor_that_transformers_reads_and_the_engine_does_not_is_named(engine):
    method = methods.get("ntk-by-parts")(factor=8.0)
    complaint = mismatch(read(engine, {**YARN, "attention_factor": 1.0}), wanted(method))
    assert "multiplies cos and sin by 1.20794415 instead of 1: attention_factor" in complaint
    assert "it does not read attention_factor" in complaint


def test_truncation_that_only_later_versions_switch_off_is_named():
    method = methods.get("yarn")(factor=8.0, truncate=False)
    old, later = read("vllm", {**YARN, "truncate": False})
    assert mismatch([later], wanted(method)) is None
    complaint = mismatch([old, later], wanted(method))
    assert complaint.startswith("vLLM (up to 0.25) turns pair")
    assert "it does not read truncate" in complaint
    assert mismatch(read("sglang", {**YARN, "truncate": False}), wanted(method)) is None


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("pair", [0, 20, 63])
def test_one_factor_that_is_off_by_a_percent_is_found(engine, pair):
    carried = container(STEEP, ROPE, TARGET, 1.2, original=TARGET)
    whole = wanted(STEEP, attention_factor=1.2)
    assert mismatch(read(engine, carried), whole) is None
    factors = list(carried["short_factor"])
    factors[pair] *= 1.01
    assert f"turns pair {pair} by" in mismatch(read(engine, {**carried, "short_factor": factors}), whole)
    assert "attention_factor" in mismatch(read(engine, {**carried, "short_mscale": 1.212}), whole)


def test_the_long_list_counts_where_the_window_is_longer_than_the_original():
    carried = container(STEEP, ROPE, TARGET, 1.2)
    wrong = {**carried, "long_factor": [2.0] * 64}
    whole = wanted(STEEP, attention_factor=1.2)
    assert mismatch(read("vllm", carried), whole) is None
    assert "turns pair" in mismatch(read("vllm", wrong), whole)
    default = {key: value for key, value in carried.items() if not key.endswith("_mscale")}
    assert read("vllm", default)[0].attention_factor == pytest.approx(math.sqrt(1 + math.log(8) / math.log(4096)))


def test_sglang_reads_the_wrong_row_at_the_original_window_unless_the_container_never_switches():
    whole = wanted(STEEP, attention_factor=1.2)
    complaint = mismatch(read("sglang", container(STEEP, ROPE, TARGET, 1.2)), whole)
    assert "takes the wrong row at position 4,096: original_max_position_embeddings" in complaint
    assert mismatch(read("sglang", container(STEEP, ROPE, TARGET, 1.2, original=TARGET)), whole) is None


@pytest.mark.parametrize(
    ("parameters", "declared", "words"),
    [
        ({**YARN, "factor": 4.0}, TARGET, "turns pair"),
        (LINEAR, 1 << 22, "a table of 3.36e+07 positions, more than memory holds: factor"),
        ({"rope_theta": 10_000.0}, 4096, "a table of 4,096 positions instead of 32,768: factor"),
    ],
)
def test_a_table_that_is_too_short_or_too_large_is_named(parameters, declared, words):
    name = {"yarn": "yarn", "linear": "linear"}.get(parameters.get("rope_type"), "none")
    method = methods.get(name).for_target(ROPE, TARGET)
    assert words in mismatch(read("vllm", parameters, declared=declared), wanted(method))
    assert MOST_ROWS < 8 << 22


def test_dynamic_is_frozen_at_the_longest_text():
    (reading,) = read("sglang", {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}, declared=4096)
    frozen = methods.get("dynamic-ntk")(alpha=4.0).at(4 * 4096)
    np.testing.assert_allclose(reading.frequencies, frozen.frequencies(ROPE), rtol=1e-12)


def test_the_stairs_stand_at_the_top_level_for_every_vllm_and_nowhere_for_sglang():
    parameters = {"rope_theta": 10_000.0, "llama_4_scaling_beta": 0.12, "original_max_position_embeddings": 4096}
    top = {"llama_4_scaling": {"beta": 0.12, "original_max_position_embeddings": 4096}}
    whole = wanted(methods.get("none")(), stairs=(0.12, 4096))
    assert mismatch(read("vllm", parameters, top), whole) is None
    assert "scales queries by nothing instead of stairs of 4,096 tokens" in mismatch(read("vllm", parameters), whole)
    assert mismatch(read("vllm", parameters)[1:], whole) is None
    assert "llama_4_scaling" in mismatch(read("sglang", parameters, top), whole)


def test_a_partly_rotated_head_that_is_read_as_a_whole_one_is_named():
    found = readings("vllm", {"rope_theta": 10_000.0}, {}, 256, TARGET)
    assert mismatch(found, wanted(methods.get("none")())) == (
        "vLLM (up to 0.25) rotates 128 pairs instead of 64: partial_rotary_factor"
    )


def test_what_no_engine_can_read_is_refused_by_name():
    with pytest.raises(UnknownNameError, match=r"no engine is called 'vlm'; did you mean 'vllm'\?"):
        read("vlm", YARN)
    with pytest.raises(CarrierError, match=r"vllm must know the rope type; .* not 'proportional'"):
        read("vllm", {"rope_type": "proportional"})
    with pytest.raises(CarrierError, match=r"every key of rope type 'yarn'; 'original_max_position_embeddings' is mis"):
        read("vllm", {"rope_type": "yarn", "factor": 8.0})
