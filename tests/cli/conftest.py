"""Runs the command line: in this process where the words matter, in a process of its own where the process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from ropewalk.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLUMNS = 100


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    exit_code: int
    out: str
    err: str

    @property
    def paragraph(self) -> str:
        """Standard error as one line."""
        return " ".join(self.err.split())


def run_here(*arguments: str) -> Outcome:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(COLUMNS), "NO_COLOR": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def run_apart(*arguments: str) -> Outcome:
    result = subprocess.run(
        [sys.executable, "-m", "ropewalk", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        check=False,
    )
    return Outcome(result.returncode, result.stdout, result.stderr)


@pytest.fixture
def run() -> Callable[..., Outcome]:
    return run_here


@pytest.fixture
def run_process() -> Callable[..., Outcome]:
    return run_apart


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., str]:
    """Writes a config.json and returns its folder."""

    def write(**config: Any) -> str:
        folder = tmp_path / str(config["model_type"])
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        return str(folder)

    return write
