"""What a run leaves open is settled, and what cannot be is refused, before any work."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from ropewalk.errors import DataError, OptionError, RunFileError
from ropewalk.run.flags import flags_as_run
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import override, parse_run

RUN = {"model": "builtin", "target_length": 2048}


def resolved(**changes):
    return resolve(parse_run(override(RUN, changes), where="this run"))


def test_a_factor_stands_for_as_many_trained_windows():
    run = parse_run({"model": "builtin", "factor": 4}, where="this run")
    plan = resolve(run)
    assert plan.target_length == plan.run.target_length == 1024
    assert plan.run.factor is None
    assert resolve(plan.run).run == plan.run


@pytest.mark.parametrize(
    ("values", "got"),
    [({}, "got neither"), ({"target_length": 2048, "factor": 8}, "got target_length = 2048 and factor = 8")],
)
def test_the_new_window_is_given_in_one_way(values, got):
    with pytest.raises(RunFileError, match=f"{got}. Say --to TOKENS"):
        resolve(parse_run({"model": "builtin", **values}, where="this run"))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"lora": {"rank": 4}}, r'\[train.lora\] section belongs to trainable = "lora"; got trainable = "all"'),
        ({"stop_when": "certified"}, "must measure on its way; got no evaluate_every"),
        ({"batch": 32, "micro_batch": 5}, "got batch = 32 and micro_batch = 5"),
        ({"activation_checkpointing": "offload"}, "this machine has no accelerator.*Say .on."),
    ],
)
def test_settings_that_contradict_each_other_are_refused(train, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=message):
        resolved(train={"steps": 10, **train})


def test_a_reporter_that_is_not_installed_is_refused_with_its_name():
    with pytest.raises(OptionError, match=r"report_to = 'wandb' needs the package wandb.*pip install wandb"):
        resolved(train={"steps": 10, "report_to": ["wandb"]})


def test_texts_given_in_two_ways_are_refused():
    with pytest.raises(DataError, match=r"got 1 file\(s\) and 1 source\(s\)"):
        resolved(train={"steps": 10}, data={"files": ["builtin"], "sources": [{"path": "builtin"}]})


def test_windows_that_devices_share_hold_one_document(monkeypatch):
    monkeypatch.setenv("PARALLELISM_CONFIG_CP_SIZE", "2")
    with pytest.raises(OptionError, match=r'must hold one document.*got packing = "by default"'):
        resolved(train={"steps": 10})
    assert resolved(train={"steps": 10}, data={"packing": "none"}).window == 2048


def test_measuring_while_training_is_refused_where_weights_are_spread(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(OptionError, match=r"needs the whole model on the first device.*evaluate_every = 5"):
        resolved(train={"steps": 10, "evaluate_every": 5})


def test_a_section_given_as_an_entry_is_refused_and_a_name_is_a_name():
    with pytest.raises(OptionError, match=r"'train' is a section.*got train = 5. Say --entry train.KEY=VALUE"):
        flags_as_run(entries={"train": 5})
    assert flags_as_run(entries={"method": "linear", "positions": "cream"}) == {
        "method": {"name": "linear"},
        "positions": {"name": "cream"},
    }


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ("flash_attention_2", "needs the package flash-attn, which is not installed"),
        ("flex_attention", "flex attention has no backward pass on a processor"),
    ],
)
def test_attention_that_cannot_train_here_is_refused(attention, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=message):
        resolved(train={"steps": 10, "attention": attention})


def test_flash_attention_and_packed_windows_are_refused_together(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(OptionError, match=r'knows no mask between documents.*packing = "by default"'):
        resolved(train={"steps": 10, "attention": "flash_attention_2"})


def test_any_entry_of_a_run_file_can_be_given_by_its_dotted_name():
    flags = flags_as_run(steps=3, entries={"train.lora.rank": 4, "train.steps": 9, "data.packing": "none"})
    assert flags == {"train": {"steps": 3, "lora": {"rank": 4}}, "data": {"packing": "none"}}
