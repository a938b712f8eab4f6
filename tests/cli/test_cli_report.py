"""`ropewalk report`: from result folders to one page, or a refusal in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from report.page_results import AFTER, BEFORE, demo

if TYPE_CHECKING:
    from collections.abc import Callable

DEMO = Path(__file__).parents[2] / "results" / "demo"


def test_the_committed_demo_becomes_a_page(run: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    outcome = run("report", str(DEMO), "-o", str(page))
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert outcome.out.split() == ["report", *str(page).split()]
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_results_of_different_data_are_refused_with_code_2(run: Callable[..., Any], tmp_path: Path) -> None:
    paths = []
    for name, record in (("a", BEFORE), ("b", AFTER.model_copy(update={"data": "another"}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(record.model_dump_json(), "utf-8")
        paths.append(str(tmp_path / name))
    outcome = run("report", *paths, "-o", str(tmp_path / "report.html"))
    assert outcome.exit_code == 2
    assert "side by side only if they come from the same samples; the 'data' of" in outcome.paragraph
    assert not (tmp_path / "report.html").exists()


def test_a_card_has_no_page_beside_it(run: Callable[..., Any], tmp_path: Path) -> None:
    outcome = run("report", str(DEMO), "--card", str(tmp_path), "-o", str(tmp_path / "report.html"))
    assert outcome.exit_code == 2
    assert "--card writes no page, so -o has nothing to act on; drop --card, or leave it out." in outcome.paragraph
    assert not list(tmp_path.iterdir())


def test_without_a_name_the_page_is_called_report(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("report", str(DEMO)).out == "report report.html\n"
    assert (tmp_path / "report.html").is_file()


def test_half_a_result_is_refused_with_code_2_and_no_traceback(run_process: Callable[..., Any], tmp_path: Path) -> None:
    text = demo().model_dump_json(indent=1)
    (tmp_path / "result.json").write_text(text[: len(text) // 2], "utf-8")
    outcome = run_process("report", str(tmp_path), "-o", str(tmp_path / "report.html"))
    assert outcome.exit_code == 2
    assert outcome.err.startswith("Error: a result file must be whole")
    assert "Traceback" not in outcome.err


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    program = f"""
import sys
from ropewalk.cli import main
sys.argv = ["ropewalk", "report", {str(DEMO)!r}, "-o", {str(tmp_path / "report.html")!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert not {{"torch", "transformers", "datasets"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "report.html").is_file()


def test_evaluations_are_shown_in_the_card_of_an_extended_checkpoint(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "long"
    assert run("extend", "builtin", "--to", "512", "--method", "yarn", "--no-gate", "-o", str(folder)).exit_code == 0
    (tmp_path / "one.txt").write_text("\n".join(f"def function_{i}(): return {i}" for i in range(200)))
    (tmp_path / "small.toml").write_text(
        'about = "Small."\nlengths = "ends"\ntasks = ["paired"]\n[sizes]\nwindows_per_document = 1\n'
    )
    chosen = ["--suite", str(tmp_path / "small.toml"), "--data", str(tmp_path / "one.txt"), "--lengths", "256,384"]
    for model, result in ((str(folder), "long-result"), ("builtin", "builtin-result")):
        outcome = run("evaluate", model, *chosen, "-o", str(tmp_path / result))
        assert outcome.exit_code == 0, outcome.err
    results = [str(tmp_path / name) for name in ("builtin-result", "long-result")]
    outcome = run("report", *results, "--card", str(folder))
    assert (outcome.exit_code, outcome.err) == (0, "")
    kept = json.loads((folder / "ropewalk" / "evidence.json").read_text("utf-8"))
    assert [one["model"]["name"] for one in kept["evaluations"]] == ["long", "builtin"]
    assert "untouched" in (folder / "README.md").read_text("utf-8")
    assert run("report", results[0], "--card", str(folder)).exit_code == 2
