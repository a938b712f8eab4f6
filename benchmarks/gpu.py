"""The figures that need a GPU: `python benchmarks/gpu.py`, one CUDA device, under ten minutes.

Random weights in bfloat16, made on the device in the shapes of Llama-2-7B and Llama-3.1-8B: costs do not depend on what
the weights are. Every part has a share of the time: it begins small and goes on to longer inputs while the next is
expected to end within its share, and says where it stopped. `--tiny` runs every part on any machine in a minute; its
numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gpu_parts
import torch
from gpu_model import Sizes
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LLAMA_2_7B = Sizes("Llama-2-7B", hidden=4096, layers=32, heads=32, kv_heads=32, inner=11008, vocabulary=32_000)
LLAMA_3_8B = Sizes("Llama-3.1-8B", hidden=4096, layers=32, heads=32, kv_heads=8, inner=14336, vocabulary=128_256)
TINY = Sizes("tiny", hidden=64, layers=2, heads=4, kv_heads=2, inner=96, vocabulary=4096)


@dataclass(frozen=True)
class Scale:
    """How large the parts are.

    Attributes:
        model, grouped: The shape of most parts, and that of the needle sweep, with fewer key/value heads.
        probes: Windows whose peak memory gives the bytes for each token.
        steps: Windows of timed training steps.
        sweeps: Longest prompts of needle sweeps.
        scored: Windows of scoring in one forward.
        search: Tokens of each document of a search evaluation.
        tile: Tokens per tile of the MLPs.
    """

    model: Sizes
    grouped: Sizes
    probes: tuple[int, int]
    steps: tuple[int, ...]
    sweeps: tuple[int, ...]
    scored: tuple[int, ...]
    search: int
    tile: int | None = None


FULL = Scale(
    model=LLAMA_2_7B,
    grouped=LLAMA_3_8B,
    probes=(8192, 16384),
    steps=(16384, 32768, 131072),
    sweeps=(32768, 65536, 131072),
    scored=(65536, 131072, 262144),
    search=32768,
)
SMALL = Scale(
    model=TINY,
    grouped=replace(TINY, kv_heads=1),
    probes=(128, 256),
    steps=(128, 256),
    sweeps=(512, 1024),
    scored=(256, 512),
    search=256,
    tile=64,
)
# Seconds; 540 together, so that ten minutes hold them and the making of the models.
SHARES = {"context": 130.0, "steps": 120.0, "sweep": 200.0, "scoring": 70.0, "search": 20.0}
PARTS: dict[str, Callable[[Scale, torch.device, float], Iterator[gpu_parts.Figure]]] = {
    "context": lambda scale, device, share: gpu_parts.longest_context(
        scale.model, scale.probes, device, share, tile=scale.tile
    ),
    "steps": lambda scale, device, share: gpu_parts.training_speed(
        scale.model, scale.steps, device, share, tile=scale.tile
    ),
    "sweep": lambda scale, device, share: gpu_parts.needle_sweep(scale.grouped, scale.sweeps, device, share),
    "scoring": lambda scale, device, share: gpu_parts.one_forward(scale.model, scale.scored, device, share),
    "search": lambda scale, device, share: gpu_parts.search_evaluation(scale.model, scale.search, device, share),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/gpu.json"))
    parser.add_argument("--part", choices=list(PARTS), help="only this part")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, on the processor")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device; --tiny shows on any machine that its parts run")
    device = torch.device("cpu" if options.tiny else "cuda")
    started, figures = time.monotonic(), []
    for name in [options.part] if options.part else list(PARTS):
        for figure in PARTS[name](SMALL if options.tiny else FULL, device, SHARES[name]):
            figures.append(figure)
            Console().print(f"{figure.part}: {figure.name} = {figure.words}")
    Console(width=120).print(table(figures))
    record = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        "torch": torch.__version__,
        "tiny": options.tiny,
        "wall_seconds": time.monotonic() - started,
        "figures": [asdict(figure) for figure in figures],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def table(figures: list[gpu_parts.Figure]) -> Table:
    result = Table(title="Figures of one device; what did not fit or failed is said so")
    for name in ("part", "what", "value", "expected"):
        result.add_column(name)
    for figure in figures:
        result.add_row(figure.part, figure.name, figure.words, figure.expected or "")
    return result


if __name__ == "__main__":
    main()
