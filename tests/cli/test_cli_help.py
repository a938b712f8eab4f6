"""Help texts: complete, within the terminal, and promising exactly the options that were agreed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer

from ropewalk.cli.app import app
from ropewalk.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS = typer.main.get_command(app).commands
# What scripts and documents may rely on; more options may join, none of these may go.
PROMISED = {
    "demo": {"--output", "-o"},
    "extend": {
        *(
            "--to",
            "--method",
            "--positions",
            "--steps",
            "--data",
            "--recipe",
            "--output",
            "-o",
            "--resume",
            "--overwrite",
        ),
    },
    "evaluate": {"--lengths", "--output", "-o", "--json"},
    "report": {"--output", "-o"},
    "export": {"--to", "--output", "-o", "--approximate", "--check", "--engine", "--overwrite", "--json"},
    "inspect": {"--json"},
    "explain": {
        *("--head-dim", "--base", "--trained-length", "--target-length", "--at", "--layers", "--draws", "--seed"),
        *("--set", "--json", "--cite"),
    },
    "plan": {"--to", "--gpu", "--gpus", "--json"},
    "compare": {
        *("--to", "--methods", "--positions", "--budget", "--seeds", "--rates", "--data", "--held-out", "--output"),
        *("-o", "--json"),
    },
    "search": {"--to", "--search", "--evaluations", "--output", "-o", "--json"},
    "reproduce": {"--quick", "--output", "-o", "--keep-models", "--so-far", "--json"},
}


def test_the_verbs_are_the_agreed_ones_in_the_order_of_use() -> None:
    assert list(COMMANDS) == list(PROMISED)


@pytest.mark.parametrize("verb", PROMISED)
def test_every_promised_option_is_there_and_explained(run: Callable[..., Any], verb: str) -> None:
    found = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
    assert found >= PROMISED[verb]
    text = run(verb, "--help").out
    for option in PROMISED[verb]:
        assert option in text


@pytest.mark.parametrize("verb", PROMISED)
def test_every_parameter_has_a_help_text_that_is_a_sentence(verb: str) -> None:
    for parameter in COMMANDS[verb].params:
        assert parameter.help, f"{verb} {parameter.name}"
        assert parameter.help[0].isupper() or parameter.help.startswith("rope_theta"), parameter.help
        assert parameter.help.split(" [default")[0].endswith("."), parameter.help


def test_the_list_of_verbs_shows_each_summary_whole(run: Callable[..., Any]) -> None:
    outcome = run("--help")
    assert outcome.exit_code == 0
    for verb, command in COMMANDS.items():
        summary = command.help.splitlines()[0]
        assert any(line.split(maxsplit=1) == [verb, summary] for line in outcome.out.splitlines()), verb


@pytest.mark.parametrize(
    "arguments", [["--help"], *[[verb, "--help"] for verb in PROMISED], *[[verb, "-h"] for verb in PROMISED]]
)
def test_help_fits_the_terminal(run: Callable[..., Any], arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 0
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_a_call_without_a_verb_shows_the_help(run: Callable[..., Any]) -> None:
    outcome = run()
    assert run("--help").out.strip() in (outcome.out.strip(), outcome.err.strip())


def test_the_version_is_the_packages_own(run: Callable[..., Any]) -> None:
    assert run("--version").out == f"ropewalk {__version__}\n"


def test_the_module_is_the_command(run_process: Callable[..., Any]) -> None:
    outcome = run_process("--version")
    assert (outcome.exit_code, outcome.out, outcome.err) == (0, f"ropewalk {__version__}\n", "")
