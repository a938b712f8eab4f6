"""A longer run begins where a shorter one ended, and ends as if it had been made alone."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.longer import begin_with
from ropewalk.run.runfile import parse_run


class Counted(Silent):
    """Remembers which steps were trained."""

    def __init__(self):
        self.steps = []

    def step(self, step, steps, loss, **_):
        self.steps.append(step)


def run_of(model, text, steps, **train):
    settings = {"steps": steps, "batch": 2, "learning_rate": 1e-3, "warmup_steps": 2, "schedule": "constant"}
    return parse_run(
        {
            "model": str(model),
            "target_length": 256,
            "method": {"name": "yarn"},
            "train": settings | {"precision": "float32"} | train,
            "data": {"files": [str(text)], "recall_share": 0.5},
        },
        where="test",
    )


def weights(folder):
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


@pytest.fixture(scope="module")
def trained(checkpoints, text_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shorter") / "short"
    run_extension(run_of(checkpoints["qwen3"], text_file, 3), folder, keep_checkpoints=True)
    return folder


@pytest.fixture
def made(trained, checkpoints, tmp_path):
    """A model, and a run of 3 steps of it that kept its state; each test has a copy."""
    return checkpoints["qwen3"], shutil.copytree(trained, tmp_path / "short")


def test_it_makes_the_other_steps_alone_and_ends_with_the_same_weights_and_losses(made, text_file, tmp_path):
    model, short = made
    longer, counted = run_of(model, text_file, 7), Counted()
    alone = run_extension(longer, tmp_path / "alone")
    assert begin_with(short, longer, tmp_path / "long")
    result = run_extension(longer, tmp_path / "long", resume=True, reporter=counted)
    assert counted.steps == [4, 5, 6, 7]
    assert (result.losses, result.tokens, result.steps) == (alone.losses, alone.tokens, 7)
    mine, theirs = weights(tmp_path / "long"), weights(tmp_path / "alone")
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert not (tmp_path / "long" / "checkpoints").exists()


def test_the_state_is_given_once_and_the_shorter_model_stays(made, text_file, tmp_path):
    model, short = made
    before = weights(short)
    assert begin_with(short, run_of(model, text_file, 7), tmp_path / "long")
    assert not begin_with(short, run_of(model, text_file, 7), tmp_path / "other")
    assert not (tmp_path / "other.partial").exists()
    assert all(torch.equal(before[name], value) for name, value in weights(short).items())


@pytest.mark.parametrize(
    ("steps", "train"),
    [
        (3, {}),
        (2, {}),
        (7, {"learning_rate": 2e-3}),
        (7, {"seed": 1}),
        (7, {"batch": 4}),
        (7, {"precision": "bfloat16"}),
    ],
)
def test_another_run_or_one_as_long_begins_anew(made, text_file, tmp_path, steps, train):
    model, short = made
    assert not begin_with(short, run_of(model, text_file, steps, **train), tmp_path / "long")
    assert not (tmp_path / "long.partial").exists()
    assert (short / "checkpoints").is_dir()


def test_a_rate_that_falls_to_the_end_of_a_run_is_not_gone_on_with(checkpoints, text_file, tmp_path):
    model = checkpoints["qwen3"]
    run_extension(run_of(model, text_file, 3, schedule="linear"), tmp_path / "short", keep_checkpoints=True)
    assert not begin_with(tmp_path / "short", run_of(model, text_file, 7, schedule="linear"), tmp_path / "long")


def test_what_has_begun_or_is_finished_or_has_no_state_is_left_alone(made, text_file, tmp_path):
    model, short = made
    longer = run_of(model, text_file, 7)
    run_extension(longer, tmp_path / "long")
    (tmp_path / "begun.partial").mkdir()
    assert not begin_with(short, longer, tmp_path / "long")
    assert not begin_with(short, longer, tmp_path / "begun")
    assert not begin_with(tmp_path / "long", run_of(model, text_file, 9), tmp_path / "more")
    assert not begin_with(tmp_path / "nothing", longer, tmp_path / "more")
