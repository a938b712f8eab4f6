"""Documents say what is true: their commands exist, their links lead somewhere, versions agree."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import ropewalk
from ropewalk.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GROUP = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands(text: str) -> list[str]:
    """Every `ropewalk ...` and `make ...` line of the code blocks, and every such piece of inline code."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    pieces = [re.sub(r"\s+#.*", "", piece.strip().removeprefix("$ ")) for piece in [*lines, *inline]]
    return [piece for piece in pieces if re.match(r"(ropewalk|make) [a-z-]", piece)]


def complaint(command: str) -> str | None:
    """What a command names that does not exist, or None."""
    words = shlex.split(command)
    if words[0] == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"make has no target {unknown[0]}" if unknown else None
    verb = words[1]
    if verb in ("--help", "--version"):
        return None
    if verb not in GROUP.commands:
        return f"ropewalk has no verb {verb}"
    options = {option for parameter in GROUP.commands[verb].params for option in parameter.opts} | {"--help", "-h"}
    used = [word.split("=")[0].strip("[]") for word in words[2:] if re.match(r"\[?--?[a-z]", word)]
    unknown = [option for option in used if option not in options]
    return f"ropewalk {verb} has no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_a_document_exists(document: Path) -> None:
    found = commands(document.read_text("utf-8"))
    assert [(command, words) for command in found if (words := complaint(command))] == []


def test_the_documents_hold_commands_to_check() -> None:
    found = [command for document in DOCUMENTS for command in commands(document.read_text("utf-8"))]
    assert {"make test", "ropewalk explain my-method", "ropewalk extend"} <= set(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("`ropewalk exted m`", "ropewalk has no verb exted"),
        ("```\n$ ropewalk extend m \\\n  --too 2k\n```", "ropewalk extend has no option --too"),
        ("```bash\nropewalk explain [--headdim 3]\n```", "ropewalk explain has no option --headdim"),
        ("```\nmake demoo  # soon\n```", "make has no target demoo"),
    ],
)
def test_the_check_refuses_a_command_that_does_not_exist(text: str, words: str) -> None:
    assert [complaint(command) for command in commands(text)] == [words]


def test_the_check_lets_placeholders_and_comments_pass() -> None:
    text = "```\nropewalk extend MODEL --to 2k [--method M] -o DIR  # --not-an-option\nmake test PYTHON=python3.12\n```"
    assert [complaint(command) for command in commands(text)] == [None, None]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
    files = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in files if not (document.parent / target).exists()] == []


def test_the_citation_names_this_version_and_the_three_systems() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == ropewalk.__version__
    identifiers = {entry["value"] for reference in citation["references"] for entry in reference["identifiers"]}
    assert identifiers == {"arXiv:2306.15595", "arXiv:2401.07004", "arXiv:2406.07138"}


def test_the_changelog_speaks_of_this_version() -> None:
    assert ropewalk.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")
