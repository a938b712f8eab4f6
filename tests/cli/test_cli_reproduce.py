"""`ropewalk reproduce`: a slip is answered with one paragraph, and a result that is there is printed again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.readings import Reading
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce import papers
from ropewalk.reproduce.claims import Claim, minus
from ropewalk.reproduce.study import Study
from ropewalk.result import Panel, Reproduction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LENGTHS = (160, 256)
EXAM = EvaluationExam(
    "text", EvaluationPlan(lengths=LENGTHS, scored=16, windows_per_document=1, tasks=("paired",)), "validation"
)


def untouched_alone(*, quick: bool) -> Study:
    """A study of the untouched model, which takes a second."""
    readings = [Reading("untouched", "text", "paired_nll", length) for length in LENGTHS]
    claim = Claim("context", "table 1", "More context helps.", "-", minus(*readings), "near minus far", 0.02)
    return Study(
        name="pi",
        title="The untouched model",
        paper="2306.15595",
        quick=quick,
        cells=(Cell("untouched", "untouched", None, (EXAM,)),),
        claims=(claim,),
        shown=(("text", "paired_nll"),),
        panels=(Panel(title="Perplexity", of="text", measure="paired_nll", cells=("untouched",)),),
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The study `pi`, made small."""
    monkeypatch.setitem(papers.STUDIES, "pi", untouched_alone)


def test_a_paper_that_is_not_there_is_refused_with_those_that_are(run: Callable[..., Any]) -> None:
    outcome = run("reproduce", "creme")
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert (
        "no study is called 'creme'; did you mean 'cream'? "
        "Known: bridge, compositions, cream, entropy-abf, pi, pi-scaling." in outcome.paragraph
    )


def test_an_output_that_is_a_file_is_refused(run: Callable[..., Any], small: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = run("reproduce", "pi", "-o", str(tmp_path / "file"))
    assert outcome.exit_code == 2
    assert "a study keeps its cells in a folder" in outcome.paragraph
    assert (tmp_path / "file").read_text() == "mine"


def test_verdicts_are_printed_and_the_files_named(run: Callable[..., Any], small: None, tmp_path: Path) -> None:
    outcome = run("reproduce", "pi", "--quick", "-o", str(tmp_path / "new"))
    assert outcome.exit_code == 0, outcome.err
    assert "More context helps." in outcome.out
    assert "page.md" in outcome.out
    assert "cell 1 of 1: untouched" in outcome.err


def test_the_json_is_the_result(run: Callable[..., Any], small: None, tmp_path: Path) -> None:
    outcome = run("reproduce", "pi", "-o", str(tmp_path / "new"), "--json")
    printed = Reproduction.model_validate(json.loads(outcome.out))
    assert printed == Reproduction.model_validate_json((tmp_path / "new" / "result.json").read_text())


def test_a_bridge_without_a_model_is_refused(run: Callable[..., Any]) -> None:
    outcome = run("reproduce", "bridge")
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert "the bridge needs the model that it is about; got none. Say --model FOLDER-OR-ID" in outcome.paragraph


def test_options_of_the_bridge_are_refused_for_a_paper(run: Callable[..., Any]) -> None:
    outcome = run("reproduce", "pi", "--model", "builtin", "--target", "4k", "--any-size")
    assert outcome.exit_code == 2
    assert (
        "so --model, --target and --any-size have nothing to act on; say ropewalk reproduce bridge" in outcome.paragraph
    )


def test_no_model_is_kept_where_none_is_made(run: Callable[..., Any], small: None, tmp_path: Path) -> None:
    outcome = run("reproduce", "pi", "--so-far", "--keep-models", "-o", str(tmp_path / "new"))
    assert outcome.exit_code == 2
    assert "--so-far measures nothing, so --keep-models has nothing to act on; drop --so-far" in outcome.paragraph
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "builtin"], "at least 100,000,000 parameters"),
        (["--model", "builtin", "--any-size", "--target", "300"], "must be a multiple of the model's window of 256"),
        (["--model", "./nowhere"], "there is no folder nowhere"),
        (["--model", "builtin", "--any-size", "--hours", "0.01"], "a bridge must end within 0.01 hours"),
    ],
)
def test_what_the_bridge_cannot_do_is_said_in_a_paragraph(
    run: Callable[..., Any], tmp_path: Path, arguments: list[str], words: str
) -> None:
    outcome = run("reproduce", "bridge", *arguments, "-o", str(tmp_path / "new"))
    assert (outcome.exit_code, outcome.out) == (2, "")
    assert words in outcome.paragraph
    assert not (tmp_path / "new").exists()


def test_a_model_whose_positions_are_not_rotary_has_no_bridge(run: Callable[..., Any], tmp_path: Path) -> None:
    config = {"model_type": "opt", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    text = json.dumps(config | {"max_position_embeddings": 2048, "vocab_size": 100})
    (tmp_path / "config.json").write_text(text)
    outcome = run("reproduce", "bridge", "--model", str(tmp_path))
    assert outcome.exit_code == 2
    assert "rotary" in outcome.paragraph
