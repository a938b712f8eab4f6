"""What a person sees when a command is refused, stopped, or written to a reader that has gone away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from ropewalk import errors
from ropewalk.cli.app import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer.testing import Result

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RopewalkError)]


def run_verb(verb: Callable[[], None]) -> Result:
    # Two verbs, because a typer application of one verb has no group.
    def other() -> None: ...

    return CliRunner().invoke(build((verb, other)), [verb.__name__], env={"COLUMNS": "60", "NO_COLOR": "1"})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_deliberate_error_is_one_paragraph_on_standard_error_and_code_2(kind: type[errors.RopewalkError]) -> None:
    def refuse() -> None:
        raise kind("a factor must be at least 1;\n   got [red]0.5[/red]. " + "Use 8. " * 20)

    result = run_verb(refuse)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "Error: a factor must be at least 1; got [red]0.5[/red]. " + "Use 8. " * 19 + "Use 8.\n"


def test_an_error_that_is_not_deliberate_keeps_its_traceback() -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours to repair")

    result = run_verb(fail)
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.exit_code == 1


def test_ctrl_c_is_one_line_and_code_130() -> None:
    def wait() -> None:
        raise KeyboardInterrupt

    result = run_verb(wait)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Stopped by Ctrl-C.\n")


def test_a_real_interrupt_signal_leaves_no_traceback() -> None:
    program = """
import sys, time
from ropewalk.cli.app import build
def wait():
    print("ready", flush=True)
    time.sleep(60)
def other(): ...
sys.argv = ["ropewalk", "wait"]
build((wait, other))()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (130, "Stopped by Ctrl-C.\n")


@pytest.mark.parametrize("arguments", [["explain", "--json"], ["explain"], ["explain", "--cite"], ["--help"]])
def test_a_reader_that_has_gone_away_is_met_quietly(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exploin"], "No such command 'exploin'"),
        (["explain", "--heads", "3"], "No such option"),
        (["explain", "--layers", "0"], "--layers"),
        (["evaluate", "builtin"], "--lengths"),
        (["inspect"], "MODEL"),
    ],
)
def test_a_command_that_is_not_understood_says_which_part_and_ends_with_code_2(
    run: Callable[..., object], arguments: list[str], words: str
) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert words in outcome.paragraph
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "yarm"], "no method or sampler is called 'yarm'; did you mean 'yarn'? Known: "),
        (
            ["explain", "yarn", "--set", "beta_fats=1"],
            "no option of 'yarn' is called 'beta_fats'; did you mean 'beta_fast'?",
        ),
        (["explain", "none", "--set", "a=1"], "no option of 'none' is called 'a'. There is none at all."),
        (["explain", "yarn", "--set", "factor=0"], "factor must be a finite number of at least 1"),
        (["explain", "yarn", "--set", "factor=nan"], "factor must be a finite number of at least 1"),
        (["explain", "yarn", "--set", "factor=inf"], "factor must be a finite number of at least 1"),
        (["explain", "yarn", "--set", "factor"], "an option must be given as key=value"),
        (["explain", "yarn", "--target-length", "2"], "target_length must be at least trained_length"),
        (["explain", "yarn", "--target-length", "2x"], "a length must be a whole number of tokens; got '2x'"),
        (["explain", "yarn", "--head-dim", "7"], "head_dim must be even"),
        (["explain", "yarn", "--base", "nan"], "base must be a finite number above 1"),
        (["explain", "yarn", "--at", "x"], "a position must be a whole number of tokens"),
        (["inspect", "no/such/path"], "there is no folder no/such/path"),
        (["evaluate", "builtin", "--lengths", "256,256"], "lengths must differ"),
        (["extend", "builtin", "--to", "big", "-o", "x"], "a length must be a whole number of tokens; got 'big'"),
    ],
)
def test_bad_input_is_refused_in_the_words_that_the_user_typed(
    run: Callable[..., object], arguments: list[str], words: str
) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert words in outcome.paragraph


def test_the_exit_code_reaches_the_shell(run_process: Callable[..., object], tmp_path: Path) -> None:
    outcome = run_process("inspect", str(tmp_path))
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: a model folder must hold config.json")
    assert outcome.err.count("\n") == 1
