"""`ropewalk evaluate`: how well a model uses context of each length."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.lengths import parse_lengths


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    lengths: Annotated[
        str, typer.Option(metavar="TOKENS,...", help="Context lengths to measure at, such as 256,512,2k.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write result.json and samples.jsonl here.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A UTF-8 text file or a folder of them; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the recall tasks.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace DIR.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure perplexity, the gain from more context, and recall at several lengths.

    Every number comes with its unit, its n and a 95 % interval.
    """
    from ropewalk.cli.output import show, show_json
    from ropewalk.run.pipeline import evaluate as run_evaluate

    result = run_evaluate(
        model, lengths=parse_lengths(lengths), data=tuple(data or ()), output=output, seed=seed, overwrite=overwrite
    )
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show(*(str(estimate) for estimate in result.estimates))
