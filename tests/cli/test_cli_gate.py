"""The short-context gate of `ropewalk extend` on the terminal: its table, its verdict, its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from evals.harness_files import write_short_suite
from transformers import AutoModelForCausalLM, LlamaConfig

from ropewalk.adapters import load_tokenizer
from ropewalk.data.corpus import standard_library
from ropewalk.evals.harness.short_suite import SHORT_SUITE


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A training text and another for the gate, of about 900 tokens each."""
    folder = tmp_path_factory.mktemp("texts")
    documents = standard_library(held_out=True).documents
    for name, source in (("train.txt", "bdb.py"), ("gate.txt", "fractions.py")):
        (folder / name).write_text(documents[source][:3000])
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small random Llama with a window of 64 tokens and the built-in tokenizer."""
    tokenizer = load_tokenizer("builtin")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 200.0},
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config)
    folder = tmp_path_factory.mktemp("llama") / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def extend(run, *arguments):
    return run("extend", *map(str, arguments))


def test_the_gate_prints_its_table_and_verdict_and_writes_them_down(run, checkpoint, texts, tmp_path):
    done = extend(
        run, checkpoint, "--to", 64, "--method", "none", "--gate-data", texts / "gate.txt", "-o", tmp_path / "same"
    )
    assert done.exit_code == 0, done.err
    assert "NLL minus the original's" in done.out
    assert "short-context gate: PASS (text against the original: at most +0.0000" in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 100
    record = json.loads((tmp_path / "same" / "ropewalk" / "result.json").read_text())
    assert record["gate"]["verdict"] == "PASS"


def test_an_extension_that_ruins_short_text_ends_with_exit_code_1_after_the_folder_is_written(run, tmp_path):
    done = extend(run, "builtin", "--to", "2k", "--method", "linear", "--require-gate", "-o", tmp_path / "long")
    assert done.exit_code == 1
    assert "short-context gate: FAIL" in done.out
    assert f"must pass (--require-gate); it is FAIL. The checkpoint stands in {tmp_path / 'long'}." in done.paragraph
    record = json.loads((tmp_path / "long" / "ropewalk" / "result.json").read_text())
    assert record["gate"]["checks"][0]["change"]["low"] > 0.5


def test_the_same_without_the_demand_is_a_success(run, checkpoint, tmp_path):
    arguments = (checkpoint, "--to", 128)
    done = extend(run, *arguments, "-o", tmp_path / "long")
    assert done.exit_code == 0
    assert "short-context gate: SKIPPED (no text that the model was not trained on; give some with" in done.out
    demanded = extend(run, *arguments, "--require-gate", "-o", tmp_path / "other")
    assert demanded.exit_code == 1
    assert "it is SKIPPED" in demanded.paragraph
    assert (tmp_path / "other" / "ropewalk" / "result.json").is_file()


def test_the_gate_can_be_left_out(run, checkpoint, tmp_path):
    done = extend(run, checkpoint, "--to", 128, "--no-gate", "-o", tmp_path / "long")
    assert done.exit_code == 0
    assert "short-context gate" not in done.out
    again = extend(run, checkpoint, "--to", 128, "--resume", "--require-gate", "-o", tmp_path / "long")
    assert again.exit_code == 1
    assert "it did not run in the earlier, finished run" in again.paragraph


@pytest.mark.parametrize(
    "flag",
    [
        *[("--gate-data", "x.txt"), ("--gate-control",), ("--require-gate",)],
        *[("--gate-tasks",), ("--gate-limit", 5), ("--gate-limit", 0), ("--gate-include", "tasks")],
    ],
)
def test_a_gate_left_out_and_asked_for_at_once_is_refused(run, checkpoint, flag, tmp_path):
    done = extend(run, checkpoint, "--to", 128, "--no-gate", *flag, "-o", tmp_path / "long")
    assert done.exit_code == 2
    assert f"--no-gate leaves the gate out, so {flag[0]} has nothing to act on; drop --no-gate" in done.paragraph
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--gate-data", "absent.txt"), "'absent.txt' does not exist"),
        (("--gate-control",), "the run must train; got 0 steps"),
        (
            ("--gate-limit", 5),
            "the gate asks no tasks, so --gate-limit has nothing to act on; add --gate-tasks",
        ),
        (("--gate-include", "x"), "so --gate-include has nothing to act on; add --gate-tasks"),
        (("--gate-tasks", "--gate-limit", 0), "at least 1 document of each task; got --gate-limit 0"),
        (("--gate-tasks", "--gate-include", "absent"), "a folder of task files must exist; 'absent' does not"),
    ],
)
def test_an_impossible_gate_is_refused_in_one_paragraph(run, checkpoint, flags, words, tmp_path):
    done = extend(run, checkpoint, "--to", 128, "--method", "yarn", *flags, "-o", tmp_path / "long")
    assert done.exit_code == 2
    assert words in done.paragraph
    assert done.err.startswith("Error: ")
    assert not list(tmp_path.iterdir())


def test_tasks_without_lm_eval_are_refused_with_how_to_install_it(run, checkpoint, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = extend(run, checkpoint, "--to", 128, "--gate-tasks", "-o", tmp_path / "long")
    assert done.exit_code == 2
    assert "it is not installed. Install it with: pip install 'ropewalk[harness]'" in done.paragraph
    assert not list(tmp_path.iterdir())


def test_the_eight_public_tasks_are_asked_of_task_files_in_a_folder(run, checkpoint, texts, tmp_path):
    folder = write_short_suite(tmp_path / "tasks", 4)
    flags = ("--gate-data", texts / "gate.txt", "--gate-tasks", "--gate-limit", 2, "--gate-include", folder)
    done = extend(run, checkpoint, "--to", 128, *flags, "--require-gate", "-o", tmp_path / "long")
    assert done.exit_code == 1, done.err
    assert max(map(len, done.out.splitlines())) <= 100
    shown = [line.split("│")[1].strip() for line in done.out.splitlines() if line.startswith("│")]
    names = [task.name for task in SHORT_SUITE]
    assert shown[-9:] == ["points lost to the original, tasks", *names]
    assert "short-context gate: FAIL" in done.out
    record = json.loads((tmp_path / "long" / "ropewalk" / "result.json").read_text())
    tasks = record["gate"]["checks"][1]
    assert [detail["samples"] for detail in tasks["details"]] == [2, 2, 2, 2, 2, 4, 2, 2]  # MMLU: of each subject
    assert "arc_challenge 25, hellaswag 10, mmlu 5" in tasks["change"]["protocol"]
    assert record["gate"]["tasks"].endswith(f", first 2 documents of each, with the task files in {folder}")
    assert "asking the extended model 8 tasks" in done.err


def test_the_record_for_machines_holds_the_gate(run, checkpoint, texts, tmp_path):
    done = extend(run, checkpoint, "--to", 128, "--gate-data", texts / "gate.txt", "--json", "-o", tmp_path / "long")
    gate = json.loads(done.out)["gate"]
    assert gate["verdict"] in ("PASS", "FAIL")
    assert gate["checks"][0]["margin"] == 0.02


def test_a_run_that_is_killed_in_its_gate_resumes_without_training_again(checkpoint, texts, tmp_path):
    command = [
        sys.executable, "-m", "ropewalk", "extend", str(checkpoint), "--to", "128", "--steps", "2", "--data",
        str(texts / "train.txt"), "--gate-data", str(texts / "gate.txt"), "-o", str(tmp_path / "long"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    started = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    for line in started.stderr:
        if line.startswith("short-context gate"):
            started.kill()
            break
    started.stderr.close()
    assert started.wait() != 0
    assert not (tmp_path / "long").exists()
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False, env=environment)
    assert again.returncode == 0, again.stderr
    assert "short-context gate" in again.stderr
    assert not [line for line in again.stderr.splitlines() if line.startswith("training")]
    record = json.loads((tmp_path / "long" / "ropewalk" / "result.json").read_text())
    assert len(record["losses"]) == 2
    assert record["gate"]["verdict"] in ("PASS", "FAIL")
