"""A bridge takes as many steps as fit into the time, and refuses what fits neither the time nor the memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bridges import frame

from ropewalk.analysis.memory import Shape
from ropewalk.errors import MemoryShortageError, OptionError
from ropewalk.reproduce.bridge.budget import SHARE, budget_of, require_memory, seconds, settle_steps, settled_steps
from ropewalk.reproduce.bridge.cells import bridge_cells
from ropewalk.reproduce.bridge.order import Sizes
from ropewalk.reproduce.bridge.texts import NO_TEXTS

ROOT = Path(__file__).parents[2]
RATE = 600e12  # operations a second


def cells_of(made, steps=50):
    return bridge_cells(made, NO_TEXTS, steps)


def test_as_many_steps_are_taken_as_fit_into_the_time():
    made = frame()
    found = budget_of(made, RATE, 2.0, on_processor=False)
    assert 20 <= found.steps <= 200
    assert found.hours <= 2.0 < budget_of(made, RATE, 9.0, on_processor=False, settled=found.steps + 1).hours
    assert budget_of(made, RATE, 100.0, on_processor=False).steps == 200, "no more than the run file says"


def test_the_estimate_is_operations_by_rate_and_a_share_for_each_cell():
    made, cells = frame(), cells_of(frame(), steps=1)
    fixed = 30.0 * len(cells)
    assert seconds(made, cells, RATE) - fixed == pytest.approx(2 * (seconds(made, cells, 2 * RATE) - fixed))
    more = cells_of(made, steps=2)
    layers, head = made.shape.parameters - 2 * 50304 * 1024, 50304 * 1024
    contiguous, short = (2 * (4 * layers + 3 * head) + 4.5 * 2 * 24 * 1024 * window for window in (16384, 2048))
    expected = 8 * 16384 * (3 * 3 * contiguous + (3 * 3 + 2) * short) / (SHARE * RATE)
    assert seconds(made, more, RATE) - seconds(made, cells, RATE) == pytest.approx(expected)


def gated(width, *, layers, heads, vocabulary, inner=None, **more):
    """A shape; a plain MLP of four times the width has as many weights as a gated one of 8 / 3."""
    sizes = {"hidden": width, "intermediate": inner or 8 * width // 3, "kv_heads": heads, "head_dim": 64} | more
    return Shape.llama(layers=layers, heads=heads, vocabulary=vocabulary, **sizes)


@pytest.mark.parametrize(
    ("name", "shape", "lengths"),
    [
        ("pythia-160m", gated(768, layers=12, heads=12, vocabulary=50304), (2048, 16384)),
        ("pythia-410m", gated(1024, layers=24, heads=16, vocabulary=50304), (2048, 16384)),
        ("TinyLlama-1.1B", gated(2048, layers=22, heads=32, vocabulary=32000, inner=5632, kv_heads=4), (2048, 16384)),
        (
            "Qwen3-0.6B",
            gated(1024, layers=28, heads=16, vocabulary=151936, inner=3072, kv_heads=8, head_dim=128, tied=True),
            (40960, 81920),
        ),
    ],
)
def test_the_page_says_what_the_estimate_says(name, shape, lengths):
    words = []
    for count in (3, 1):
        made = frame(shape=shape, trained_length=lengths[0], target_length=lengths[1], sizes=Sizes(seeds=count))
        try:
            found = budget_of(made, RATE, 2.0, on_processor=False)
            words.append(f"{found.steps} steps, {found.hours:.1f} hours")
        except OptionError:
            fewest = budget_of(made, RATE, 2.0, on_processor=False, settled=20)
            words.append(f"refused, {fewest.hours:.1f} hours")
    row = f"| {name} | {lengths[1]:,} | {words[0]} | {words[1]} |"
    assert row in (ROOT / "docs" / "reproduction" / "bridge.md").read_text("utf-8")


def test_what_cannot_end_in_time_is_refused_with_what_would():
    with pytest.raises(
        OptionError, match=r"must end within 2 hours; 'builtin' at 262,144 tokens needs at least .* hours"
    ) as error:
        budget_of(frame(trained_length=32768, target_length=262144), RATE, 2.0, on_processor=True)
    assert "No accelerator was found here. Choose a shorter --target" in str(error.value)
    assert "--hours" in str(error.value)


def test_what_does_not_fit_the_memory_is_refused_with_the_longest_target_that_does(monkeypatch):
    monkeypatch.setattr("ropewalk.reproduce.bridge.budget.available_bytes", lambda _: 24e9)
    with pytest.raises(
        MemoryShortageError, match=r"of 131,072 tokens of 'builtin' needs about .* GB, and .* 24\.0 GB"
    ) as e:
        require_memory(frame(target_length=131072), "bfloat16", torch.device("cpu"))
    longest = int(str(e.value).split("--target ")[1].split(",")[0])
    require_memory(frame(target_length=longest), "bfloat16", torch.device("cpu"))
    with pytest.raises(MemoryShortageError):
        require_memory(frame(target_length=longest + 2048), "bfloat16", torch.device("cpu"))


def test_a_model_with_no_room_for_any_target_is_told_of_smaller_ones(monkeypatch):
    monkeypatch.setattr("ropewalk.reproduce.bridge.budget.available_bytes", lambda _: 1e9)
    with pytest.raises(MemoryShortageError, match="Choose a smaller model such as pythia-160m"):
        require_memory(frame(), "bfloat16", torch.device("cpu"))


def test_processes_that_begin_together_train_the_same_steps(tmp_path):
    assert settled_steps(tmp_path) is None
    assert [settle_steps(tmp_path, steps) for steps in (40, 55)] == [40, 40]
    assert settled_steps(tmp_path) == 40
