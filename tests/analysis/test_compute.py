"""Operations counted from shapes, against a plain count over the layers and recorded figures for Llama-2-7B."""

from __future__ import annotations

import pytest

from ropewalk.analysis.compute import forward_work, training_work
from ropewalk.analysis.hardware import DEVICES, device_named
from ropewalk.analysis.memory import Shape
from ropewalk.errors import UnknownNameError

LLAMA_2_7B = Shape.llama(
    layers=32, hidden=4096, intermediate=11_008, heads=32, kv_heads=32, head_dim=128, vocabulary=32_000
)
SMALL = Shape.llama(layers=2, hidden=8, intermediate=12, heads=2, kv_heads=1, head_dim=4, vocabulary=10, tied=True)


def test_a_forward_pass_is_two_operations_a_weight_and_four_a_pair_of_tokens():
    layer = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 12  # q; k and v; output; gated MLP
    norms = 2 * 2 * 8 + 8  # counted as weights: one operation more or less in a thousand
    work = forward_work(SMALL, 6)
    assert work.products == 2 * (2 * layer + norms + 10 * 8)
    pairs = 6 / 2  # of tokens, for each token
    assert work.attention == 2 * 2 * (2 * 8) * pairs


@pytest.mark.parametrize(
    ("window", "forward", "executed"), [(4096, 0.059, 0.235), (16_384, 0.287, 1.18), (131_072, 6.24, 27.2)]
)
def test_llama_2_7b_takes_what_was_worked_out_for_it(window, forward, executed):
    """Petaflops of a sequence; executed with activation checkpointing and FlashAttention's backward pass."""
    assert forward_work(LLAMA_2_7B, window).total * window / 1e15 == pytest.approx(forward, rel=0.01)
    step = training_work(LLAMA_2_7B, window, activation_checkpointing=True)
    assert step.total * window / 1e15 == pytest.approx(executed, rel=0.015)


def test_frozen_weights_save_a_product_and_checkpointing_costs_a_forward_pass_without_the_head():
    forward, head = forward_work(LLAMA_2_7B, 4096), 2 * 32_000 * 4096
    plain = training_work(LLAMA_2_7B, 4096, activation_checkpointing=False)
    frozen = training_work(LLAMA_2_7B, 4096, activation_checkpointing=False, frozen=True)
    again = training_work(LLAMA_2_7B, 4096, activation_checkpointing=True)
    assert plain.products == pytest.approx(3 * forward.products)
    assert frozen.products == pytest.approx(2 * forward.products)
    assert again.products - plain.products == pytest.approx(forward.products - head)
    assert (frozen.attention, again.attention) == (plain.attention, pytest.approx(4.5 * forward.attention))


def test_the_time_is_the_work_over_the_assumed_shares_of_the_peak():
    device = device_named("h100")
    step = training_work(LLAMA_2_7B, 131_072, activation_checkpointing=True).times(131_072)
    assert step.seconds(device) == pytest.approx(44, rel=0.02), "as worked out with 690 and 600 teraflops"
    assert step.seconds(device, 8) == pytest.approx(step.seconds(device) / 8)


def test_a_device_that_nobody_knows_is_refused_with_the_names():
    with pytest.raises(UnknownNameError, match="h200"):
        device_named("h20")
    assert all(device.usable_bytes < device.memory_bytes for device in DEVICES.values())
