"""Tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose name begins with `>` is aligned to the right."""
    names = [name.removeprefix(">") for name in head]
    marks = ["---:" if name.startswith(">") else "---" for name in head]
    lines = [names, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown_of(table: Table) -> str:
    """A table of the terminal in Markdown: its title in bold, the table, its caption. Cells must be text."""
    head = [f"{'>' * (column.justify == 'right')}{column.header}" for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = markdown_table(head, [[str(cell).replace("\n", "<br>") for cell in row] for row in rows])
    caption = f"\n{table.caption}\n" if table.caption else ""
    return f"**{table.title}**\n\n{body}{caption}"
