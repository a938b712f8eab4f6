"""What reaches the terminal: tables on standard output, refusals on standard error, JSON for machines."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType
    from rich.table import Table

    from ropewalk.errors import RopewalkError

# A pipe or a file has no width of its own; narrower, the widest tables lose digits.
PIPE_WIDTH = 100
# A list without lists, objects or strings inside; a JSON string holds no line break, so no match begins in one.
_INNERMOST_NUMBERS = re.compile(r"\[\n([^\[\]{}\"]*)\]")


def console(*, error: bool = False) -> Console:
    """A console on standard output, or on standard error, as wide as the terminal (or as COLUMNS says).

    Made for each use, so that it writes to the stream that is there now. Numbers are not coloured by guessing.
    """
    from rich.console import Console

    made = Console(stderr=error, highlight=False, emoji=False, markup=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPE_WIDTH
    return made


def show(*parts: RenderableType) -> None:
    """Prints tables and texts one below the other."""
    target = console()
    for part in parts:
        target.print(part)


def show_json(value: Any) -> None:
    """Prints one JSON document, each list of numbers on a line of its own.

    A number that JSON cannot hold (NaN, infinity) is our mistake and raises.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    sys.stdout.write(_INNERMOST_NUMBERS.sub(lambda match: "[" + " ".join(match[1].split()) + "]", text) + "\n")
    sys.stdout.flush()  # a reader that has gone away must be met here, where it is handled, and not at exit


def print_refusal(error: RopewalkError) -> None:
    """Prints an error as one paragraph on standard error.

    On a terminal it is wrapped at spaces; in a pipe it stays one line, so that a log can be searched for it.
    """
    from rich.text import Text

    target = console(error=True)
    paragraph = Text.assemble(("Error: ", "bold red"), " ".join(str(error).split()))
    target.print(paragraph, soft_wrap=not target.is_terminal)


def note(label: str, messages: Iterable[str]) -> None:
    """Prints each message as a labelled paragraph on standard output, below what it is about."""
    from rich.text import Text

    target = console()
    for message in messages:
        target.print()
        target.print(Text.assemble((f"{label}: ", "bold yellow"), message))


def print_stopped() -> None:
    """Says on standard error, in one line, that Ctrl-C ended the command."""
    console(error=True).print("Stopped by Ctrl-C.", style="bold")


def plain_table(*columns: str) -> Table:
    """An empty table in the style of all of ours: a line under the head, none elsewhere.

    A column whose name starts with `>` is aligned to the right.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table


def titled(title: str, table: Table) -> list[RenderableType]:
    """A table below its title, which may be wider than the table, and an empty line after it."""
    from rich.text import Text

    return [Text(title, style="bold"), "", table, ""]


def facts(rows: list[tuple[str, str]]) -> Table:
    """Two columns without a head: what it is, and its value."""
    from rich.table import Table

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table
