"""The tasks of the gate in whole runs: what they decide, what is refused before any work, what a failure leaves."""

from __future__ import annotations

import io
import sys
from itertools import pairwise

import pytest
import torch
from evals.harness_files import choice_documents, recall_documents, write_task
from rich.console import Console

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError, OptionError
from ropewalk.evals.gate import GatePlan
from ropewalk.evals.harness.short_suite import SHORT_SUITE, ShortTask
from ropewalk.report.gate import gate_table, gate_verdict
from ropewalk.result import ExtensionResult
from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.gate import GateSettings, GateTasks
from ropewalk.run.runfile import parse_run

SIZES = GatePlan(windows=10)
GENEROUS = GatePlan(windows=10, margin=50.0)  # any text passes
STRICT = GatePlan(windows=10, margin=1e-12)  # none does
BOOLQ, PIQA = ShortTask("boolq", "acc", 0), ShortTask("piqa", "acc_norm", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tasks: with so many documents two equal models are shown to be equal."""
    path = tmp_path_factory.mktemp("tasks")
    write_task(path, "boolq", choice_documents(0, 200, choices=2))
    write_task(path, "piqa", choice_documents(1, 200, choices=2))
    return path


@pytest.fixture(scope="module")
def gate_file(tmp_path_factory):
    """A text of about 900 tokens, other than the training text."""
    path = tmp_path_factory.mktemp("gate") / "gate.txt"
    path.write_text(standard_library(held_out=True).documents["fractions.py"][:3000])
    return path


def run_of(model, text=None, *, method="yarn", steps=0, target=256):
    values = {
        "model": str(model),
        "target_length": target,
        "method": {"name": method},
        "train": {"steps": steps, "batch": 2, "learning_rate": 1e-3},
        "data": {"files": [str(text)] if text else []},
    }
    return parse_run(values, where="test")


def settings(folder, *files, suite=(BOOLQ, PIQA), limit=None, control=False, sizes=SIZES) -> GateSettings:
    tasks = GateTasks(limit=limit, include=(str(folder),), suite=suite)
    return GateSettings(files=tuple(map(str, files)), control=control, tasks=tasks, sizes=sizes)


class Heard(Silent):
    """Remembers stages and counts of answers, and does something when a stage begins."""

    def __init__(self, *, at: str = "", action=None) -> None:
        self.stages: list[str] = []
        self.counts: list[tuple[str, int, int]] = []
        self.at, self.action = at, action

    def stage(self, text: str) -> None:
        self.stages.append(text)
        if self.at and text.startswith(self.at):
            self.action()

    def advance(self, label: str, done: int, total: int) -> None:
        self.counts.append((label, done, total))


def printed(gate) -> str:
    console = Console(width=100, markup=False, file=io.StringIO())
    console.print(gate_table(gate))
    return console.file.getvalue()


def without(source, target, pattern):
    """A copy of a checkpoint without some files."""
    target.mkdir()
    for file in source.iterdir():
        if not file.match(pattern):
            (target / file.name).write_bytes(file.read_bytes())
    return target


def test_text_and_tasks_pass_together(checkpoints, folder, gate_file, tmp_path):
    run, heard = run_of(checkpoints["qwen3"], method="none", target=64), Heard()
    result = run_extension(run, tmp_path / "same", gate=settings(folder, gate_file), reporter=heard)
    kept = ExtensionResult.model_validate_json((tmp_path / "same" / "ropewalk" / "result.json").read_text())
    assert kept == result
    gate = result.gate
    assert [(check.subject, check.reference, check.verdict) for check in gate.checks] == [
        ("text", "original", "PASS"),
        ("tasks", "original", "PASS"),
    ]
    assert "PASS (text against the original: at most +0.0000" in gate_verdict(gate)
    assert "within the margin of 0.02 nats/token; tasks against the original: at most +0." in gate_verdict(gate)
    assert gate_verdict(gate).endswith("within the margin of 1.0 points of accuracy)")
    assert gate.tasks.startswith("boolq, piqa of lm-eval 0.")
    assert gate.tasks.endswith(f", with the task files in {folder}")
    assert gate.checks[1].data != gate.data
    assert gate.notes == ()
    assert heard.stages[-2:] == [
        "short-context gate: asking the original model 2 tasks",
        "short-context gate: asking the extended model 2 tasks",
    ]
    assert heard.counts.count(("piqa", 400, 400)) == 2


def test_an_extension_that_ruins_the_tasks_fails_though_its_text_passes(tmp_path):
    """The built-in model finds a value some lines back; interpolated without training it guesses."""
    write_task(tmp_path / "tasks", "boolq", recall_documents(0, 20))
    run = run_of("builtin", method="linear", target=2048)
    asked = settings(tmp_path / "tasks", suite=(BOOLQ,), sizes=GENEROUS)
    gate = run_extension(run, tmp_path / "long", gate=asked).gate
    text, tasks = gate.checks
    assert (text.verdict, tasks.verdict, gate.verdict) == ("PASS", "FAIL", "FAIL")
    assert tasks.change.value > 30
    assert gate.reason.startswith("tasks against the original: worse by at least +")
    assert (tmp_path / "long" / "config.json").is_file()


def test_without_text_the_tasks_are_asked_alone_and_the_gate_says_so(checkpoints, folder, tmp_path):
    heard = Heard()
    asked = settings(folder, limit=5)
    gate = run_extension(run_of(checkpoints["gpt_neox"]), tmp_path / "long", gate=asked, reporter=heard).gate
    (check,) = gate.checks
    assert (check.subject, gate.text, gate.data) == ("tasks", None, None)
    assert check.change.samples == 10
    assert ", first 5 documents of each, " in gate.tasks
    assert gate.notes == (
        "the tasks alone were measured, which says nothing about context longer than their prompts: no text that the "
        "model was not trained on; give some with --gate-data FILE",
    )
    assert heard.stages[-3].startswith("short-context gate: tasks alone; no text that the model was not trained on")
    assert "(more documents would decide)" in gate.reason


def test_the_table_holds_the_points_of_each_task_and_fits_a_terminal(checkpoints, folder, gate_file, tmp_path):
    asked = settings(folder, gate_file, limit=5)
    gate = run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=asked).gate
    lines = printed(gate).splitlines()
    assert max(map(len, lines)) <= 100
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    change, *tasks = gate.checks[1].change, *gate.checks[1].details
    assert cells[-3:] == [
        [words, f"{e.value:+.2f}", f"{e.low:+.2f}..{e.high:+.2f}", verdict, f"{e.samples}/{e.samples}"]
        for words, e, verdict in (
            ("points lost to the original, tasks", change, gate.checks[1].verdict),
            ("boolq", tasks[0], ""),
            ("piqa", tasks[1], ""),
        )
    ]
    text = " ".join(printed(gate).split())
    assert "at most the margin of 0.02 nats/token or 1.0 points of accuracy." in text
    assert "Tasks: boolq, piqa of lm-eval 0." in text


def test_the_control_is_asked_too_and_the_extended_model_only_once(checkpoints, text_file, folder, tmp_path):
    heard = Heard()
    run, asked = run_of(checkpoints["qwen3"], text_file, steps=1), settings(folder, limit=4, control=True)
    gate = run_extension(run, tmp_path / "long", gate=asked, reporter=heard).gate
    assert [(check.subject, check.reference) for check in gate.checks] == [
        ("tasks", "original"),
        ("tasks", "control"),
    ]
    assert gate.control.steps == 1
    assert [stage.split("asking the ")[1] for stage in heard.stages if "asking" in stage] == [
        "original model 2 tasks",
        "extended model 2 tasks",
        "control model 2 tasks",
    ]
    assert all(first[0] != later[0] or first[2] == later[2] for first, later in pairwise(heard.counts))


def test_without_lm_eval_tasks_are_refused_before_any_work(checkpoints, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    heard = Heard()
    with pytest.raises(OptionError, match=r"which is an extra; it is not installed\. Install it with: pip install"):
        run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(folder), reporter=heard)
    assert heard.stages == []
    assert not list(tmp_path.iterdir())


def test_tasks_that_cannot_serve_are_refused_before_any_work(checkpoints, folder, tmp_path):
    lost = tmp_path / "lost"
    write_task(lost, "boolq", choice_documents(0, 2))
    (lost / "boolq.jsonl").unlink()
    write_task(lost, "piqa", choice_documents(0, 2), metric_list=[{"metric": "acc", "aggregation": "mean"}])
    for asked, error, words in (
        (settings(lost, suite=(BOOLQ,)), DataError, "the task 'boolq' of lm-eval must be able to read its documents"),
        (settings(lost, suite=(PIQA,)), OptionError, "counts 'acc_norm' of the task 'piqa', .*; it gives acc. Add it"),
        (settings(tmp_path / "nowhere"), DataError, "a folder of task files must exist"),
    ):
        heard = Heard()
        with pytest.raises(error, match=words):
            run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=asked, reporter=heard)
        assert heard.stages == []
        assert {path.name for path in tmp_path.iterdir()} == {"lost"}


def test_a_limit_of_no_document_is_refused():
    with pytest.raises(OptionError, match=r"at least 1 document of each task; got --gate-limit 0\. Leave it out"):
        GateTasks(limit=0)
    assert GateTasks().suite == SHORT_SUITE


@pytest.mark.parametrize(("sizes", "verdict"), [(GENEROUS, "SKIPPED"), (STRICT, "FAIL")])
def test_data_that_is_lost_during_the_run_takes_no_check_away(checkpoints, gate_file, sizes, verdict, tmp_path):
    """The text is measured before; what it says stands, and a gate whose text fails has failed."""
    write_task(tmp_path / "tasks", "boolq", choice_documents(0, 4))
    heard = Heard(at="no training", action=(tmp_path / "tasks" / "boolq.jsonl").unlink)
    asked = settings(tmp_path / "tasks", gate_file, suite=(BOOLQ,), sizes=sizes)
    gate = run_extension(
        run_of(checkpoints["qwen3"], method="linear", target=1024), tmp_path / "long", gate=asked, reporter=heard
    ).gate
    words = "tasks against the original could not be measured: the task 'boolq' of lm-eval must be able to read"
    assert gate.verdict == verdict
    assert [check.subject for check in gate.checks] == ["text"]
    assert (gate.reason if verdict == "SKIPPED" else gate.notes[0]).startswith(words)
    assert (tmp_path / "long" / "config.json").is_file()


def test_a_task_whose_own_code_fails_makes_the_gate_skipped(checkpoints, tmp_path):
    write_task(tmp_path / "tasks", "boolq", choice_documents(0, 4))
    (tmp_path / "tasks" / "broken.py").write_text("def process_results(doc, results):\n    raise KeyError('gold')\n")
    with (tmp_path / "tasks" / "boolq.yaml").open("a") as file:
        file.write("process_results: !function broken.process_results\n")
    asked = settings(tmp_path / "tasks", suite=(BOOLQ,))
    gate = run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=asked).gate
    assert gate.verdict == "SKIPPED"
    assert gate.reason == (
        "tasks against the original could not be measured: lm-eval must be able to ask and to score its tasks; it "
        "failed (KeyError: 'gold'). Mend the task files, or leave --gate-tasks out."
    )
    assert (tmp_path / "long" / "config.json").is_file()


def test_a_device_that_is_too_small_makes_the_gate_skipped(checkpoints, folder, tmp_path, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(adapters, "load_model", out_of_memory)
    gate = run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(folder)).gate
    assert gate.verdict == "SKIPPED"
    assert gate.notes == ()
    assert gate.reason == (
        "tasks against the original could not be measured: the device ran out of memory; text needs room for two "
        "models at a time, tasks for one"
    )


def test_without_a_tokenizer_neither_text_nor_tasks_are_measured(checkpoints, folder, tmp_path):
    source = without(checkpoints["qwen3"], tmp_path / "source", "tokenizer*")
    gate = run_extension(run_of(source), tmp_path / "long", gate=settings(folder)).gate
    assert (gate.verdict, gate.checks) == ("SKIPPED", ())
    assert gate.reason == f"no tokenizer in '{source}', so text cannot become tokens"
