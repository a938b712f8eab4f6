"""`ropewalk evaluate`: what it prints, what it leaves, and what it refuses, on the built-in model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = """
about = "Small."
lengths = "ends"
tasks = ["truncate", "paired", "passkey", "frequent-words"]
[sizes]
windows_per_document = 1
depths = [0.0, 1.0]
trials = 1
battery_contexts = 2
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A quick evaluation of the built-in model."""
    (tmp_path / "small.toml").write_text(SUITE)
    texts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for number, text in enumerate(texts):
        text.write_text("\n".join(f"def function_{i}(): return {i * number}" for i in range(120)))
    data = [part for text in texts for part in ("--data", str(text))]
    return ["evaluate", "builtin", "--suite", str(tmp_path / "small.toml"), "--lengths", "256,384", *data]


def test_a_suite_prints_tables_of_a_hundred_columns_and_leaves_both_files(
    run: Callable[..., object], arguments: list[str], tmp_path: Path
) -> None:
    outcome = run(*arguments, "-o", str(tmp_path / "out"))
    assert outcome.exit_code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= 100
    for words in (
        "perplexity, same tokens",
        "NLL by position",
        "Retrieval tasks, mean score",
        "frequent-words",
        "chance",
    ):
        assert words in outcome.out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["result.json", "samples.jsonl"]
    assert not (tmp_path / "out.partial").exists()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["suite"] == str(tmp_path / "small.toml")
    again = run(*arguments, "-o", str(tmp_path / "out"))
    assert again.exit_code == 2
    assert "an earlier result must not be lost" in again.paragraph


def test_json_and_released_code_say_how_a_perplexity_was_averaged(
    run: Callable[..., object], arguments: list[str]
) -> None:
    outcome = run(*arguments, "--tasks", "truncate", "--released-code", "--json")
    result = json.loads(outcome.out)
    (estimate,) = [e for e in result["estimates"] if e["length"] == 384]
    assert estimate["measure"] == "released_code_truncate_perplexity"
    assert "as released code averages: mean over windows, not over tokens" in estimate["protocol"]


def test_prompts_in_rulers_format_are_scored_by_its_rule(run: Callable[..., object], tmp_path: Path) -> None:
    lines = [{"index": i, "input": f"apple={i}234\n" * 9 + "apple=", "outputs": [f"{i}234"]} for i in range(2)]
    (tmp_path / "niah.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ruler = ["--ruler", f"niah_single_1={tmp_path / 'niah.jsonl'}"]
    result = json.loads(run("evaluate", "builtin", "--lengths", "256", "--tasks", "passkey", *ruler, "--json").out)
    (estimate,) = [e for e in result["estimates"] if e["measure"] == "ruler_niah_single_1_score"]
    assert estimate["samples"] == 2
    assert estimate["value"] == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--suite", "smok"], "no suite is called 'smok'; did you mean 'smoke'?"),
        (["--tasks", "passkey,passkey"], "tasks must differ"),
        (["--tasks", "passkey,"], "tasks must stand between single commas"),
        (["--suite", "lm-eval:"], "tasks must stand between single commas"),
        (["--ruler", "vt"], "prompts of RULER are given as TASK=FILE, each task once; got 'vt'"),
        (["--ruler", "vtt=x.jsonl"], "no RULER task is called 'vtt'; did you mean 'vt'?"),
        (["--ruler", "vt=none.jsonl"], "a RULER file must be readable as UTF-8; none.jsonl is not"),
        (["--lengths", "64"], "each length must be above the"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_paragraph(
    run: Callable[..., object], more: list[str], words: str
) -> None:
    outcome = run("evaluate", "builtin", "--lengths", "256", *more)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert words in outcome.paragraph


def test_neither_lengths_nor_a_suite_is_refused(run: Callable[..., object]) -> None:
    outcome = run("evaluate", "builtin")
    assert outcome.exit_code == 2
    assert "Add --lengths 256,512 or --suite smoke" in outcome.paragraph


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(
            (["--entropy", *more], f"--entropy measures attention alone, so {more[0]} has nothing to act on; drop")
            for more in (
                *(["--suite", "smoke"], ["--tasks", "paired"], ["--ruler", "vt=x.jsonl"], ["--summaries", "x.jsonl"]),
                *(["--reference", "builtin"], ["--released-code"]),
            )
        ),
        *(
            (["--summaries", "x.jsonl", *more], f"--summaries measures summaries alone, so {more[0]} has nothing to")
            for more in (["--lengths", "256"], ["--suite", "smoke"], ["--tasks", "paired"], ["--data", "x.txt"])
        ),
        *(
            (["--suite", "lm-eval:piqa", *more], f"--suite lm-eval:... runs lm-eval alone, so {more[0]} has nothing to")
            for more in (["--tasks", "paired"], ["--data", "x.txt"], ["--ruler", "vt=x.jsonl"], ["--released-code"])
        ),
        (
            ["--entropy", "--tasks", "paired", "--reference", "builtin"],
            "so --tasks and --reference have nothing to act on; drop --entropy, or leave them out.",
        ),
        (["--lengths", "256", "--reference", "x"], "no certificate is made without a suite, so --reference has"),
        (["--suite", "smoke", "--reference", "x"], "no certificate is made by the suite 'smoke', so --reference has"),
        (
            ["--suite", "standard", "--no-certificate", "--reference", "x"],
            "--no-certificate leaves the certificate out, so --reference has nothing to act on; drop --no-certificate",
        ),
        (
            ["--lengths", "256", "--tasks", "passkey,lines", "--data", "x.txt"],
            "none reads text among the tasks passkey, lines, so --data has nothing to act on; add paired to --tasks",
        ),
        (
            ["--lengths", "256", "--released-code"],
            "none averages windows among the tasks paired, repeated, streams, passkey, key-value, so --released-code",
        ),
        (["--lengths", "256", "--tasks", "pasky", "--data", "x.txt"], "did you mean 'passkey'?"),
        (["--lengths", "256", "--overwrite"], "nothing is kept, so --overwrite has nothing to act on; add -o DIR"),
    ],
)
def test_an_option_that_the_measurement_does_not_read_is_refused(
    run: Callable[..., object], arguments: list[str], words: str
) -> None:
    outcome = run("evaluate", "builtin", *arguments)
    assert outcome.exit_code == 2
    assert outcome.out == ""
    assert words in outcome.paragraph


def test_options_that_the_measurement_reads_are_taken(
    run: Callable[..., object], arguments: list[str], tmp_path: Path
) -> None:
    read = ["--tasks", "truncate", "--released-code", "--no-certificate"]
    assert run(*arguments, *read, "--overwrite", "-o", str(tmp_path / "out")).exit_code == 0
    data = [part for part in zip(arguments[2::2], arguments[3::2], strict=True) if part[0] in ("--data", "--lengths")]
    outcome = run("evaluate", "builtin", "--entropy", *(word for pair in data for word in pair))
    assert outcome.exit_code == 0, outcome.err
