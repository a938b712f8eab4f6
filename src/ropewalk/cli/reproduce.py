"""`ropewalk reproduce`: a paper's claims on the built-in model, with intervals and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="One of pi, entropy-abf, cream, compositions.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the contrast that was registered beforehand: a quarter of an hour.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where cells, numbers, figure and page go. "
            "[default: reproduction/PAPER, with -quick for the quick set]",
        ),
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the weights of finished cells, in DIR/cells/CELL/model.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Reproduce or refute a paper's claims on a small model.

    Every cell is kept as it gets done: a stopped command that is run again goes on where it stopped.
    """
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.report.reproduction import FIGURE, verdict_table
    from ropewalk.reproduce.papers import study
    from ropewalk.reproduce.study import PAGE, run_study

    chosen = study(paper, quick=quick)
    folder = output or Path("reproduction") / (paper + ("-quick" if quick else ""))
    with LiveReporter() as reporter:
        result = run_study(chosen, folder, reporter, keep_models=keep_models)
    if as_json:
        show_json(result.model_dump(mode="json"))
        return
    show(verdict_table(result))
    show(f"page {folder / PAGE}, figure {folder / FIGURE}, numbers {folder / 'result.json'}")
