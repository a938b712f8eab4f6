"""The import contracts hold, and each of them refuses what it is there to refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ropewalk"

UPWARD = "a line imports only what stands below it"
TORCH = "no torch in the pure layers and in the report"
TRANSFORMERS = "transformers only in adapters, data and train"
# Where a trespass is put, what it imports, and the contract that must refuse it.
TRESPASSES = [
    ("rope.py", "ropewalk.method", UPWARD),
    ("methods/abf.py", "ropewalk.analysis", UPWARD),
    ("adapters/trespass.py", "ropewalk.train", UPWARD),
    ("run/trespass.py", "ropewalk.cli", UPWARD),
    ("run/trespass.py", "ropewalk.reproduce", UPWARD),
    ("methods/trespass.py", "torch", TORCH),
    ("positions/trespass.py", "transformers", TORCH),
    ("analysis/trespass.py", "torch", TORCH),
    ("report/trespass.py", "torch", TORCH),
    ("sequential.py", "torch", TORCH),
    ("bounds.py", "ropewalk.sequential", UPWARD),
    ("evals/trespass.py", "transformers", TRANSFORMERS),
    ("run/trespass.py", "transformers", TRANSFORMERS),
    ("reproduce/trespass.py", "transformers", TRANSFORMERS),
    ("cli/trespass.py", "transformers", TRANSFORMERS),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the package in `folder/src`, with the project's own contracts."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's code, which a test may spoil."""
    shutil.copytree(
        PACKAGE,
        tmp_path / "src" / "ropewalk",
        ignore=lambda _, names: [n for n in names if n in ("assets", "__pycache__")],
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_obeys_its_import_contracts(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_import_contract_refuses_its_trespass(copy: Path) -> None:
    for place, target, _ in TRESPASSES:
        with (copy / "src" / "ropewalk" / place).open("a", encoding="utf-8") as file:
            file.write(f"\nimport {target}\n")
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = result.stdout.split("Broken contracts", 1)[1]
    for place, target, contract in TRESPASSES:
        module = "ropewalk." + place.removesuffix(".py").replace("/", ".")
        assert contract in broken
        assert f"{module} -> {target}" in broken, f"{module} may import {target}"
