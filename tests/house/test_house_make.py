"""`make` does what the documents promise, and does not install twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what an installation is made from, all of one age."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (1000, 1000))
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # A make that runs this test hands its own flags down by the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def stamp(folder: Path, *names: str) -> None:
    (folder / ".venv").mkdir(exist_ok=True)
    for name in names:
        (folder / ".venv" / name).touch()
        os.utime(folder / ".venv" / name, (2000, 2000))


def test_help_lists_every_target(project: Path) -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    for listing in (make(project).stdout, make(project, "help").stdout):
        assert [line.split()[1] for line in listing.splitlines()] == phony


@pytest.mark.parametrize(("target", "wanted"), [("demo", "-e ."), ("test", "-e '.[dev]'")])
def test_the_first_call_makes_the_environment_under_the_constraints(project: Path, target: str, wanted: str) -> None:
    planned = make(project, "-n", target).stdout
    assert "python3 -m venv .venv" in planned
    assert re.search(rf"pip install .*-c constraints\.txt {re.escape(wanted)}$", planned, re.MULTILINE)


@pytest.mark.parametrize(
    ("target", "stamps"), [("demo", ["created", "installed"]), ("test", ["created", "installed-dev"])]
)
def test_the_second_call_installs_nothing_until_the_requirements_change(
    project: Path, target: str, stamps: list[str]
) -> None:
    stamp(project, *stamps)
    assert "pip install" not in make(project, "-n", target).stdout
    (project / "pyproject.toml").touch()
    planned = make(project, "-n", target).stdout
    assert "pip install" in planned
    assert "-m venv" not in planned


def test_the_tests_run_after_the_checks_with_two_threads_in_all(project: Path) -> None:
    stamp(project, "created", "installed-dev")
    planned = make(project, "-n", "test").stdout.splitlines()
    assert [line.split("/")[-1] for line in planned] == [
        "ruff check",
        "ruff format --check",
        "mypy",
        "lint-imports",
        "python -m pytest -n 2",
    ]
    assert planned[-1].startswith("OMP_NUM_THREADS=1 ")


def test_the_demo_clears_an_earlier_one_first(project: Path) -> None:
    stamp(project, "created", "installed")
    clear, run = make(project, "-n", "demo").stdout.splitlines()
    assert clear == "rm -rf demo demo.partial"
    assert run.endswith(".venv/bin/ropewalk demo -o demo")


def test_an_interpreter_that_is_too_old_is_refused_in_words(project: Path) -> None:
    old = project / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n", "utf-8")
    old.chmod(0o755)
    result = make(project, "demo", f"PYTHON={old}")
    assert result.returncode == 2
    assert "ropewalk needs Python 3.11 or newer; name one with: make demo PYTHON=python3.12" in result.stderr
    assert not (project / ".venv").exists()


def test_continuous_integration_runs_exactly_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    code = [line for line in script.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert code == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."', "exec make test"]
