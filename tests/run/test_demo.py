"""The demo, small: the same way as the real one, with fewer steps and samples."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

import ropewalk
from ropewalk.errors import OutputError
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.store import read_evaluation
from ropewalk.result import DemoResult
from ropewalk.run.demo import demo_run, run_demo
from ropewalk.run.extension import Silent
from ropewalk.run.runfile import parse_run

PLAN = EvaluationPlan(
    lengths=(256, 1024), windows_per_document=1, repeats_per_document=1, streams=2, depths=(0.5,), trials=1, contexts=1
)


class Heard(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.parts: set[str] = set()

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def advance(self, label: str, done: int, total: int, note: str = "") -> None:
        assert 0 < done <= total
        self.parts.add(label)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    values = demo_run().model_dump()
    run = parse_run({**values, "train": {**values["train"], "steps": 1, "batch": 1}}, where="test")
    heard = Heard()
    return folder, run_demo(folder, heard, run=run, plan=PLAN), heard


def test_it_leaves_the_numbers_the_figure_both_evaluations_and_the_model(demo):
    folder, result, _ = demo
    assert {file.name for file in folder.iterdir()} == {"result.json", "figure.png", "before", "after", "model"}
    assert DemoResult.model_validate_json((folder / "result.json").read_text()) == result
    assert read_evaluation(folder / "before")[0].model.method == "untouched"
    assert read_evaluation(folder / "after")[0].model.method.startswith("yarn, factor 8")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_both_evaluations_read_the_same_samples_and_the_comparison_is_paired(demo):
    _, result, _ = demo
    assert result.before.data == result.after.data == result.comparison.data
    change = result.comparison.find("paired_nll_change", 256)
    assert change is not None
    assert change.clusters == 21
    assert change.low <= change.value <= change.high


def test_the_model_is_an_exact_carrier_that_plain_transformers_loads(demo):
    folder, result, _ = demo
    assert result.extension.exact
    ids = torch.arange(600)[None] + 100
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)(ids).logits
        assert torch.equal(plain, ropewalk.load(folder / "model")(ids).logits)


def test_people_hear_of_every_stage(demo):
    _, _, heard = demo
    assert heard.stages[0] == "Measuring the model 'builtin' as it is"
    assert heard.parts == {"paired_nll", "repeated_nll", "stream_nll", "passkey", "key_value"}


def test_an_earlier_demo_is_replaced_and_anything_else_is_kept(demo, tmp_path):
    folder, _, _ = demo
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(OutputError, match="holds something else"):
        run_demo(tmp_path / "mine", Heard())
    assert (tmp_path / "mine" / "notes").read_text() == "mine"
    assert json.loads((folder / "result.json").read_text())["format_version"] == 1
