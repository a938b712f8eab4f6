"""The memory of a step: against recorded runs, a table worked out by hand, and a step whose tensors are counted."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from live_tensors import llama, peak_of_our_step, peak_of_step

from ropewalk.analysis.memory import BFLOAT16, FLOAT32, Shape, Step, estimate, layer_bytes, longest_window

GIB, GB, HOST = 2**30, 1e9, 128 * 2**30
WIDTHS = {"layers": 32, "hidden": 4096, "heads": 32, "head_dim": 128}
LLAMA_2_7B = Shape.llama(**WIDTHS, intermediate=11008, kv_heads=32, vocabulary=32000)
LLAMA_3_8B = Shape.llama(**WIDTHS, intermediate=14336, kv_heads=8, vocabulary=128256)
# What ALST's recipes hold on the host is not the device's.
ON_HOST = {"trained": 0, "frozen_bytes": 0, "fused_layers": True}
LORA = {"trained": LLAMA_2_7B.lora_parameters(8), "fused_layers": True}
# One card of 149 GB, less 1 GB of the device's own.
H200 = 148 * GB


def test_the_weights_of_published_models_are_counted():
    assert LLAMA_2_7B.parameters == 6_738_415_616
    assert LLAMA_3_8B.parameters == 8_030_261_248
    # r = 8 on q, k, v and o of 32 layers: 32 * 4 * 8 * (4096 + 4096)
    assert LLAMA_2_7B.lora_parameters(8) == 8_388_608


@pytest.mark.parametrize("tied", [False, True])
def test_the_count_of_weights_is_that_of_transformers(tied):
    shape = Shape.llama(
        layers=3, hidden=48, intermediate=80, heads=4, kv_heads=2, head_dim=16, vocabulary=96, tied=tied
    )
    assert shape.parameters == llama(shape, 64).num_parameters()


@pytest.mark.parametrize(
    ("gibibytes", "tokens", "step"),
    [
        (137.36, 65_000, {"chunked_loss": False, "activation_checkpointing": "on"}),
        (134.96, 300_000, {"activation_checkpointing": "on"}),
        (126.81, 650_000, {"activation_checkpointing": "offload"}),
        (136.15, 1_200_000, {"activation_checkpointing": "offload", "tile": 1024}),
    ],
)
def test_the_longest_windows_that_alst_recorded_on_one_card_are_predicted(gibibytes, tokens, step):
    # arXiv:2506.13996 and its recipes for Llama-3.1-8B on one H200.
    found = estimate(LLAMA_3_8B, Step(tokens, **ON_HOST, **step))
    assert found.total == pytest.approx(gibibytes * GIB, rel=0.03)


def test_recorded_windows_refute_a_wrong_constant():
    recorded = 134.96 * GIB
    fused = estimate(LLAMA_3_8B, Step(300_000, **ON_HOST, activation_checkpointing="on"))
    whole = estimate(LLAMA_3_8B, Step(300_000, **ON_HOST, activation_checkpointing="on", chunked_loss=False))
    single = estimate(LLAMA_3_8B, Step(300_000, **ON_HOST, activation_checkpointing="on", activation_bytes=1))
    assert whole.total > 4 * recorded
    assert single.total < 0.9 * recorded < fused.total


@pytest.mark.parametrize(
    ("bytes_per_number", "gigabytes"), [((2, 2, 12), 107.8), ((2, 2, 4), 53.9), ((2, 2, 2), 40.4), ((4, 4, 8), 107.8)]
)
def test_weights_gradients_and_moments_of_llama_2_7b(bytes_per_number, gigabytes):
    weight, gradient, optimizer = bytes_per_number
    step = Step(1, weight_bytes=weight, gradient_bytes=gradient, optimizer_bytes=optimizer)
    parts = estimate(LLAMA_2_7B, step).parts
    states = sum(parts[name] for name in ("weights", "gradients", "optimizer states"))
    assert states / GB == pytest.approx(gigabytes, abs=0.05)
    sharded = estimate(LLAMA_2_7B, dataclasses.replace(step, shards=8)).parts
    assert sharded["weights"] == pytest.approx(parts["weights"] / 8, abs=1)


@pytest.mark.parametrize(
    ("part", "step", "gigabytes"),
    [
        ("activations of all layers", {"fused_layers": True}, (112, 223, 893)),
        ("kept inputs of the layers", {"fused_layers": True, "activation_checkpointing": "on"}, (4.3, 8.6, 34.4)),
        ("one layer's backward pass", {"fused_layers": True, "activation_checkpointing": "on"}, (3.5, 7.0, 27.9)),
        ("loss over the vocabulary", {"chunked_loss": False, "activation_checkpointing": "on"}, (8.4, 16.8, 67)),
        ("attention scores", {"eager_attention": True, "activation_checkpointing": "on"}, (17, 69, 1100)),
    ],
)
def test_the_parts_of_a_step_of_llama_2_7b_grow_as_worked_out_by_hand(part, step, gigabytes):
    for window, expected in zip((16384, 32768, 131072), gigabytes, strict=True):
        found = estimate(LLAMA_2_7B, Step(window, **{"trained": 0, **step}))
        assert found.parts[part] / GB == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("tokens", "step"),
    [
        (18_000, {"chunked_loss": False}),
        (174_000, {"chunked_loss": False, "activation_checkpointing": "on"}),
        (283_000, {"activation_checkpointing": "on"}),
        (350_000, {"activation_checkpointing": "on", "tile": 1024}),
    ],
)
def test_the_longest_window_is_where_the_memory_ends(tokens, step):
    found = longest_window(LLAMA_2_7B, Step(1, **LORA, **step), H200)
    assert found == pytest.approx(tokens, rel=0.02)
    assert estimate(LLAMA_2_7B, Step(found, **LORA, **step)).total <= H200
    assert estimate(LLAMA_2_7B, Step(found + 1, **LORA, **step)).total > H200


def test_offloaded_activations_end_at_the_hosts_memory():
    step = Step(1, **LORA, activation_checkpointing="offload", tile=1024)
    bound = longest_window(LLAMA_2_7B, step, H200, host_bytes=HOST)
    assert bound == HOST // (2 * 4096 * 32)
    assert longest_window(LLAMA_2_7B, step, H200) > 2 * bound


def test_no_window_fits_where_the_weights_do_not():
    assert longest_window(LLAMA_2_7B, Step(1), 40 * GB) == 0


# Formats of products, of the residual stream, and of the weights: float32, autocast, bfloat16.
FORMATS = {
    "float32": (torch.float32, False, FLOAT32, FLOAT32),
    "autocast": (torch.float32, True, BFLOAT16, FLOAT32),
    "bfloat16": (torch.bfloat16, False, BFLOAT16, BFLOAT16),
}
WINDOW = 1024


def small(**changes):
    sizes = {"layers": 3, "hidden": 128, "intermediate": 344, "heads": 4, "kv_heads": 4, "head_dim": 32}
    return Shape.llama(**{**sizes, "vocabulary": 1024, **changes})


def predicted(shape, formats, *, checkpointing, chunked):
    _, _, activation_bytes, residual_bytes = formats
    step = Step(
        WINDOW,
        activation_bytes=activation_bytes,
        residual_bytes=residual_bytes,
        weight_bytes=residual_bytes,
        gradient_bytes=residual_bytes,
        optimizer_bytes=0,
        activation_checkpointing="on" if checkpointing else "off",
        chunked_loss=chunked,
        chunk_bytes=0,  # torch makes its chunks where they cannot be seen from here
        logit_bytes=12,
    )
    found = estimate(shape, step)
    return found.total - found.parts["weights"] - found.parts["gradients"]


@pytest.mark.parametrize("formats", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    ("changes", "checkpointing", "chunked"),
    [
        ({}, True, True),
        ({}, False, True),
        ({"vocabulary": 4096}, False, False),
        ({"vocabulary": 8192}, True, False),
        ({"intermediate": 688}, True, True),
        ({"kv_heads": 1}, False, True),
    ],
)
def test_what_a_step_is_counted_to_hold_was_predicted(formats, changes, checkpointing, chunked):
    shape = small(**changes)
    dtype, autocast, *_ = formats
    counted = peak_of_step(shape, WINDOW, checkpointing=checkpointing, chunked=chunked, dtype=dtype, autocast=autocast)
    assert predicted(shape, formats, checkpointing=checkpointing, chunked=chunked) == pytest.approx(counted, rel=0.1)


def test_counting_refutes_a_layer_without_its_backward_pass():
    shape, formats = small(intermediate=688), FORMATS["float32"]
    counted = peak_of_step(shape, WINDOW, checkpointing=True, chunked=True, dtype=torch.float32)
    step = Step(WINDOW, activation_bytes=FLOAT32, residual_bytes=FLOAT32)
    missing = (layer_bytes(shape, step, at_peak=True) - layer_bytes(shape, step, at_peak=False)) * WINDOW
    assert predicted(shape, formats, checkpointing=True, chunked=True) - missing < 0.85 * counted


@pytest.mark.parametrize(("tile", "low", "high"), [(0, 0.95, 1.05), (256, 0.95, 1.25)])
def test_what_our_own_step_is_counted_to_hold_was_predicted_and_tiles_with_room_to_spare(tile, low, high):
    window, shape = 2048, small(intermediate=688)
    counted = peak_of_our_step(shape, window, tile=tile)
    step = Step(
        window,
        activation_bytes=FLOAT32,
        residual_bytes=FLOAT32,
        optimizer_bytes=0,
        activation_checkpointing="on",
        tile=tile,
        chunk_bytes=0,
    )
    found = estimate(shape, step)
    ratio = (found.total - found.parts["weights"] - found.parts["gradients"]) / counted
    assert low < ratio < high


def test_a_larger_micro_batch_is_as_much_as_a_longer_window_but_for_eager_scores():
    step = Step(1024, micro_batch=4, activation_checkpointing="on")
    assert estimate(LLAMA_2_7B, step).total == estimate(LLAMA_2_7B, Step(4096, activation_checkpointing="on")).total
    eager = dataclasses.replace(step, window=32768, eager_attention=True)
    assert estimate(LLAMA_2_7B, eager).parts["attention scores"] == 32 * 4 * 32768**2 * 2


def test_a_teacher_is_held_besides():
    held = estimate(LLAMA_2_7B, Step(16, teacher=True)).parts["original model"]
    assert held == 2 * LLAMA_2_7B.parameters
