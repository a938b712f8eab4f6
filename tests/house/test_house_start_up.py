"""What is imported when: heavy libraries only by the commands that need them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer

import ropewalk
from ropewalk.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

# pydantic is not among them: typer itself reads arguments with it.
HEAVY = ("torch", "transformers", "datasets", "accelerate", "matplotlib", "numpy", "rich")
VERBS = tuple(typer.main.get_command(app).commands)


def loaded_after(program: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has imported after a program."""
    report = f"import json, sys; print('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def command(*arguments: str, code: int = 0) -> str:
    return f"""
import sys
from ropewalk.cli import main
sys.argv = {["ropewalk", *arguments]!r}
try:
    main()
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
"""


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded_after("import ropewalk; dir(ropewalk); ropewalk.__version__") == set()


def test_the_check_sees_a_heavy_import() -> None:
    assert "numpy" in loaded_after("import ropewalk; ropewalk.Rope")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *[[verb, "--help"] for verb in VERBS]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_after(command(*arguments)) == set()


@pytest.mark.parametrize(
    "arguments", [["explain"], ["explain", "yarn"], ["explain", "cream", "--draws", "2", "--json"]]
)
def test_explaining_needs_no_torch(arguments: list[str]) -> None:
    assert not loaded_after(command(*arguments)) & {"torch", "transformers", "datasets", "accelerate", "matplotlib"}


def test_inspecting_needs_no_torch(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "max_position_embeddings": 256,
        "vocab_size": 100,
        "rope_theta": 500.0,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    loaded = loaded_after(command("inspect", str(tmp_path)))
    assert not loaded & {"torch", "transformers", "datasets", "accelerate", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [["builtin", "--to", "1k", "--method", "yarnn"], ["builtin", "--to", "100"], ["nowhere/", "--to", "1k"]],
)
def test_what_the_config_alone_rules_out_is_refused_without_torch(arguments: list[str], tmp_path: Path) -> None:
    loaded = loaded_after(command("extend", *arguments, "-o", str(tmp_path / "long"), code=2))
    assert not loaded & {"torch", "transformers", "datasets", "accelerate", "matplotlib"}


@pytest.mark.parametrize("name", ropewalk.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(ropewalk, name) is getattr(ropewalk, name)
    assert name in dir(ropewalk)


def test_a_name_that_is_not_there_says_which_are() -> None:
    with pytest.raises(AttributeError, match=r"module 'ropewalk' has no attribute 'extent'; it has Rope, .*extend"):
        _ = ropewalk.extent
