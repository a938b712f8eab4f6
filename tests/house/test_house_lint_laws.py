"""The linter's bans refuse what they are there to refuse, and only where they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def rules_broken(place: str, code: str) -> set[str]:
    """The rules that the project's linter finds broken in a piece of code that stands at a place."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--output-format",
            "json",
            "--stdin-filename",
            place,
            "-",
        ],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    return {finding["code"] for finding in json.loads(result.stdout)}


@pytest.mark.parametrize(
    "code",
    [
        "import torch\n\ntorch.manual_seed(0)\n",
        "import numpy as np\n\nnp.random.seed(0)\n",
        "import random\n\nrandom.seed(0)\n",
        "from random import seed\n\nseed(0)\n",
    ],
)
def test_a_global_seed_is_refused(code: str) -> None:
    assert "TID251" in rules_broken("src/ropewalk/train/trespass.py", code)


def test_a_draw_without_a_generator_is_refused() -> None:
    assert "NPY002" in rules_broken("src/ropewalk/positions/trespass.py", "import numpy as np\n\nnp.random.rand(3)\n")


def test_a_draw_from_a_generator_is_allowed() -> None:
    code = '"""Draws."""\n\nimport numpy as np\n\nnp.random.default_rng((0, 1)).random(3)\n'
    assert rules_broken("src/ropewalk/positions/allowed.py", code) == set()


@pytest.mark.parametrize("name", ["AutoModelForCausalLM", "AutoModel", "LlamaForCausalLM", "modeling_rope_utils"])
@pytest.mark.parametrize(("part", "allowed"), [("adapters", True), ("train", False), ("evals", False), ("data", False)])
def test_model_classes_belong_to_the_adapters(name: str, part: str, allowed: bool) -> None:
    code = f'"""Loads."""\n\nfrom transformers import {name}\n\n__all__ = ["{name}"]\n'
    assert rules_broken(f"src/ropewalk/{part}/trespass.py", code) == (set() if allowed else {"TID251"})


def test_relative_imports_are_refused() -> None:
    assert "TID252" in rules_broken("src/ropewalk/methods/trespass.py", "from .yarn import Yarn\n")
