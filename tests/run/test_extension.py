"""Whole runs on real-shaped checkpoints: extended, trained with skipping positions, saved, resumed, loaded."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from transformers import AutoModelForCausalLM

import ropewalk
from ropewalk import adapters
from ropewalk.errors import AlreadyScaledError, DataError, InterruptedRunError, ModelError, OptionError, OutputError
from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.runfile import parse_run, read_run

TARGET = 256


def run_of(model, text=None, *, method="yarn", positions=None, steps=2, target=TARGET, seed=0):
    values = {
        "model": str(model),
        "target_length": target,
        "method": {"name": method},
        "train": {"steps": steps, "batch": 2, "learning_rate": 1e-3, "seed": seed},
        "data": {"files": [str(text)] if text else []},
    }
    return parse_run(values | ({"positions": {"name": positions}} if positions else {}), where="test")


def logits(model, length=TARGET):
    ids = torch.arange(length)[None] % 500 + 100
    with torch.no_grad():
        return model.eval()(ids).logits


class Counted(Silent):
    """Remembers which steps were trained."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def step(self, step: int, steps: int, loss: float | None, **_: object) -> None:
        self.steps.append(step)


class InterruptAt(Silent):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step: int, steps: int, loss: float | None, **_: object) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("family", ["qwen3", "gpt_neox"])
@pytest.mark.parametrize("method", ["linear", "yarn", "entropy-abf"])
def test_a_real_shaped_checkpoint_is_extended_trained_saved_and_loaded(
    family, method, checkpoints, text_file, tmp_path
):
    result = run_extension(run_of(checkpoints[family], text_file, method=method, positions="cream"), tmp_path / "long")
    folder = tmp_path / "long"
    assert result.steps == 2
    assert len(result.losses) == 2
    assert {"config.json", "tokenizer.json", "ropewalk"} <= {file.name for file in folder.iterdir()}
    assert {file.name for file in (folder / "ropewalk").iterdir()} == {"run.toml", "result.json"}
    assert not (tmp_path / "long.partial").exists()
    ours = logits(ropewalk.load(folder))
    plain = logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    assert result.exact == (method != "entropy-abf")
    assert torch.equal(ours, plain) == result.exact
    assert torch.equal(ours[:, :64], plain[:, :64])
    tokens = adapters.load_tokenizer(folder)("def main(", return_tensors="pt")["input_ids"]
    generated = ropewalk.load(folder).generate(tokens, max_new_tokens=4, do_sample=False)
    assert generated.shape == (1, tokens.shape[1] + 4)


def test_training_at_the_old_window_carries_positions_up_to_the_target(checkpoints, text_file, tmp_path):
    run_extension(run_of(checkpoints["qwen3"], text_file, positions="cream"), tmp_path / "long")
    resolved = read_run(str(tmp_path / "long" / "ropewalk" / "run.toml"))
    assert resolved["data"]["window"] == 64
    assert resolved["target_length"] == TARGET


def test_the_resolved_run_runs_again_as_it_is_to_the_same_weights(checkpoints, text_file, tmp_path):
    first = run_extension(run_of(checkpoints["qwen3"], text_file, positions="pose"), tmp_path / "first")
    again = parse_run(read_run(str(tmp_path / "first" / "ropewalk" / "run.toml")), where="resolved")
    second = run_extension(again, tmp_path / "second")
    assert first.losses == second.losses
    assert torch.equal(logits(ropewalk.load(tmp_path / "first")), logits(ropewalk.load(tmp_path / "second")))


@pytest.mark.parametrize("positions", ["contiguous", "cream"])
def test_a_run_stopped_in_its_second_sweep_resumes_to_bit_identical_losses_and_weights(
    positions, checkpoints, text_file, tmp_path
):
    # 3 or 13 windows in a sweep, 2 in a step: step 8 lies beyond the first sweep for both samplers. A step is told
    # of after it ends, so Ctrl-C at 7 stops after 8.
    run = run_of(checkpoints["qwen3"], text_file, positions=positions, steps=10)
    whole = run_extension(run, tmp_path / "whole")
    with pytest.raises(
        InterruptedRunError, match=r"stopped after step 8 of 10; .* --resume to go on exactly from there"
    ):
        run_extension(run, tmp_path / "parts", reporter=InterruptAt(7))
    assert not (tmp_path / "parts").exists()
    counted = Counted()
    resumed = run_extension(run, tmp_path / "parts", resume=True, reporter=counted)
    assert counted.steps == [9, 10]  # a run that starts anew gives the same losses too
    assert resumed.losses == whole.losses
    assert torch.equal(logits(ropewalk.load(tmp_path / "parts")), logits(ropewalk.load(tmp_path / "whole")))


def test_restoration_keeps_a_run_nearer_to_its_original_and_is_resumed_with_it(checkpoints, text_file, tmp_path):
    plain = run_of(checkpoints["qwen3"], text_file, steps=6)
    run = plain.model_copy(update={"train": plain.train.model_copy(update={"restoration": 2.0})})
    run_extension(plain, tmp_path / "plain")
    whole = run_extension(run, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        run_extension(run, tmp_path / "parts", reporter=InterruptAt(3))
    resumed = run_extension(run, tmp_path / "parts", resume=True)
    assert resumed.losses == whole.losses
    expected = logits(adapters.load_model(checkpoints["qwen3"]), 64).log_softmax(-1)

    def divergence(name):
        got = logits(ropewalk.load(tmp_path / name), 64).log_softmax(-1)
        return float((expected.exp() * (expected - got)).sum())

    assert divergence("whole") < divergence("plain")


def test_a_checkpoint_cut_off_while_it_was_written_is_not_resumed_from(checkpoints, text_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=4)
    whole = run_extension(run, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        run_extension(run, tmp_path / "parts", reporter=InterruptAt(2))
    (tmp_path / "parts.partial" / "checkpoints" / "checkpoint-3" / "trainer_state.json").unlink()
    assert run_extension(run, tmp_path / "parts", resume=True).losses == whole.losses


def test_resuming_a_finished_run_changes_nothing(checkpoints, text_file, tmp_path):
    run = run_of(checkpoints["qwen3"], text_file, steps=1)
    first = run_extension(run, tmp_path / "long")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "long").rglob("*")}
    assert run_extension(run, tmp_path / "long", resume=True) == first
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "long").rglob("*")}


def test_without_steps_no_weight_is_touched_and_no_tokenizer_is_needed(checkpoints, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for file in checkpoints["qwen3"].iterdir():
        if not file.name.startswith("tokenizer"):
            (source / file.name).write_bytes(file.read_bytes())
    result = run_extension(run_of(source, steps=0), tmp_path / "long")
    assert (result.steps, result.data, result.losses) == (0, None, ())
    for file in source.glob("*.safetensors"):
        assert (tmp_path / "long" / file.name).read_bytes() == file.read_bytes()
    assert json.loads((tmp_path / "long" / "config.json").read_text())["rope_parameters"]["factor"] == 4.0


def test_the_public_function_extends_a_loaded_model_in_place_and_a_folder_into_another(checkpoints, tmp_path):
    model = ropewalk.load(checkpoints["qwen3"])
    assert ropewalk.extend(model, "yarn", TARGET, beta_fast=16.0) is model
    folder = ropewalk.extend(checkpoints["qwen3"], "yarn", TARGET, output=tmp_path / "long", beta_fast=16.0)
    assert torch.equal(logits(model), logits(ropewalk.load(folder)))
    with pytest.raises(OptionError, match="output must be given for a checkpoint, and only for a checkpoint"):
        ropewalk.extend(checkpoints["qwen3"], "yarn", TARGET)


def test_a_target_below_the_window_is_refused(checkpoints, tmp_path):
    with pytest.raises(OptionError, match=r"at least the trained window of 64 tokens, .* got 32"):
        run_extension(run_of(checkpoints["qwen3"], target=32, steps=0), tmp_path / "long")


def test_a_second_extension_is_refused_with_what_the_first_was(checkpoints, tmp_path):
    run_extension(run_of(checkpoints["qwen3"], steps=0), tmp_path / "long")
    with pytest.raises(AlreadyScaledError, match="was extended by ropewalk already"):
        run_extension(run_of(tmp_path / "long", steps=0, target=512), tmp_path / "longer")


def test_steps_without_text_are_refused_with_the_ways_to_give_it(checkpoints, tmp_path):
    with pytest.raises(DataError, match=r"only the built-in model has its own; got 2 steps .* --data FILE"):
        run_extension(run_of(checkpoints["qwen3"]), tmp_path / "long")


def test_steps_without_a_tokenizer_are_refused(checkpoints, text_file, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes((checkpoints["qwen3"] / "config.json").read_bytes())
    with pytest.raises(ModelError, match="training needs a tokenizer"):
        run_extension(run_of(source, text_file), tmp_path / "long")


def test_a_text_shorter_than_one_window_is_refused_and_leaves_nothing(checkpoints, tmp_path):
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(DataError, match="at least one window of 256 tokens"):
        run_extension(run_of(checkpoints["qwen3"], tmp_path / "short.txt"), tmp_path / "long")
    assert not (tmp_path / "long").exists()


def test_a_sampler_named_as_a_method_is_refused_with_the_way_to_say_it(checkpoints, tmp_path):
    with pytest.raises(OptionError, match="say --positions randpos together with --method linear"):
        run_extension(run_of(checkpoints["qwen3"], method="randpos", steps=0), tmp_path / "long")


def test_a_window_above_the_target_is_refused(checkpoints, text_file, tmp_path):
    values = run_of(checkpoints["qwen3"], text_file).model_dump()
    values["data"]["window"] = 512
    with pytest.raises(OptionError, match="must fit the target length of 256 tokens; got 512"):
        run_extension(parse_run(values, where="test"), tmp_path / "long")


def test_an_existing_output_is_refused_before_any_work(checkpoints, tmp_path):
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "notes").write_text("mine")
    with pytest.raises(OutputError, match="must not exist"):
        run_extension(run_of(checkpoints["qwen3"], steps=0), tmp_path / "long")
