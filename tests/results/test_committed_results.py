"""What the documents claim of the built-in model and the demo, read off the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropewalk.adapters import resolve_source
from ropewalk.result import Comparison, DemoResult, EvaluationResult
from ropewalk.run.demo import demo_run
from ropewalk.run.evaluation import weights_fingerprint

RESULTS = Path(__file__).resolve().parents[2] / "results"
LENGTHS = (256, 512, 1024, 2048)


@pytest.fixture(scope="module")
def demo():
    return DemoResult.model_validate_json((RESULTS / "demo" / "result.json").read_text())


@pytest.fixture(scope="module")
def inside():
    """The built-in model inside its trained window."""
    return EvaluationResult.model_validate_json((RESULTS / "builtin" / "result.json").read_text())


def change(name: str):
    comparison = Comparison.model_validate_json((RESULTS / "control" / f"{name}.json").read_text())
    return comparison.find("paired_nll_change", 256)


def test_the_results_are_of_the_model_that_travels_with_the_package(demo, inside):
    weights = weights_fingerprint(resolve_source("builtin"))
    assert demo.before.model.weights == weights
    assert inside.model.weights == weights


def test_the_results_are_of_the_recipe_that_travels_with_the_package(demo):
    run = demo_run()
    assert demo.extension.steps == run.train.steps
    assert demo.extension.tokens == run.train.steps * run.train.batch * run.target_length
    assert demo.extension.exact


def test_the_built_in_model_finds_keys_at_every_depth_of_its_window(inside):
    for measure in ("passkey_accuracy", "key_value_accuracy"):
        assert inside.find(measure, 256).value >= 0.97
        cells = [e for e in inside.estimates if e.measure == measure and e.depth is not None and e.length == 256]
        assert len(cells) >= 10
        assert min(cell.value for cell in cells) >= 0.95
        assert min(cell.samples for cell in cells) >= 30


def test_the_built_in_model_gains_from_context_up_to_its_window(inside):
    gain = inside.find("context_gain", 256, baseline=144)
    assert gain.low > 0.1


def test_the_built_in_model_is_trained_out():
    learned = change("control_against_untouched")
    assert learned.value > -0.01
    assert learned.low > -0.01


def test_the_untouched_model_breaks_beyond_its_window(demo):
    perplexity = {length: demo.before.find("perplexity", length).value for length in LENGTHS}
    assert perplexity[2048] >= 2 * perplexity[256]
    for length in (1024, 2048):
        assert demo.before.find("passkey_accuracy", length).value < 0.2
        assert demo.before.find("key_value_accuracy", length).value < 0.2


def test_the_extended_model_uses_the_new_window(demo):
    text = demo.after.find("context_gain", 2048, baseline=256)
    assert text.clusters >= 16
    assert text.samples >= 8 * 16
    assert text.value >= 0.07
    assert text.low > 0
    assert demo.after.find("context_gain", 2048, baseline=512).low > -0.01
    for measure in ("repeated_gain", "stream_gain"):
        assert demo.after.find(measure, 2048, baseline=1024).low > 0.05


def test_the_extended_model_finds_keys_at_every_length(demo):
    for measure in ("passkey_accuracy", "key_value_accuracy"):
        for length in LENGTHS:
            assert demo.after.find(measure, length).value >= 0.9


def test_inside_the_old_window_the_extension_costs_little():
    assert change("extended_against_untouched").value <= 0.02
    assert change("extended_against_control").value <= 0.02


def test_the_control_read_as_many_tokens_as_the_demo(demo):
    training = json.loads((RESULTS / "control" / "training.json").read_text())
    assert training["tokens"] == demo.extension.tokens
    assert training["model"]["target_length"] == 256
