"""`evaluate` measures a checkpoint by name and by folder, on the built-in texts and on one's own."""

from __future__ import annotations

import pytest

import ropewalk
from ropewalk.errors import DataError, OutputError
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.run.evaluation import evaluate, measure, weights_fingerprint

PLAN = EvaluationPlan(lengths=(256,), windows_per_document=1, tasks=("paired",))


def test_the_record_names_the_model_its_method_its_weights_and_its_data(tmp_path):
    folder = ropewalk.extend("builtin", "entropy-abf", 1024, output=tmp_path / "long")
    result, samples = measure(folder, PLAN)
    assert result.model.method == "entropy-abf, base 25000 (was 500), exempt layers 2"
    assert (result.model.trained_length, result.model.target_length) == (256, 1024)
    untouched, _ = measure("builtin", PLAN)
    assert untouched.model.method == "untouched"
    assert untouched.model.weights == result.model.weights
    assert untouched.data == result.data
    assert len(samples) == 21


def test_the_fingerprint_of_weights_sees_one_changed_byte(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = weights_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weightz")
    assert weights_fingerprint(tmp_path) != first


def test_an_earlier_result_is_refused_before_any_work_and_kept(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(OutputError, match="an earlier result must not be lost"):
        evaluate("builtin", [256], output=tmp_path)
    assert (tmp_path / "result.json").read_text() == "{}"


def test_texts_of_ones_own_that_are_shorter_than_a_window_are_refused(tmp_path):
    (tmp_path / "short.txt").write_text("short")
    with pytest.raises(DataError, match="must hold one window of 512 tokens"):
        evaluate("builtin", [256, 512], data=[tmp_path / "short.txt"])
