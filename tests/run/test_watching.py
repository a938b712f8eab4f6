"""A run that is measured on its way: what is read, what is kept, that nothing changes by it, and when it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.errors import MeasurementError, OptionError
from ropewalk.evals import stages as evaluation_stages
from ropewalk.evals.tasks import text_windows
from ropewalk.result import Measurement, WatchResult
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import parse_run
from ropewalk.run.training_data import training_windows
from ropewalk.run.watch_text import SEED, prepare_watch
from ropewalk.run.watching import FILE, TargetWatch, describe, is_promising
from ropewalk.train import trainer

SUITE = """
about = "As small as a certificate can be."
lengths = "ends"
tasks = ["paired"]
[sizes]
windows_per_document = 1
[certificate]
tasks = ["key-value"]
looks = [40]
alphas = [0.05]
"""
SHORT, LONG, TOO_LONG = 96, 192, 512


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Nine texts of about 1,400 tokens each that no run here trains on."""
    folder = tmp_path_factory.mktemp("held-out")
    modules = standard_library(held_out=True).documents
    for name in [name for name, text in modules.items() if len(text) > 4500 and name != "bdb.py"][:9]:
        (folder / f"{Path(name).stem}-{len(modules[name])}.txt").write_text(modules[name][:4500])
    return folder


@pytest.fixture(scope="module")
def short_trained(tmp_path_factory):
    """The built-in model, which knows 256 tokens, as one that says it was trained on 96: it is certified beyond."""
    folder = tmp_path_factory.mktemp("short") / "model"
    shutil.copytree(adapters.resolve_source("builtin"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": SHORT}))
    return folder


def plan_of(model, *, target=256, method="yarn", files=("builtin",), **train):
    return resolve(
        parse_run(
            {
                "model": str(model),
                "target_length": target,
                "method": {"name": method},
                "data": {"files": [str(file) for file in files]},
                "train": {"steps": 4, "batch": 2, "learning_rate": 1e-3, "evaluate_every": 2, **train},
            },
            where="test",
        )
    )


class Heard(Silent):
    """Remembers what was told."""

    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


def extended(plan):
    model = adapters.load_model(plan.source)
    adapters.extend_model(model, plan.method, plan.target_length)
    return model


def watch_of(plan, files, folder, *, tell=None, **options):
    text = prepare_watch(plan, [str(file) for file in files])
    return TargetWatch(plan, text, adapters.load_tokenizer(plan.source), folder, tell or Heard(), **options)


def test_a_run_that_is_not_measured_on_its_way_needs_no_text(checkpoints):
    assert prepare_watch(plan_of(checkpoints["qwen3"], evaluate_every=None)) is None
    assert prepare_watch(plan_of(checkpoints["qwen3"], steps=0)) is None


def test_the_built_in_model_is_measured_on_held_out_modules_that_hold_the_target():
    text = prepare_watch(plan_of("builtin", target=2048))
    assert text.words == f"8 of {len(text.documents)} held-out documents"
    assert all(len(stream) >= 2048 for stream in text.data.streams.values())
    assert set(text.documents) <= set(standard_library(held_out=True).documents)


def test_texts_that_do_not_hold_the_target_leave_recall(checkpoints, text_file, held_out):
    plan = plan_of(checkpoints["qwen3"], target=4096, files=[text_file])
    text = prepare_watch(plan, [str(held_out)])
    assert text.data is None
    assert text.words.startswith("recall only, because no text that the run does not train on holds 4,096 tokens")
    assert prepare_watch(plan).words.startswith("recall only, because there is no text that the run does not train on")


def test_a_run_cannot_stop_when_certified_without_text(checkpoints, text_file):
    plan = plan_of(checkpoints["qwen3"], files=[text_file], stop_when="certified")
    with pytest.raises(
        OptionError, match=r"needs text that it does not train on.*--gate-data FILE, or leave stop_when"
    ):
        prepare_watch(plan)


def test_without_text_recall_alone_is_measured(checkpoints, text_file, tmp_path):
    plan = plan_of(checkpoints["qwen3"], files=[text_file])
    watch = watch_of(plan, [], tmp_path)
    assert watch.measure(extended(plan), 2) is False
    (found,) = watch.result.measurements
    assert found.gain is None
    assert [estimate.measure for estimate in found.recall] == ["passkey_accuracy", "key_value_accuracy"]
    assert [(estimate.length, estimate.samples) for estimate in found.recall] == [(256, 5), (256, 16)]
    assert set(watch.row()) == {"target_passkey_accuracy", "target_key_value_accuracy"}


def test_the_gain_is_the_difference_of_plain_losses_of_the_same_tokens(checkpoints, held_out, tmp_path):
    plan = plan_of(checkpoints["qwen3"])
    watch, model = watch_of(plan, [held_out], tmp_path), extended(plan)
    watch.measure(model, 2)
    gain = watch.result.measurements[0].gain
    text, _ = watch._plans
    windows = np.stack([window.tokens for window in text_windows(watch.text.data, text)])
    losses = {}
    for length in (64, 256):
        tokens = torch.as_tensor(windows[:, -length:])
        with torch.no_grad():
            logits = model(tokens).logits[:, -33:-1]
        losses[length] = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, -32:].flatten()).item()
    assert gain.samples == len(windows) == 8
    assert (gain.baseline_length, gain.length) == (64, 256)
    assert gain.value == pytest.approx(losses[64] - losses[256], abs=1e-5)


class Drawing:
    """A watch that does what a watch must not do: it moves the generator that the training draws from."""

    every = 2

    def measure(self, model, step):
        torch.rand(1)
        return False

    def row(self):
        return {}


def test_training_that_is_watched_is_the_same_to_the_last_bit(checkpoints, text_file, held_out, tmp_path):
    plan = plan_of(checkpoints["qwen3"], files=[text_file])
    losses, weights = [], []
    for name in ("alone", "watched", "drawing"):
        model = extended(plan)
        model.config.attention_dropout = 0.1
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.1  # draws from the generator that a measurement must not touch
        windows, _ = training_windows(plan, adapters.load_tokenizer(plan.source), Silent())
        watches = {"watched": watch_of(plan, [held_out], tmp_path / "watch"), "drawing": Drawing()}
        record = trainer.train(model, windows, plan.run.train, tmp_path / name, watch=watches.get(name))
        losses.append(record.losses)
        weights.append(model.state_dict())
    assert [found.step for found in watch_of(plan, [held_out], tmp_path / "watch").measurements] == [2, 4]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_measurement_leaves_mode_generator_and_gradients_as_they_were(checkpoints, held_out, tmp_path):
    plan = plan_of(checkpoints["qwen3"])
    watch, model = watch_of(plan, [held_out], tmp_path), extended(plan)
    model.train()
    state = torch.random.get_rng_state()
    watch.measure(model, 2)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    model(torch.zeros((1, 8), dtype=torch.long)).logits.sum().backward()  # nothing of it was left for inference alone
    assert model.model.embed_tokens.weight.grad is not None


def test_measurements_are_kept_and_gone_on_with(checkpoints, held_out, tmp_path):
    plan, tell = plan_of(checkpoints["qwen3"]), Heard()
    watch, model = watch_of(plan, [held_out], tmp_path, tell=tell), extended(plan)
    for step in (2, 4):
        watch.measure(model, step)
    assert WatchResult.model_validate_json((tmp_path / FILE).read_text()) == watch.result
    again = watch_of(plan, [held_out], tmp_path)
    assert again.result == watch.result
    again.measure(model, 4)  # a run that resumes at step 3 comes to step 4 again
    assert [found.step for found in again.result.measurements] == [2, 4]
    assert again.result.measurements[1].gain == watch.result.measurements[1].gain
    assert tell.stages == [describe(found) for found in watch.result.measurements]


def test_what_cannot_be_gone_on_with_is_measured_anew(checkpoints, held_out, tmp_path):
    plan = plan_of(checkpoints["qwen3"])
    watch_of(plan, [held_out], tmp_path).measure(extended(plan), 2)
    assert watch_of(plan, [], tmp_path).result.measurements == ()  # other texts
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text()[:100])
    assert watch_of(plan, [held_out], tmp_path).result.measurements == ()


def test_no_evaluation_draws_what_a_watch_draws(checkpoints, held_out, tmp_path):
    watch = watch_of(plan_of(checkpoints["qwen3"], seed=3), [held_out], tmp_path)
    assert watch.result.seed == SEED + 3
    assert {plan.seed for plan in watch._plans} == {SEED + 3}


def test_a_model_that_emits_no_numbers_is_seen_and_not_certified(checkpoints, held_out, tmp_path):
    plan, tell = plan_of(checkpoints["qwen3"], stop_when="certified"), Heard()
    watch, model = watch_of(plan, [held_out], tmp_path, tell=tell), extended(plan)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    assert watch.measure(model, 2) is False
    assert "every sample failed: the model's logits are not finite" in tell.stages[0]
    assert watch.result.measurements[0].certificate is None


def test_too_little_memory_for_a_measurement_does_not_end_the_training(checkpoints, held_out, tmp_path, monkeypatch):
    plan, tell = plan_of(checkpoints["qwen3"]), Heard()
    watch = watch_of(plan, [held_out], tmp_path, tell=tell)
    model = extended(plan)

    def full(*_: object, **__: object):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(evaluation_stages.nll, "paired_nll", full)
    assert watch.measure(model, 2) is False
    assert tell.stages[0].startswith(
        "step 2 could not be measured, and training goes on: the device must hold one batch"
    )
    assert watch.result.measurements == ()
    assert MeasurementError.__name__ not in tell.stages[0]


@pytest.fixture(scope="module")
def certified(short_trained, held_out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certified")
    (folder / "suite.toml").write_text(SUITE)
    plan = plan_of(short_trained, target=LONG, method="none", stop_when="certified")
    tell = Heard()
    watch = watch_of(plan, [held_out], folder / "checkpoints", tell=tell, suite=str(folder / "suite.toml"))
    return plan, watch, tell, watch.measure(extended(plan), 2)


def test_a_model_that_is_certified_at_the_target_ends_its_training(certified):
    _, watch, tell, ends = certified
    assert ends is True
    found = watch.result
    assert found.certified_step == 2
    assert found.measurements[0].certificate.length == LONG
    assert found.measurements[0].certificate.trained_length == SHORT
    assert tell.stages[1].startswith(f"step 2: certified context {LONG} tokens at 95 % (")
    assert WatchResult.model_validate_json(found.model_dump_json()) == found


def test_the_untouched_model_is_asked_once_and_the_trained_one_anew(certified, tmp_path):
    plan, watch, _, _ = certified
    model = extended(plan)
    journal = [json.loads(line) for line in (watch.folder / "reference" / "journal.jsonl").read_text().splitlines()]
    assert {line["batch"].split("/")[0] for line in journal[1:]} == {"reference_key_value"}
    read = []
    model.register_forward_pre_hook(lambda _, arguments, words: read.append(len(words["input_ids"])), with_kwargs=True)
    loads = []
    original = adapters.load_model
    try:
        adapters.load_model = lambda *arguments, **words: loads.append(arguments) or original(*arguments, **words)
        assert watch.measure(model, 4) is True
    finally:
        adapters.load_model = original
    assert loads == []
    assert sum(read) > 100  # contexts of the certificate, not remembered ones
    first, second = watch.result.measurements
    assert first.certificate == second.certificate


def test_a_model_whose_recall_is_low_is_not_put_to_a_certificate(short_trained, held_out, tmp_path):
    plan = plan_of(short_trained, target=TOO_LONG, method="none", stop_when="certified")
    watch = watch_of(plan, [held_out], tmp_path)
    assert watch.measure(extended(plan), 2) is False
    (found,) = watch.result.measurements
    assert found.certificate is None
    assert found.gain.high < 0
    assert not is_promising(found)


def estimate(measure, value, *, half=0.0, samples=16, failed=0):
    return {
        "measure": measure,
        "protocol": "as invented",
        "unit": "nats/token" if measure == "context_gain" else "share of answers",
        "length": 2048,
        "baseline_length": 256 if measure == "context_gain" else None,
        "value": value,
        "low": value - half,
        "high": value + half,
        "interval": "none",
        "samples": samples,
        "failed": failed,
    }


def measurement(gained, passkey, key_value, **changes):
    return Measurement.model_validate(
        {
            "step": 20,
            "gain": estimate("context_gain", gained, half=0.05, samples=8),
            "recall": [estimate("passkey_accuracy", passkey, samples=5), estimate("key_value_accuracy", key_value)],
            "wall_seconds": 3.21,
            **changes,
        }
    )


def test_a_certificate_is_tried_where_recall_is_high_and_text_is_not_worse():
    assert is_promising(measurement(0.4, 0.8, 0.9375))
    assert is_promising(measurement(-0.06, 1.0, 1.0))
    assert is_promising(measurement(0.4, 1.0, 1.0, gain=None))
    assert not is_promising(measurement(0.4, 0.6, 1.0))
    assert not is_promising(measurement(0.4, 1.0, 0.75))
    assert not is_promising(measurement(-0.08, 1.0, 1.0))
    assert not is_promising(measurement(0.4, 1.0, 1.0, recall=[]))


def test_a_measurement_is_told_in_one_line_with_its_interval_and_numbers():
    assert describe(measurement(0.4, 0.8, 0.9375)) == (
        "step 20: context gain 256 -> 2,048 tokens +0.400 [+0.350, +0.450] nats/token, n = 8; pass keys 4 of 5; "
        "key-value recall 15 of 16 (3.2 s)"
    )
    partly = measurement(0.4, 1.0, 1.0, recall=[estimate("passkey_accuracy", 1.0, samples=3, failed=2)])
    assert "pass keys 3 of 3 (2 failed)" in describe(partly)
