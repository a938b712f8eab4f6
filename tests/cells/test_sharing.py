"""Cells in turn: what another process is at comes last, when its lock is gone, however that happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ropewalk.cells import sharing
from ropewalk.cells.cell import Cell
from ropewalk.cells.measuring import settled_precision
from ropewalk.cells.sharing import in_turn
from ropewalk.errors import OutputError
from ropewalk.run.extension import Silent

HOLDING = """
import sys, time
from pathlib import Path
from ropewalk.cells.sharing import held
with held(sys.argv[2], Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


class Heard(Silent):
    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


def cells(*names):
    return [Cell(name, name, None, ()) for name in names]


@pytest.fixture
def other(tmp_path):
    """Another process that is at the cell `a`."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path), "a"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_every_cell_comes_once_in_order(tmp_path):
    assert [cell.name for cell in in_turn(cells("a", "b", "c"), tmp_path, Silent())] == ["a", "b", "c"]
    assert list(in_turn((), tmp_path, Silent())) == []


def test_what_another_process_is_at_comes_last_even_if_that_is_killed(tmp_path, other, monkeypatch):
    monkeypatch.setattr(sharing, "PAUSE", 0.05)
    heard, found = Heard(), []
    for cell in in_turn(cells("a", "b", "c"), tmp_path, heard):
        found.append(cell.name)
        if cell.name == "c":
            threading.Timer(0.5, os.kill, (other.pid, signal.SIGKILL)).start()
    assert found == ["b", "c", "a"]
    assert heard.stages == ["waiting for a: other processes are at it"]


def test_a_cell_is_free_again_when_its_maker_fails(tmp_path):
    turns = in_turn(cells("a"), tmp_path, Silent())
    next(turns)
    turns.close()  # as when what is done with the cell raises
    assert [cell.name for cell in in_turn(cells("a"), tmp_path, Silent())] == ["a"]


def test_a_number_format_that_was_settled_stays(tmp_path, monkeypatch):
    chosen = settled_precision(tmp_path)
    monkeypatch.setattr("ropewalk.cells.measuring.fastest_precision", lambda device: f"another for {device}")
    assert settled_precision(tmp_path) == chosen


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"keeps its cells in a folder; .*Choose another place with -o"):
        list(in_turn(cells("a"), Path(tmp_path / "file"), Silent()))
