"""`precision = "auto"`: what this machine does fast, decided before work begins and written down."""

from __future__ import annotations

import pytest
import torch

from ropewalk.run import precision
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import parse_run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def not_measured_yet():
    precision.fastest_precision.cache_clear()
    yield
    precision.fastest_precision.cache_clear()


def run_with(precision_name: str):
    return parse_run(
        {"model": "builtin", "target_length": 512, "train": {"steps": 1, "precision": precision_name}}, where="a test"
    )


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [(3.0, 1.0, "bfloat16"), (2.9, 1.0, "float32"), (1.0, 8.0, "float32"), (10.0, 1.0, "bfloat16")],
)
def test_bfloat16_is_chosen_only_where_it_is_fast_by_far(float32, bfloat16, chosen, monkeypatch):
    seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
    monkeypatch.setattr(precision, "_product_seconds", lambda dtype, device: seconds[dtype])
    assert precision.fastest_precision(CPU) == chosen
    plan = resolve(run_with("auto"))
    assert plan.run.train.precision == chosen
    assert precision.precision_of(plan) is getattr(torch, chosen)
    assert resolve(plan.run) == plan, "the resolved run gives the same plan on any machine"


def test_what_is_named_is_not_measured(monkeypatch):
    monkeypatch.setattr(precision, "_product_seconds", None)
    for name in precision.PRECISIONS:
        assert resolve(run_with(name)).run.train.precision == name


def test_a_process_measures_once(monkeypatch):
    seconds = iter([9.0, 1.0])  # a second measurement would find nothing
    monkeypatch.setattr(precision, "_product_seconds", lambda dtype, device: next(seconds))
    assert [precision.fastest_precision(CPU) for _ in range(2)] == ["bfloat16"] * 2


def test_the_measurement_runs_here_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    found = precision.fastest_precision(CPU)
    assert found in precision.PRECISIONS
    assert torch.get_num_threads() == threads
