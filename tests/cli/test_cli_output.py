"""How wide the output is: as the terminal, as COLUMNS says, and never too narrow for our tables in a pipe."""

from __future__ import annotations

import pytest

from ropewalk.cli.output import PIPE_WIDTH, console, show


@pytest.mark.parametrize(("columns", "width"), [(None, PIPE_WIDTH), ("72", 72), ("140", 140)])
def test_a_pipe_is_as_wide_as_our_tables_unless_columns_says_otherwise(columns, width, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width
    show("x" * 200)
    assert max(map(len, capsys.readouterr().out.splitlines())) == width
