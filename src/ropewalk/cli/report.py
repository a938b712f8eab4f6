"""`ropewalk report`: one self-contained page about results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="Folders of evaluate, extend or demo, or result files.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page; an earlier report is replaced.")
    ] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page about results.

    Several results stand side by side if they were measured on the same samples. The page needs no network.
    """
    from ropewalk.cli.output import show
    from ropewalk.run.report import write_report

    write_report(results, output)
    show(f"report {output}")
