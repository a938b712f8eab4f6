"""`ropewalk report`: one self-contained page about results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.settings import refuse_unread


def report(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULT", help="Folders of evaluate, extend or demo, or result files.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The page; an earlier one is replaced. [default: report.html]"
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Show the results in the README.md of this checkpoint; writes no page."),
    ] = None,
) -> None:
    """Write one self-contained HTML page about results.

    Several results stand side by side if they were measured on the same samples. The page needs no network.
    """
    from ropewalk.cli.output import show

    if card is not None:
        refuse_unread("--card writes no page", {"-o": output}, "drop --card")
        from ropewalk.run.evidence import put_evidence

        put_evidence(card, results)
        show(f"card {card / 'README.md'}")
        return
    from ropewalk.run.report import write_report

    page = output or Path("report.html")
    write_report(results, page)
    show(f"report {page}")
