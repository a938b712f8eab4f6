"""`ropewalk demo`: the whole way on the built-in model, in minutes, without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the model, the numbers and the figure go.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of every draw of the run.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DIR.")] = False,
) -> None:
    """Watch the window of a small language model grow eight-fold, with evidence.

    Extends the built-in model from 256 to 2,048 tokens, trains it, and measures it before and after.
    """
    from ropewalk.run.demo import demo as run_demo

    run_demo(output, seed=seed, overwrite=overwrite)
