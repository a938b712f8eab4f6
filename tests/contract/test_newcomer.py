"""A newcomer adds a method by dropping one file into `methods/`, and touches nothing else.

The test does what the newcomer does, in a copy of the package: drop the file, look at `ropewalk explain`, run the
contract tests as they stand here.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from contract.method_laws import LAWS

import ropewalk

CONTRACT = Path(__file__).parent

NEWCOMER = '''\
"""Square root: every pair turns sqrt(factor) times slower.

Paper      A newcomer (2026), arXiv:2601.00000.
Equation   new_i = f_i / sqrt(s)
Symbols    s    factor    1    target_length / trained_length
Hooks      frequencies.
Disagrees  Nothing known.
Needs      Fine-tuning.
Checked    by the contract tests.

>>> from ropewalk.rope import Rope
>>> SquareRoot(factor=4).stretch(Rope(head_dim=4, base=1e4, trained_length=64)).tolist()
[2.0, 2.0]
"""
from dataclasses import dataclass
from ropewalk.method import FactorMethod, Paper, register

@register("square-root")
@dataclass(frozen=True)
class SquareRoot(FactorMethod):
    paper = Paper(title="Square Roots", authors="A Newcomer", year=2026, arxiv="2601.00000")

    def frequencies(self, rope):
        return rope.frequencies / self.factor**0.5
'''


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package whose `methods/` a test may write into."""
    package = Path(ropewalk.__file__).parent
    shutil.copytree(package, tmp_path / "ropewalk", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    return tmp_path


def run(checkout, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=CONTRACT.parent.parent,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def drop(checkout, name, text):
    (checkout / "ropewalk" / "methods" / name).write_text(text, "utf-8")


def contract_tests(checkout, name):
    return run(checkout, "pytest", "-q", str(CONTRACT), "-k", name, "--deselect", __file__)


def test_the_newcomer_is_as_short_as_promised():
    assert len(NEWCOMER.splitlines()) <= 25


def test_a_dropped_file_is_explained_and_examined_with_no_other_edit(checkout):
    drop(checkout, "square_root.py", NEWCOMER)
    listed = run(checkout, "ropewalk", "explain", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "square-root" in [row["name"] for row in json.loads(listed.stdout)["methods"]]
    shown = run(checkout, "ropewalk", "explain", "square-root", "--target-length", "16384", "--json")
    assert json.loads(shown.stdout)["stretch"] == pytest.approx([2.0] * 64)
    examined = contract_tests(checkout, "square-root or square_root")
    assert examined.returncode == 0, examined.stdout
    # Each law, the names of the exemptions, and the docstring's example.
    assert f"{len(LAWS) + 2} passed" in examined.stdout


def test_a_broken_newcomer_is_refused_by_the_law_that_it_breaks(checkout):
    drop(checkout, "square_root.py", NEWCOMER.replace("rope.frequencies / self", "rope.frequencies * self"))
    examined = contract_tests(checkout, "square-root")
    assert examined.returncode == 1, examined.stdout
    assert "test_method[square-root-no_pair_turns_faster_than_before]" in examined.stdout
    assert "test_method[square-root-the_paper_can_be_cited]" not in examined.stdout


def test_a_newcomer_in_a_file_of_another_name_is_refused(checkout):
    drop(checkout, "cube_root.py", NEWCOMER)
    examined = contract_tests(checkout, "square-root")
    assert examined.returncode == 1, examined.stdout
    assert "test_method[square-root-the_file_is_called_as_the_method]" in examined.stdout


def test_a_newcomer_under_a_taken_name_is_told_where_the_other_one_lives(checkout):
    drop(checkout, "square_root.py", NEWCOMER.replace('"square-root"', '"yarn"'))
    listed = run(checkout, "ropewalk", "explain")
    assert listed.returncode != 0
    assert "two methods are called 'yarn': ropewalk.methods" in listed.stderr


def offer(checkout, value):
    """Installs a package that offers a method."""
    package = checkout / "newcomer"
    package.mkdir()
    (package / "square_root.py").write_text(NEWCOMER, "utf-8")
    information = checkout / "newcomer-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.0\n", "utf-8")
    (information / "entry_points.txt").write_text(f"[ropewalk.methods]\nsquare = {value}\n", "utf-8")


def test_another_package_adds_a_method_through_its_entry_point(checkout):
    offer(checkout, "newcomer.square_root")
    listed = run(checkout, "ropewalk", "explain", "--json")
    assert "square-root" in [row["name"] for row in json.loads(listed.stdout)["methods"]]


def test_another_package_whose_method_cannot_be_imported_is_named(checkout):
    offer(checkout, "newcomer.cube_root")
    refused = run(checkout, "ropewalk", "explain")
    message = " ".join(refused.stderr.split())
    assert refused.returncode == 2
    assert "the package 'newcomer' offers the method 'square', which must be importable" in message
    assert "'newcomer.cube_root' gives ModuleNotFoundError: No module named 'newcomer.cube_root'." in message
    assert message.endswith("Repair that package, or uninstall it.")
