"""`ropewalk demo`: the whole way on the built-in model, in minutes, without a download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the model, the numbers and the figure go.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw of the run.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Watch a small model's window grow eight-fold, with evidence.

    Extends the built-in model from 256 to 2,048 tokens, trains it, and measures it before and after. An earlier demo in
    DIR is replaced.
    """
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.report.tables import demo_tables
    from ropewalk.run.demo import PLAN, demo_run, run_demo

    with LiveReporter() as reporter:
        result = run_demo(output, reporter, run=demo_run(seed), plan=replace(PLAN, seed=seed))
    if as_json:
        show_json(result.model_dump(mode="json"))
        return
    show(*demo_tables(result))
    show(f"figure {output / 'figure.png'}, numbers {output / 'result.json'}, model {output / 'model'}")
