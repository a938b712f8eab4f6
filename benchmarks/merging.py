"""What merging adapters into a checkpoint costs: `python benchmarks/merging.py`.

Line 9 of the scorecard. A sharded float32 Llama with random weights and adapters of rank 8, in one process with one
thread, by turns: ours, which copies the shards and changes the touched tensors on the way; peft's `merge_and_unload`
with `save_pretrained`, which hold the model; and copying every file, the least that a new folder can cost. `link` is
what ours costs whatever the size of the weights: config, hard links, and a test of the result on a small random model.
No cost is given before both merges hold the same weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, safe_open
from shapes import TINY, Shape, random_model
from side_by_side import Cost, run_once
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from ropewalk.adapters.apply import extend_checkpoint
from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.merge import merge_checkpoint
from ropewalk.adapters.shards import LowRank, read_header
from ropewalk.methods.linear import Linear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGE = Shape("490 MB", width=1024, layers=9, heads=16, inner=2752, vocabulary=4096, scale=1, key_prompts=())
RANK, ALPHA = 8, 16.0
TARGETS = {"q, k, v, o": ["q_proj", "k_proj", "v_proj", "o_proj"], "all": "all-linear"}
TIME_TARGET = 1.2  # over a copy


@dataclass
class Timed(Cost):
    """The least of several runs, with the time on the clock."""

    wall_seconds: float = float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/merging.json"))
    parser.add_argument("--shape", choices=["large", "tiny"], default="large")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    shape = LARGE if options.shape == "large" else TINY
    started, lines = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        random_model(shape).save_pretrained(source, max_shard_size="100MB" if shape is LARGE else "300KB")
        for name, targets in TARGETS.items():
            write_adapter(source, Path(folder) / "adapter", targets)
            lines.append(measured(source, Path(folder), name, options.repeats))
    Console(width=120).print(table(lines))
    record = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "threads": 1,
        },
        "repeats": options.repeats,
        "wall_seconds": time.monotonic() - started,
        "lines": lines,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def write_adapter(source: Path, folder: Path, targets: Any) -> None:
    """An adapter as peft saves it, with random numbers in both factors."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".lora_" in name:
                value.normal_(0, 0.05, generator=generator)
    model.save_pretrained(folder)


def adapter_changes(folder: Path) -> dict[str, LowRank]:
    """The file that peft wrote, as changes to the model's weights."""
    tensors = load_file(folder / "adapter_model.safetensors")
    names = [name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")]
    return {
        f"{name.removeprefix('base_model.model.')}.weight": LowRank(
            tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"], ALPHA / RANK
        )
        for name in names
    }


def measured(source: Path, folder: Path, name: str, repeats: int) -> dict[str, Any]:
    """Costs of all ways for one set of targets."""
    window = read_model_config(source).rope.trained_length
    changes, outputs = (
        adapter_changes(folder / "adapter"),
        {way: folder / way for way in ("copy", "link", "ours", "peft")},
    )
    ways: dict[str, Callable[[], object]] = {
        "copy": lambda: copy_all(source, outputs["copy"]),
        "link": lambda: extend_checkpoint(source, outputs["link"], Linear(), window, link=True),
        "ours": lambda: merge_checkpoint(
            source, outputs["ours"], Linear(), window, adapter_changes(folder / "adapter")
        ),
        "peft": lambda: merge_by_peft(source, folder / "adapter", outputs["peft"]),
    }
    costs = {way: Timed() for way in ways}
    for _ in range(repeats):
        for way, function in ways.items():
            shutil.rmtree(outputs[way], ignore_errors=True)
            measure(function, costs[way])
    agreement = compared(source, outputs["ours"], outputs["peft"], changes)
    headers = [read_header(file) for file in sorted(source.glob("*.safetensors"))]
    sizes = {tensor: stored.size for header in headers for tensor, stored in header.items()}
    return {
        "targets": name,
        "checkpoint_bytes": sum(sizes.values()),
        "touched_bytes": sum(sizes[tensor] for tensor in changes),
        "largest_tensor_bytes": max(sizes.values()),
        "agreement": agreement,
        "costs": {way: asdict(cost) for way, cost in costs.items()},
        "cpu_over_copy": costs["ours"].cpu_seconds / costs["copy"].cpu_seconds,
        "growing_cpu_over_copy": (costs["ours"].cpu_seconds - costs["link"].cpu_seconds) / costs["copy"].cpu_seconds,
        "peft_cpu_over_ours": costs["peft"].cpu_seconds / costs["ours"].cpu_seconds,
        "peft_memory_over_ours": costs["peft"].peak_memory_bytes / costs["ours"].peak_memory_bytes,
        "memory_target_bytes": 3 * max(sizes.values()) + 50e6,
        "time_target_over_copy": TIME_TARGET,
    }


def measure(function: Callable[[], object], cost: Timed) -> None:
    """One run, with its time on the clock."""

    def timed() -> None:
        started = time.perf_counter()
        function()
        cost.wall_seconds = min(cost.wall_seconds, time.perf_counter() - started)

    run_once(timed, cost)


def copy_all(source: Path, output: Path) -> None:
    output.mkdir()
    for file in source.iterdir():
        shutil.copyfile(file, output / file.name)


def merge_by_peft(source: Path, adapter: Path, output: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(output, max_shard_size="100MB")


def compared(source: Path, ours: Path, theirs: Path, changes: Mapping[str, LowRank]) -> str:
    """Says what is equal, or raises."""
    before, mine, peers = (stored_tensors(folder) for folder in (source, ours, theirs))
    worst = 0.0
    for name in before:
        if name in changes:
            worst = max(worst, float(np.abs(mine[name] - peers[name]).max() / np.abs(peers[name]).max()))
            if np.array_equal(mine[name], before[name]):
                raise AssertionError(f"{name} was not merged")
        elif not np.array_equal(mine[name], before[name]):
            raise AssertionError(f"{name} was changed without reason")
    if worst > 1e-6 or set(mine) != set(before):
        raise AssertionError(f"the two merges differ by {worst:.2g} of the largest weight")
    return f"{len(changes)} merged tensors within {worst:.1g} of peft's, {len(before) - len(changes)} others unchanged"


def stored_tensors(folder: Path) -> dict[str, np.ndarray]:
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "np") as opened:
            tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    return tensors


def table(lines: list[dict[str, Any]]) -> Table:
    result = Table(title="Merging adapters into a checkpoint, least of the runs")
    for name in ("targets", "way", "CPU s", "wall s", "x copy", "peak MB"):
        result.add_column(name, justify="left" if name in ("targets", "way") else "right")
    for line in lines:
        copy = line["costs"]["copy"]["cpu_seconds"]
        for way, cost in line["costs"].items():
            result.add_row(
                line["targets"],
                way,
                f"{cost['cpu_seconds']:.2f}",
                f"{cost['wall_seconds']:.2f}",
                f"{cost['cpu_seconds'] / copy:.2f}",
                f"{cost['peak_memory_bytes'] / 1e6:.0f}",
            )
    return result


if __name__ == "__main__":
    main()
