"""The gate of whole runs: its text, its control, what it leaves behind, and that being killed in it loses nothing."""

from __future__ import annotations

import io
import json
import os
import signal

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError, InterruptedRunError, OptionError
from ropewalk.evals.gate import GatePlan
from ropewalk.report.gate import gate_table, gate_verdict
from ropewalk.result import ExtensionResult
from ropewalk.run.control import control_plan
from ropewalk.run.demo import demo_run
from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.gate import GateSettings, prepare_gate
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import parse_run, read_run

SIZES = GatePlan(windows=10)


@pytest.fixture(scope="module")
def gate_file(tmp_path_factory):
    """A text of about 900 tokens, other than the training text."""
    path = tmp_path_factory.mktemp("gate") / "gate.txt"
    path.write_text(standard_library(held_out=True).documents["fractions.py"][:3000])
    return path


def run_of(model, text=None, *, method="yarn", positions=None, steps=0, target=256, batch=2, **train):
    values = {
        "model": str(model),
        "target_length": target,
        "method": {"name": method},
        "train": {"steps": steps, "batch": batch, "learning_rate": 1e-3, **train},
        "data": {"files": [str(text)] if text else []},
    }
    return parse_run(values | ({"positions": {"name": positions}} if positions else {}), where="test")


def settings(*files, control=False) -> GateSettings:
    return GateSettings(files=tuple(map(str, files)), control=control, sizes=SIZES)


class Heard(Silent):
    """Remembers stages and steps, and presses Ctrl-C at the stage, step or part of the gate that is asked for."""

    def __init__(self, *, stop_in: str = "") -> None:
        self.stages: list[str] = []
        self.steps: list[int] = []
        self.stop_in = stop_in

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def step(self, step: int, steps: int, loss: float | None, **_: object) -> None:
        self.steps.append(step)
        if self.stop_in and any(stage.startswith(self.stop_in) for stage in self.stages):
            self.stop_in = ""
            os.kill(os.getpid(), signal.SIGINT)

    def advance(self, label: str, done: int, total: int) -> None:
        assert 0 < done <= total
        if self.stop_in == label:
            raise KeyboardInterrupt


def weights(folder) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def test_an_untrained_extension_is_compared_with_the_original_on_the_text_given(checkpoints, gate_file, tmp_path):
    result = run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(gate_file))
    kept = ExtensionResult.model_validate_json((tmp_path / "long" / "ropewalk" / "result.json").read_text())
    assert kept == result
    (check,) = result.gate.checks
    assert (check.subject, check.reference) == ("text", "original")
    assert check.change.samples == 10
    assert result.gate.text == "10 windows of 64 tokens from the text given"
    assert result.gate.notes == ()


def test_a_method_that_changes_nothing_passes_with_exactly_nothing(checkpoints, gate_file, tmp_path):
    run = run_of(checkpoints["gpt_neox"], method="none", target=64)
    gate = run_extension(run, tmp_path / "same", gate=settings(gate_file)).gate
    assert gate.verdict == "PASS"
    assert (gate.checks[0].change.low, gate.checks[0].change.high) == (0.0, 0.0)
    assert gate_verdict(gate).startswith("short-context gate: PASS (text against the original: at most +0.0000")


def test_a_trained_run_says_what_the_original_alone_cannot_show(checkpoints, text_file, gate_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=1)
    gate = run_extension(run, tmp_path / "long", gate=settings(gate_file)).gate
    assert "--gate-control" in gate.notes[0]
    assert [check.reference for check in gate.checks] == ["original"]


def test_the_control_is_the_same_training_at_the_old_window_and_leaves_only_its_numbers(
    checkpoints, text_file, gate_file, tmp_path
):
    run = run_of(checkpoints["qwen3"], text_file, steps=3)
    result = run_extension(run, tmp_path / "long", gate=settings(gate_file, control=True))
    gate = result.gate
    assert [check.reference for check in gate.checks] == ["original", "control"]
    assert gate.control.window == 64
    assert gate.control.tokens == result.tokens == 3 * 2 * 256
    assert gate.notes == ()
    assert {file.name for file in (tmp_path / "long").iterdir() if file.is_dir()} == {"ropewalk"}
    by_hand = run_of(checkpoints["qwen3"], text_file, method="none", target=64, steps=3, batch=8)
    assert run_extension(by_hand, tmp_path / "control").losses == gate.control.losses
    assert "Control: 3 steps at 64 tokens, 1,536 tokens." in " ".join(" ".join(printed(gate)).split())


def printed(gate) -> list[str]:
    console = Console(width=100, markup=False, file=io.StringIO())
    console.print(gate_table(gate))
    return console.file.getvalue().splitlines()


def test_the_table_fits_a_terminal_and_holds_each_number_once(checkpoints, gate_file, tmp_path):
    gate = run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(gate_file)).gate
    lines = printed(gate)
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert f"{gate.checks[0].change.value:+.4f}" in text
    assert "KL(original || extended)" in text
    assert [line.split("│")[1].strip() for line in lines if "tokens " in line and "│" in line] == [
        "tokens 1 to 16",
        "tokens 17 to 32",
        "tokens 33 to 47",
        "tokens 48 to 63",
    ]


def test_the_control_of_the_demo_is_the_recipe_that_was_committed_for_it():
    control = control_plan(resolve(demo_run())).run
    recipe = resolve(parse_run(read_run("control"), where="recipe 'control'")).run
    assert control.train == recipe.train
    assert control.model_copy(update={"train": recipe.train}) == recipe


def test_a_control_is_never_trained_on_less(checkpoints, text_file):
    run = run_of(checkpoints["qwen3"], text_file, target=200, steps=1, batch=4, micro_batch=2)
    control = control_plan(resolve(run)).run.train
    assert (control.micro_batch, control.batch) == (7, 14)  # 2 x 200 tokens are 6.25 windows of 64
    skipping = run_of(checkpoints["qwen3"], text_file, positions="cream", steps=1, batch=4)
    assert control_plan(resolve(skipping)).run.train.batch == 4


def test_a_control_without_training_is_refused(checkpoints, gate_file, tmp_path):
    with pytest.raises(OptionError, match=r"the run must train; got 0 steps\. Leave --gate-control out"):
        run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(gate_file, control=True))
    assert not list(tmp_path.iterdir())


def spoilt(content: bytes) -> bytes:
    """A safetensors file with its header and no numbers: all bits of its tensors are set."""
    start = 8 + int.from_bytes(content[:8], "little")
    return content[:start] + b"\xff" * (len(content) - start)


def turned(content: bytes) -> bytes:
    """A whole safetensors file whose tensors have other shapes than the model's."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    for name, entry in header.items():
        if name != "__metadata__":
            entry["shape"] = [1, *entry["shape"]]
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + content[start:]


def test_without_text_the_gate_is_skipped_and_no_weight_is_read(checkpoints, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for file in checkpoints["qwen3"].iterdir():
        content = file.read_bytes()
        (source / file.name).write_bytes(spoilt(content) if file.suffix == ".safetensors" else content)
    gate = run_extension(run_of(source), tmp_path / "long", gate=settings()).gate
    assert gate.verdict == "SKIPPED"
    assert gate.reason == "no text that the model was not trained on; give some with --gate-data FILE"
    assert gate_table(gate) is None


def test_without_a_tokenizer_the_gate_is_skipped(checkpoints, gate_file, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for file in checkpoints["qwen3"].iterdir():
        if not file.name.startswith("tokenizer"):
            (source / file.name).write_bytes(file.read_bytes())
    gate = run_extension(run_of(source), tmp_path / "long", gate=settings(gate_file)).gate
    assert gate.verdict == "SKIPPED"
    assert gate.reason.startswith("no tokenizer in ")


def test_a_gate_that_cannot_measure_leaves_the_extension_standing(checkpoints, gate_file, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for file in checkpoints["qwen3"].iterdir():
        content = file.read_bytes()
        (source / file.name).write_bytes(turned(content) if file.suffix == ".safetensors" else content)
    gate = run_extension(run_of(source), tmp_path / "long", gate=settings(gate_file)).gate
    assert gate.verdict == "SKIPPED"
    assert gate.reason.startswith(
        "text against the original could not be measured: a model folder must load in transformers"
    )
    assert (tmp_path / "long" / "config.json").is_file()


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is empty"), ("too short", r"at least 8 windows of 64 tokens.* hold 0\. Give more text")],
)
def test_text_that_was_given_and_cannot_serve_is_refused_before_any_work(content, words, checkpoints, tmp_path):
    (tmp_path / "bad.txt").write_text(content)
    heard = Heard()
    with pytest.raises(DataError, match=words):
        run_extension(
            run_of(checkpoints["qwen3"]), tmp_path / "long", gate=settings(tmp_path / "bad.txt"), reporter=heard
        )
    assert heard.stages == []
    assert not (tmp_path / "long.partial").exists()


def test_training_text_is_refused_as_the_gates_text(checkpoints, text_file, gate_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=1)
    with pytest.raises(DataError, match=r"must not be trained on, .* every document given\. Give others"):
        run_extension(run, tmp_path / "long", gate=settings(text_file))
    mixed = prepare_gate(resolve(run), settings(text_file, gate_file))
    assert mixed.words.endswith(", 1 of 2 documents left out because the run trains on them")


def test_runs_on_the_built_in_corpus_are_gated_on_its_held_out_modules(checkpoints, text_file):
    for run in (run_of("builtin", target=512), run_of(checkpoints["qwen3"], "builtin", steps=1)):
        found = prepare_gate(resolve(run), GateSettings())
        assert found.words.endswith("from held-out modules of the built-in corpus")
        assert len(set(found.text.clusters)) >= 20
    assert prepare_gate(resolve(run_of(checkpoints["qwen3"], text_file, steps=1)), GateSettings()).text is None


def test_a_run_stopped_in_its_gate_resumes_without_training_again(checkpoints, text_file, gate_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=3)
    whole = run_extension(run, tmp_path / "whole", gate=settings(gate_file))
    with pytest.raises(KeyboardInterrupt):
        run_extension(run, tmp_path / "parts", gate=settings(gate_file), reporter=Heard(stop_in="short-context gate"))
    assert not (tmp_path / "parts").exists()
    heard = Heard()
    resumed = run_extension(run, tmp_path / "parts", gate=settings(gate_file), resume=True, reporter=heard)
    assert heard.steps == []
    assert resumed.losses == whole.losses
    assert resumed.gate == whole.gate
    ours, theirs = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_stopped_in_its_gate_resumes_with_another_gate_or_none(checkpoints, text_file, gate_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=1)
    with pytest.raises(KeyboardInterrupt):
        run_extension(run, tmp_path / "long", gate=settings(gate_file), reporter=Heard(stop_in="short-context gate"))
    assert run_extension(run, tmp_path / "long", resume=True).gate is None


def test_a_control_stopped_in_the_middle_goes_on_to_the_same_numbers(checkpoints, text_file, gate_file, tmp_path):
    run, gate = run_of(checkpoints["qwen3"], text_file, steps=3), settings(gate_file, control=True)
    whole = run_extension(run, tmp_path / "whole", gate=gate)
    with pytest.raises(InterruptedRunError, match="--resume"):
        run_extension(run, tmp_path / "parts", gate=gate, reporter=Heard(stop_in="control of the gate"))
    heard = Heard()
    resumed = run_extension(run, tmp_path / "parts", gate=gate, resume=True, reporter=heard)
    assert heard.steps == [3]  # of the control: a step is told of after it ends, so Ctrl-C at 1 stops after 2
    assert resumed.gate == whole.gate


def test_an_untrained_run_stopped_in_its_gate_leaves_nothing_in_the_way(checkpoints, gate_file, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_extension(
            run_of(checkpoints["qwen3"]),
            tmp_path / "long",
            gate=settings(gate_file),
            reporter=Heard(stop_in="short-context gate"),
        )
    assert not list(tmp_path.iterdir())


def test_records_of_before_the_gate_are_still_read(checkpoints, tmp_path):
    run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long")
    record = json.loads((tmp_path / "long" / "ropewalk" / "result.json").read_text())
    assert record.pop("gate") is None
    assert ExtensionResult.model_validate(record).gate is None
