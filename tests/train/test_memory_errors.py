"""Memory that runs out: it is recognised by what torch really raises, and the advice is what the estimate says."""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import textwrap

import pytest
import torch

from ropewalk.analysis.memory import BFLOAT16, FLOAT32, Shape, estimate
from ropewalk.errors import MemoryShortageError
from ropewalk.train.memory_errors import available_bytes, is_out_of_memory, memory_advice, step_must_fit, step_of
from ropewalk.train.settings import LoraSettings, TrainSettings

SHAPE = Shape.llama(layers=32, hidden=4096, intermediate=14336, heads=32, kv_heads=8, head_dim=128, vocabulary=128256)
GPU = torch.device("cuda")
CPU = torch.device("cpu")
GB = 10**9


def advice(settings, window, available, *, device=GPU, trained_length=None):
    needed = estimate(SHAPE, step_of(settings, SHAPE, window, device=device))
    return memory_advice(needed, available, settings, trained_length=trained_length, has_host=device.type != "cpu")


def settings(**changes):
    return TrainSettings(steps=1, **{"batch": 1, **changes})


def impossible_allocation():
    """A quarter of an exabyte, which no machine has."""
    torch.empty(2**58, dtype=torch.uint8)


def test_what_torch_raises_is_recognised():
    with pytest.raises(RuntimeError) as refused:
        impossible_allocation()
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    with pytest.raises(MemoryError) as refused:
        bytearray(2**62)
    assert is_out_of_memory(refused.value)


def test_other_failures_are_not_taken_for_it_and_pass_as_they_are():
    assert not is_out_of_memory(ValueError("out of memory"))
    wrong = RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)")
    assert not is_out_of_memory(wrong)
    with (
        pytest.raises(RuntimeError) as passed,
        step_must_fit(settings(), 64, trained_length=64, shape=lambda: SHAPE, device=CPU),
    ):
        raise wrong
    assert passed.value is wrong


def test_a_step_that_does_not_fit_is_explained():
    with (
        pytest.raises(MemoryShortageError) as refused,
        step_must_fit(settings(batch=4), 2**20, trained_length=8192, shape=lambda: SHAPE, device=CPU),
    ):
        impossible_allocation()
    words = str(refused.value)
    assert words.startswith("a training step must fit the memory of its device; a step of 4 x 1,048,576 tokens needs")
    assert f"the device has {available_bytes(CPU) / 1e9:,.1f} GB" in words
    assert 'activation_checkpointing = "on": -' in words
    assert "offload" not in words  # a processor's memory is the host's
    assert "can't allocate memory" in str(refused.value.__cause__)


def test_an_allocation_that_really_fails_under_a_limit_is_explained():
    script = """
        import resource, torch
        from ropewalk.adapters.shape import shape_of
        from ropewalk.adapters.config import read_model_config
        from ropewalk.train.memory_errors import step_must_fit
        from ropewalk.train.settings import TrainSettings

        config, cpu = read_model_config("builtin"), torch.device("cpu")
        limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 2**28
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        held = []
        with step_must_fit(
            TrainSettings(steps=1, batch=8), 16384, trained_length=256, shape=lambda: shape_of(config), device=cpu
        ):
            while True:
                held.append(torch.ones(2**24))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ropewalk.errors.MemoryShortageError: a training step must fit")
    assert "a step of 8 x 16,384 tokens" in last
    assert "micro_batch = 1: -" in last


def test_the_advice_names_the_numbers_largest_first():
    words = advice(settings(batch=4), 32768, 80 * GB, trained_length=8192)
    needs, frees = words.split("What would free memory, each taken alone: ")
    assert "needs about 743.6 GB (activations of all layers 601.3 GB, optimizer states 64.2 GB" in needs
    assert "and the device has 80.0 GB." in needs
    freed = [float(part.split(": -")[1].split(" GB")[0].replace(",", "")) for part in frees.split(". ")[0].split("; ")]
    assert freed == sorted(freed, reverse=True)
    assert 'positions = "cream", which trains windows of 8,192 tokens: -' in frees


def test_what_a_setting_frees_is_the_difference_of_two_estimates():
    chosen = settings(batch=4, trainable="lora", precision="bfloat16")
    step = step_of(chosen, SHAPE, 32768, device=GPU)
    one = dataclasses.replace(step, micro_batch=1)
    freed = (estimate(SHAPE, step).total - estimate(SHAPE, one).total) / 1e9
    assert f"micro_batch = 1: -{freed:,.1f} GB" in advice(chosen, 32768, 80 * GB)


def test_settings_that_are_on_already_are_not_advised():
    chosen = settings(trainable="lora", precision="bfloat16", activation_checkpointing="offload", tile=1024)
    words = advice(chosen, 2**20, 20 * GB)
    for setting in ("activation_checkpointing", "micro_batch", "tile", "trainable", "precision", "positions"):
        assert setting not in words
    assert "Even with all of it a step needs" in words
    assert "the longest window that fits is 2" in words


def test_the_least_harmless_setting_that_is_enough_is_named():
    chosen = settings(batch=4, trainable="lora", precision="bfloat16")
    assert 'Enough: activation_checkpointing = "on", which takes about' in advice(chosen, 32768, 80 * GB)
    chosen = settings(trainable="lora", precision="bfloat16", activation_checkpointing="on")
    words = advice(chosen, 2**18, 80 * GB, trained_length=8192)
    assert 'Enough: activation_checkpointing = "offload", which takes about 48' in words
    assert words.endswith("and 68.7 GB of the host's memory.")


def test_a_step_that_should_have_fitted_is_not_blamed_on_the_settings():
    words = advice(settings(trainable="lora", precision="bfloat16"), 1024, 80 * GB)
    assert "By this estimate it fits, so other processes hold a part of the memory" in words


def test_where_nothing_helps_a_larger_device_is_named():
    words = advice(settings(trainable="lora", precision="bfloat16"), 8192, 8 * GB)
    assert words.endswith("no window fits, or it takes a larger device.")


@pytest.mark.parametrize(
    ("changes", "residual", "activation", "frozen"),
    [
        ({"precision": "float32"}, FLOAT32, FLOAT32, FLOAT32),
        ({"precision": "bfloat16"}, FLOAT32, BFLOAT16, BFLOAT16),
        ({"precision": "bfloat16", "trainable": "lora"}, BFLOAT16, BFLOAT16, BFLOAT16),
        ({"precision": "bfloat16", "trainable": "lora", "lora": LoraSettings(quantize=True)}, BFLOAT16, BFLOAT16, 0.5),
        ({"precision": "bfloat16", "trainable": "embeddings-norms"}, FLOAT32, BFLOAT16, BFLOAT16),
    ],
)
def test_the_formats_of_a_step_follow_from_what_is_trained(changes, residual, activation, frozen):
    step = step_of(settings(**changes), SHAPE, 512, device=GPU)
    assert (step.residual_bytes, step.activation_bytes, step.frozen_bytes) == (residual, activation, frozen)


def test_the_available_memory_is_the_least_limit_that_is_set():
    limits, found = resource.getrlimit(resource.RLIMIT_DATA), available_bytes(CPU)
    resource.setrlimit(resource.RLIMIT_DATA, (found // 2, limits[1]))
    try:
        assert available_bytes(CPU) == found // 2
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def test_the_mask_between_documents_is_named_and_what_does_without_it():
    with (
        pytest.raises(MemoryShortageError) as refused,
        step_must_fit(settings(), 2**17, trained_length=8192, shape=lambda: SHAPE, device=CPU, packed=True),
    ):
        impossible_allocation()
    assert f"mask between documents {4 * 2**34 / 1e9:.1f} GB" in str(refused.value)
    assert f'data.packing = "none": -{4 * 2**34 / 1e9:.1f} GB' in str(refused.value)
