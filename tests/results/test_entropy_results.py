"""The committed entropy measurement says what docs/LOG.md says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ropewalk.report.entropy import result_fingerprint
from ropewalk.result import EntropyComparison

FOLDER = Path(__file__).parents[2] / "results" / "entropy"


@pytest.fixture(scope="module")
def results():
    comparison = EntropyComparison.model_validate_json((FOLDER / "result.json").read_text("utf-8"))
    return {result.model.method.split(",")[0]: result for result in comparison.results}


def test_all_three_models_were_measured_on_the_same_documents(results):
    assert list(results) == ["untouched", "abf", "entropy-abf"]
    assert len({(r.documents, r.data, r.model.weights) for r in results.values()}) == 1
    assert all(r.status == "complete" and len(r.documents) == 8 and r.length == 2048 for r in results.values())


def test_the_figure_was_made_from_the_result(results):
    with Image.open(FOLDER / "figure.png") as image:
        assert image.text["ropewalk:results"].split() == [result_fingerprint(r) for r in results.values()]


def test_entropy_grows_with_the_context_in_every_layer_of_the_untouched_model(results):
    untouched = results["untouched"]
    for layer in untouched.layers:
        assert layer.low[-1] > layer.high[untouched.reference]
        assert layer.slope.low > 1


def test_behind_the_first_two_layers_of_abf_entropy_abfs_slope_is_about_what_is_needed(results):
    slopes = [layer.slope for layer in results["abf"].layers]
    for slope in slopes[2:]:
        assert 0.4 < slope.low < slope.high < 1.6
    assert slopes[0].low > 3, "the first layer spreads whatever is done"
    assert slopes[1].high < 1, "the second hardly grows"


def test_entropy_abf_leaves_less_to_do_behind_its_exempt_layers(results):
    for layer in (2, 3):
        left = results["entropy-abf"].layers[layer].slope.value
        assert abs(left) < 0.5 * results["abf"].layers[layer].slope.value
    for layer in (0, 1):
        assert results["entropy-abf"].layers[layer] == results["abf"].layers[layer]
