"""`ropewalk extend` on the terminal: every refusal is one paragraph, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from ropewalk.adapters import read_model_config

LIMIT = 300_000  # bytes of one file: less than the model's weights


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("def add(first, second):\n    return first + second\n" * 400)
    return path


@pytest.fixture(scope="module")
def recipe(text_file):
    """Twelve small steps."""
    path = text_file.with_name("small.toml")
    path.write_text(
        f'model = "builtin"\ntarget_length = 512\n[train]\nsteps = 12\nbatch = 2\n[data]\nfiles = ["{text_file}"]\n'
    )
    return path


def ropewalk(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropewalk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), **options)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    return last


def refused_here(outcome) -> str:
    assert outcome.exit_code == 2, outcome.err
    assert outcome.out == ""
    assert outcome.paragraph.startswith("Error: ")
    return outcome.paragraph


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no/such/model/folder/at-all",), "there is no folder no/such/model/folder/at-all"),
        (("builtin", "--to", "128"), "at least the trained window of 256 tokens"),
        (("builtin", "--to", "2x"), "a length must be a whole number of tokens; got '2x'"),
        (("builtin", "--method", "yarn", "--set", "factor=0"), "factor must be a finite number of at least 1"),
        (("builtin", "--method", "yarn", "--set", "factor=nan"), "factor must be a finite number of at least 1"),
        (("builtin", "--method", "yarn", "--set", "factor=inf"), "factor must be a finite number of at least 1"),
        (("builtin", "--method", "yarm"), "no method is called 'yarm'; did you mean 'yarn'?"),
        (("builtin", "--method", "yarn", "--set", "beta_fats=3"), "did you mean 'beta_fast'?"),
        (("builtin", "--positions", "craem"), "no sampler is called 'craem'; did you mean 'cream'?"),
        (("builtin", "--recipe", "dmeo"), "no recipe is called 'dmeo'; did you mean 'demo'?"),
        (("builtin", "--steps", "1", "--data", "absent.txt"), "'absent.txt' does not exist"),
    ],
)
def test_an_impossible_request_is_refused_in_one_paragraph_and_leaves_nothing(
    run, arguments, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    to = () if "--to" in arguments else ("--to", "2k")
    assert message in refused_here(run("extend", *arguments, *to, "-o", "long"))
    assert not list(tmp_path.iterdir())


def test_a_refusal_of_the_program_itself_ends_with_code_2_and_no_traceback(tmp_path):
    done = ropewalk("extend", "builtin", "--method", "yarm", "--to", "2k", "-o", tmp_path / "long")
    assert "did you mean 'yarn'?" in refusal(done)
    assert not (tmp_path / "long").exists()


def test_text_that_is_empty_or_not_utf8_is_refused(run, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 100)
    for file, message in (("empty.txt", "is empty"), ("latin.txt", "has the byte 0xe9 at offset 3")):
        arguments = ("--to", "2k", "--steps", "1", "--data", str(tmp_path / file), "-o", str(tmp_path / "long"))
        assert message in refused_here(run("extend", "builtin", *arguments))
        assert not (tmp_path / "long").exists()


def test_a_config_without_rope_is_refused(run, tmp_path):
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_embd": 64, "n_head": 4}))
    arguments = (str(tmp_path / "gpt2"), "--to", "2k", "-o", str(tmp_path / "long"))
    assert "gpt2" in refused_here(run("extend", *arguments))


def test_a_place_must_be_given(run):
    assert "Add -o DIR" in refused_here(run("extend", "builtin", "--to", "2k"))


def test_a_folder_that_exists_is_kept_and_nothing_is_measured_before(run, tmp_path):
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "notes").write_text("mine")
    for method in ((), ("--method", "auto"), ("--method", "yarn")):
        outcome = run("extend", "builtin", "--to", "2k", *method, "-o", str(tmp_path / "long"))
        assert "must not exist" in refused_here(outcome)
        assert "probe" not in outcome.err
    assert (tmp_path / "long" / "notes").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["long"]


def test_options_of_a_method_that_is_not_named_are_refused(run, tmp_path):
    arguments = ("--to", "2k", "--method", "auto", "--set", "beta_fast=8", "-o", str(tmp_path / "long"))
    message = refused_here(run("extend", "builtin", *arguments))
    assert "which it is is open here (auto); got beta_fast. Name it with --method" in message
    arguments = ("--to", "2k", "--set", "beta_fast=8", "-o", str(tmp_path / "long"))
    assert "open here (none named); got beta_fast" in refused_here(run("extend", "builtin", *arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--search", "taper"), "nothing is searched, so --search has nothing to act on; say --method searched, or"),
        (("--method", "yarn", "--evaluations", "300"), "nothing is searched, so --evaluations has nothing to act on"),
        (("--method", "auto", "--search", "taper"), "nothing is searched, so --search has nothing to act on"),
        (
            ("--data", "absent.txt"),
            "this run trains nothing, so --data has nothing to act on; add --steps N, or leave it",
        ),
        (("--method", "auto", "--data", "absent.txt"), "this run trains nothing, so --data has nothing to act on"),
        (("--recipe", "cream", "--steps", "0", "--positions", "pose"), "so --positions has nothing to act on"),
        (
            ("--evaluate-every", "5", "--stop-when", "certified"),
            "so --evaluate-every and --stop-when have nothing to act on; add --steps N, or leave them out.",
        ),
        (("--resume", "--overwrite"), "--resume replaces nothing, so --overwrite has nothing to act on; drop --resume"),
    ],
)
def test_an_option_that_a_run_does_not_read_is_refused(run, arguments, message, tmp_path):
    assert message in refused_here(run("extend", "builtin", "--to", "512", *arguments, "-o", str(tmp_path / "long")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "searched", "--search", "tapir"), "did you mean 'taper'?"),
        (("--entry", "method=searched", "--evaluations", "2"), "it needs at least 4 evaluations; got 2"),
        (("--entry", "train.steps=1", "--data", "absent.txt"), "'absent.txt' does not exist"),
        (("--recipe", "cream", "--data", "absent.txt"), "'absent.txt' does not exist"),
    ],
)
def test_an_option_that_a_run_reads_is_read_however_it_was_chosen(run, arguments, message, tmp_path):
    outcome = run("extend", "builtin", "--to", "512", *arguments, "-o", str(tmp_path / "long"))
    assert outcome.exit_code == 2
    assert message in outcome.paragraph


@pytest.mark.parametrize("steps", [0, 1])
def test_a_disk_that_refuses_in_the_middle_of_saving_leaves_nothing_under_the_final_name(steps, recipe, tmp_path):
    arguments = ("extend", "--no-gate", "--recipe", recipe, "--steps", steps, "-o", tmp_path / "long")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))  # noqa: E731
    message = refusal(ropewalk(*arguments, preexec_fn=limit))
    assert "saving must reach its end" in message
    assert "Free some space, then run the same command again." in message
    assert not list(tmp_path.iterdir())
    assert ropewalk(*arguments).returncode == 0
    assert read_model_config(tmp_path / "long").declared_length == 512


def test_ctrl_c_in_the_middle_of_training_keeps_the_work_and_resume_ends_with_the_same_losses(recipe, tmp_path):
    arguments = ("extend", "--no-gate", "--recipe", recipe)
    started = subprocess.Popen(
        [sys.executable, "-m", "ropewalk", *map(str, arguments), "-o", str(tmp_path / "parts")],
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    for line in started.stderr:
        if line.startswith("training"):
            started.send_signal(signal.SIGINT)
            break
    rest = started.stderr.read()
    started.stderr.close()
    assert started.wait() == 2
    assert "Run the same command with --resume" in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "parts").exists()
    assert ropewalk(*arguments, "-o", tmp_path / "parts", "--resume").returncode == 0
    assert ropewalk(*arguments, "-o", tmp_path / "whole").returncode == 0
    losses = [
        json.loads((tmp_path / run / "ropewalk" / "result.json").read_text())["losses"] for run in ("parts", "whole")
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 12


def test_a_run_that_is_killed_resumes(recipe, tmp_path):
    arguments = ("extend", "--no-gate", "--recipe", recipe)
    started = subprocess.Popen(
        [sys.executable, "-m", "ropewalk", *map(str, arguments), "-o", str(tmp_path / "parts")],
        stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list((tmp_path / "parts.partial").glob("checkpoints/checkpoint-*/trainer_state.json")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.05)
    started.kill()
    started.wait()
    refused = refusal(ropewalk(*arguments, "-o", tmp_path / "parts"))
    assert "holds the work of an unfinished run. Go on with it: --resume" in refused
    assert ropewalk(*arguments, "-o", tmp_path / "parts", "--resume").returncode == 0
    assert (tmp_path / "parts" / "ropewalk" / "result.json").is_file()


def test_the_result_is_one_line_for_people_and_a_record_for_machines(tmp_path):
    arguments = ("extend", "builtin", "--to", "1k", "--method", "yarn", "--no-gate")
    done = ropewalk(*arguments, "-o", tmp_path / "long")
    assert done.returncode == 0
    assert "yarn, factor 4, 256 -> 1,024 tokens, no training, self-test passed." in " ".join(done.stdout.split())
    again = ropewalk(
        "extend", "builtin", "--to", "1k", "--method", "yarn", "--no-gate", "-o", tmp_path / "other", "--json"
    )
    record = json.loads(again.stdout)
    assert record["model"]["target_length"] == 1024
    assert record["exact"] is True
