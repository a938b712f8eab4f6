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
    seed: Annotated[int, typer.Option(min=0, help="Seed of the recall tasks.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result in DIR.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measure perplexity, the gain from more context, and recall.

    Every number comes with its unit, its n and a 95 % interval.
    """
    wanted = parse_lengths(lengths)  # before the heavy imports, so that a slip is answered at once
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.report.tables import evaluation_tables
    from ropewalk.run.evaluation import evaluate as run_evaluation

    with LiveReporter() as reporter:
        result = run_evaluation(
            model,
            wanted,
            data=tuple(data or ()),
            output=output,
            seed=seed,
            overwrite=overwrite,
            progress=reporter.advance,
        )
    if as_json:
        show_json(result.model_dump(mode="json"))
    else:
        show(*evaluation_tables(result))
