"""What an evaluation costs, beside what people run today: `python benchmarks/evaluation.py`.

Lines 3 to 7 of the scorecard, on two shapes of model with random weights, in one process with one thread. Each line
first asserts that both ways give the same numbers or verdicts. Costs are CPU seconds and peak memory, the least of
three runs taken by turns. The limit is the ratio of the multiply-adds of the two ways: what a perfect implementation
could reach with the same arithmetic.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

import likelihood
import recall
import torch
from rich.console import Console
from rich.table import Table
from shapes import SHAPES, TINY, answering_model, random_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shapes import Shape
    from side_by_side import Line

GROUPS = ["likelihood", "keys", "needles"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/evaluation.json"))
    parser.add_argument("--shape", choices=["A", "B", "tiny"], help="only this shape")
    parser.add_argument("--group", choices=GROUPS, help="only these lines")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, lines = time.monotonic(), []
    groups = [options.group] if options.group else GROUPS
    shapes = [shape for shape in (*SHAPES, TINY) if shape.name == options.shape] or SHAPES
    for line in (line for shape in shapes for line in measured(shape, options.repeats, groups)):
        lines.append(line)
        Console().print(f"{line.shape} {line.number}: {line.name}, {line.time_ratio:.2f}x, {line.agreement}")
    seconds = time.monotonic() - started
    Console(width=120).print(table(lines))
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    record = {
        "machine": machine,
        "repeats": options.repeats,
        "wall_seconds": seconds,
        "lines": [line.record() for line in lines],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def measured(shape: Shape, repeats: int, groups: Sequence[str]) -> Iterator[Line]:
    """Every line of a shape, as soon as it is measured."""
    parts = {
        "likelihood": (random_model, likelihood.sliding, likelihood.rolling, likelihood.columns, likelihood.truncated),
        "keys": (answering_model, recall.passkey, recall.many_keys),
        "needles": (random_model, recall.relative_grid, recall.lattice),
    }
    for name in groups:
        build, *lines = parts[name]
        model = build(shape)
        for line in lines:
            yield from line(model, shape, repeats)


def table(lines: Sequence[Line]) -> Table:
    result = Table(title="CPU seconds and peak memory, peer / ropewalk, least of the runs; above 1 ropewalk is cheaper")
    for name in ("line", "what", "shape", "seconds", "time", "limit", "target", "MB", "memory", "target"):
        result.add_column(name, justify="left" if name in ("line", "what", "shape") else "right")
    for line in lines:
        result.add_row(
            line.number,
            f"{line.name} (peer: {line.peer})",
            line.shape,
            f"{line.theirs.cpu_seconds:.2f} / {line.ours.cpu_seconds:.2f}",
            f"{line.time_ratio:.2f}x",
            f"{line.time_limit:.2f}x",
            f"{line.time_target}x" if line.time_target else "",
            f"{line.theirs.peak_memory_bytes / 1e6:.0f} / {line.ours.peak_memory_bytes / 1e6:.0f}",
            f"{line.memory_ratio:.1f}x",
            f"{line.memory_target}x" if line.memory_target else "",
        )
    return result


if __name__ == "__main__":
    main()
