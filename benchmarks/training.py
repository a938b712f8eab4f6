"""What a training step costs, beside transformers: `python benchmarks/training.py`.

Lines 1 and 2 of the scorecard: one window of 8,192 tokens, forwards and backwards, on two shapes of model with random
weights in float32, on one thread; and a vocabulary of 128,256 words at 4,096 tokens, where the logits decide. Each way
has a process of its own; the ways take turns. Each line first asserts that the losses and the gradients of all weights
are the same. Costs are CPU seconds and peak memory above the model itself, gradients included, the least of the steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from shapes import SHAPES, TINY, Shape
from side_by_side import Line
from steps import ALLOCATOR, OURS, PEER, PEER_DEFAULT, PEER_SAME_ALLOCATOR, Runner

from ropewalk.analysis.memory import FLOAT32, Step, estimate
from ropewalk.analysis.memory import Shape as Dense

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from steps import Way

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4
LOGIT_BYTES = 12  # logits, their log-softmax and its gradient; bfloat16 logits take 16 with their float32 copy
DEVICE_BYTES = 24 * 2**30
WIDE_TOKENS = 4096


@dataclass(frozen=True)
class Workload:
    """What is compared.

    Attributes:
        name: On the command line.
        tokens: Of the window.
        peers: The first one takes turns with ropewalk, the others step once.
        repeats: Steps of both, at most.
        time_target, memory_target: What the project asks of the first peer.
        tile: Tokens per tile; that of a run by default.
    """

    name: str
    shape: Shape
    tokens: int
    peers: tuple[Way, ...]
    repeats: int
    time_target: float | None
    memory_target: float | None
    tile: int | None = None


A, B = SHAPES
WIDE = dataclasses.replace(A, name="A, 128k words", vocabulary=128_256)
ALL = (PEER, PEER_SAME_ALLOCATOR, PEER_DEFAULT)
WORKLOADS = (
    Workload("A", A, 8192, ALL, 3, time_target=1.1, memory_target=5.0),
    Workload("B", B, 8192, ALL, 2, time_target=0.97, memory_target=1.5),
    Workload("wide", WIDE, WIDE_TOKENS, (PEER,), 1, time_target=None, memory_target=8.0),
)
SMALL = Workload("tiny", TINY, 256, ALL, 1, time_target=None, memory_target=None, tile=64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/training.json"))
    parser.add_argument("--shape", choices=[workload.name for workload in (*WORKLOADS, SMALL)], help="only this one")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each way, at most")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, lines = time.monotonic(), []
    chosen = [workload for workload in (*WORKLOADS, SMALL) if workload.name == options.shape] or WORKLOADS
    for line in (line for workload in chosen for line in measured(workload, options.repeats)):
        lines.append(line)
        Console().print(f"{line.shape} {line.number}: {line.peer}, {line.memory_ratio:.1f}x, {line.agreement}")
    Console(width=120).print(table(lines))
    prediction = predicted(lines)
    if prediction:
        Console(width=120).print(prediction["words"])
    record = {
        "machine": {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1},
        "allocator": ALLOCATOR,
        "wall_seconds": time.monotonic() - started,
        "lines": [line.record() for line in lines],
        "prediction": prediction,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def measured(workload: Workload, repeats: int) -> Iterator[Line]:
    """A workload's lines: ropewalk beside each peer."""
    ours, first = (Runner(way, workload.shape, workload.tokens, workload.tile) for way in (OURS, workload.peers[0]))
    for _ in range(min(repeats, workload.repeats)):
        ours.step()
        first.step()
    yield compared(workload, ours, first)
    first.end()
    for way in workload.peers[1:]:
        other = Runner(way, workload.shape, workload.tokens, workload.tile)
        other.step()
        yield compared(workload, ours, other)
        other.end()
    ours.end()


def compared(workload: Workload, ours: Runner, theirs: Runner) -> Line:
    first = theirs.way == workload.peers[0]
    return Line(
        number={PEER: "1, 2", PEER_SAME_ALLOCATOR: "1a", PEER_DEFAULT: "1d"}[theirs.way],
        name="training step",
        peer=theirs.way.name,
        shape=workload.shape.name,
        workload=f"one window of {workload.tokens:,} tokens, float32, forwards and backwards",
        agreement=agreement(ours, theirs),
        ours=dataclasses.replace(ours.cost),
        theirs=dataclasses.replace(theirs.cost),
        time_limit=1.0,
        time_target=workload.time_target if first else None,
        memory_target=workload.memory_target if first else None,
    )


def agreement(ours: Runner, theirs: Runner) -> str:
    """What is equal about the last steps of two ways, or raises."""
    if not abs(ours.loss - theirs.loss) <= LOSS_TOLERANCE * abs(theirs.loss):
        raise AssertionError(f"the losses are {ours.loss!r} and {theirs.loss!r} nats per token")
    with tempfile.TemporaryDirectory() as folder:
        assert_same(ours.gradients(Path(folder) / "ours"), theirs.gradients(Path(folder) / "theirs"))
    return f"loss within {LOSS_TOLERANCE:g}, every gradient within {GRADIENT_TOLERANCE:g} of its largest entry"


def assert_same(found: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> None:
    if found.keys() != reference.keys():
        raise AssertionError(f"only one way has gradients of {sorted(found.keys() ^ reference.keys())}")
    for name, gradient in reference.items():
        difference = float((found[name] - gradient).abs().max() / gradient.abs().max())
        if not difference <= GRADIENT_TOLERANCE:
            raise AssertionError(f"the gradients of {name} differ by {difference:g} of their largest entry")


def predicted(lines: Sequence[Line]) -> dict[str, Any] | None:
    """The peer at 128k words and four times the tokens, from the memory model, which is held to what was measured."""
    found = [line for line in lines if line.shape == WIDE.name]
    if not found:
        return None
    (line,) = found
    weights = FLOAT32 * dense(WIDE).parameters  # held before a step begins, so not in what is measured
    few, many = (estimate(dense(WIDE), peer_step(tokens)).total for tokens in (WIDE_TOKENS, 4 * WIDE_TOKENS))
    error = (few - weights) / line.theirs.peak_memory_bytes - 1
    ours = 4 * line.ours.peak_memory_bytes + weights  # nothing of ours grows faster than the window
    return {
        "peer_bytes_predicted_at_4k": few - weights,
        "relative_error": error,
        "peer_bytes_predicted_at_16k": many,
        "peer_fits_24_GiB_at_16k": many <= DEVICE_BYTES,
        "our_bytes_at_most_at_16k": ours,
        "words": (
            f"128,256 words: at {WIDE_TOKENS:,} tokens the memory model is {error:+.0%} off what was measured; at "
            f"{4 * WIDE_TOKENS:,} it gives the peer {many / 2**30:.1f} GiB with its weights, of 24; ours takes at most "
            f"{ours / 2**30:.1f} GiB."
        ),
    }


def dense(shape: Shape) -> Dense:
    return Dense.dense(
        layers=shape.layers,
        hidden=shape.width,
        intermediate=shape.inner,
        heads=shape.heads,
        kv_heads=shape.heads,
        head_dim=shape.width // shape.heads,
        vocabulary=shape.vocabulary,
    )


def peer_step(tokens: int) -> Step:
    """The step of transformers in float32, with activation checkpointing and without an optimizer."""
    return Step(
        tokens,
        activation_bytes=FLOAT32,
        residual_bytes=FLOAT32,
        optimizer_bytes=0,
        activation_checkpointing="on",
        chunked_loss=False,
        logit_bytes=LOGIT_BYTES,
    )


def table(lines: Sequence[Line]) -> Table:
    result = Table(title="CPU seconds and peak memory of a step, peer / ropewalk; above 1 ropewalk is cheaper")
    for name in ("line", "shape", "peer", "seconds", "time", "target", "MB", "memory", "target"):
        result.add_column(name, justify="left" if name in ("line", "shape", "peer") else "right")
    for line in lines:
        result.add_row(
            line.number,
            line.shape,
            line.peer,
            f"{line.theirs.cpu_seconds:.1f} / {line.ours.cpu_seconds:.1f}",
            f"{line.time_ratio:.2f}x",
            f"{line.time_target}x" if line.time_target else "",
            f"{line.theirs.peak_memory_bytes / 1e6:.0f} / {line.ours.peak_memory_bytes / 1e6:.0f}",
            f"{line.memory_ratio:.1f}x",
            f"{line.memory_target}x" if line.memory_target else "",
        )
    return result


if __name__ == "__main__":
    main()
