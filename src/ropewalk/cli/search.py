"""`ropewalk search`: frequencies of one's own model and target, found by measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.lengths import parse_length, parse_names

# Of a search that a command is asked for, or makes on its way.
SEARCH, EVALUATIONS = "taper", 300


def search(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint folder, a hub id, or 'builtin'.")],
    target_length: Annotated[
        int, typer.Option("--to", parser=parse_length, metavar="TOKENS", help="The new window: 2048, 2k, 32k, 1m.")
    ],
    searches: Annotated[
        str, typer.Option("--search", metavar="NAME,...", help="Searches: taper, evolution, or both.")
    ] = SEARCH,
    evaluations: Annotated[int, typer.Option(metavar="N", help="Candidates of each search.")] = EVALUATIONS,
    contexts: Annotated[int, typer.Option(metavar="N", help="Fresh needle contexts that judge what was found.")] = 32,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where trials, method files and results go. [default: search]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for the frequencies that suit a model and a target.

    By forward passes alone. Each search leaves a method file for 'extend --recipe'; what it found is judged on needles
    that it never saw. Every candidate is kept: a stopped search that is run again goes on where it stopped.
    """
    from ropewalk.cli.output import show, show_json
    from ropewalk.cli.progress import LiveReporter
    from ropewalk.errors import OptionError

    if contexts < 2:
        raise OptionError(f"an interval needs at least 2 needle contexts; got {contexts}. Give --contexts 16 or more.")
    from ropewalk.choose.search_comparison import FIGURE, compare_searches
    from ropewalk.report.search import search_table, search_words

    folder, chosen = output or Path("search"), parse_names("searches", searches)
    with LiveReporter() as reporter:
        found = compare_searches(
            model,
            target_length,
            folder,
            searches=chosen,
            evaluations=evaluations,
            contexts=contexts,
            reporter=reporter,
        )
    if as_json:
        show_json(found.model_dump(mode="json"))
        return
    show(search_table(found), "", search_words(found))
    files = ", ".join(str(folder / f"{name}.toml") for name in chosen)
    show(f"method files {files}, figure {folder / FIGURE}, numbers {folder / 'result.json'}")
