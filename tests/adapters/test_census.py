"""The census on a dozen diverse types, its second implementation bitten, and the committed census re-checked."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING

from ropewalk.adapters import extend_checkpoint, extend_model, save_model
from ropewalk.adapters.families import REFUSED, SUPPORTED, supported_family
from ropewalk.adapters.twin import random_model
from ropewalk.errors import ModelError, SelfTestError
from ropewalk.report.families import families_page

ROOT = Path(__file__).resolve().parents[2]
DIVERSE = (
    "gemma3_text",  # a setting for each layer type, norms of queries and keys
    "deepseek_v3",  # latent attention: a separate rotated part
    "gpt_oss",  # attention sinks
    "glm4",  # half of each head, interleaved
    "cohere2",  # layers without a rotary embedding
    "smollm3",  # the same, and no sliding layers
    "persimmon",  # its attention is not told positions
    "qwen3_next",  # linear attention between
    "gemma3",  # a language model inside a model of images
    "falcon",  # no attention interface
)


@pytest.fixture(scope="module")
def census():
    sys.path.insert(0, str(ROOT / "scripts"))
    import census  # a script, not a part of the package

    yield census
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture(scope="module")
def committed():
    return json.loads((ROOT / "results" / "census.json").read_text("utf-8"))


@pytest.mark.parametrize("model_type", DIVERSE)
def test_a_tiny_model_of_the_type_extends_as_the_census_says(census, committed, model_type):
    said = next(found for found in committed["types"] if found["model_type"] == model_type)
    found = census.verdict(census.measure(model_type))
    assert "refused" not in found
    assert found["facts"] == said["facts"] or transformers.__version__ != committed["transformers"]
    for name in census.METHODS:
        assert (name in found) == (name in said)
        if name in found:
            assert found[name]["error"] <= census.TOLERANCE
            assert found[name]["change"] > 1e-3


def test_the_committed_census_is_of_this_transformers_or_says_of_which(census, committed):
    types = {found["model_type"] for found in committed["types"]}
    page = families_page(committed)
    assert f"Measured with transformers {committed['transformers']}" in page
    if transformers.__version__ == committed["transformers"]:
        assert types <= set(census.causal_types())
        assert len(census.causal_types()) == committed["causal_types"]


def test_at_least_a_hundred_types_take_frequency_rules_and_ninety_a_scale(committed):
    works = [found for found in committed["types"] if "refused" not in found]
    assert len(works) >= 100
    assert sum("entropy-abf" in found for found in works) >= 90
    for found in works:
        for name in ("linear", "yarn", "entropy-abf"):
            assert found.get(name, {"error": 0.0})["error"] <= 1e-4
        assert ("entropy-abf" in found) != ("scale_refused" in found["facts"])


def test_the_table_of_the_package_is_the_census(committed):
    assert {found["model_type"] for found in committed["types"]} == set(SUPPORTED) | set(REFUSED)
    for found in committed["types"]:
        if "refused" in found:
            with pytest.raises(ModelError, match=f"got '{found['model_type']}': "):
                supported_family(found["model_type"])
        else:
            assert SUPPORTED[found["model_type"]].scale_refused == found["facts"].get("scale_refused")


def test_a_scale_is_refused_where_the_attention_would_ignore_it(census):
    import census_models

    with pytest.raises(ModelError, match=r"'entropy-abf' scales attention by position, .* in a 'falcon'"):
        extend_model(census_models.tiny_model("falcon"), "entropy-abf", 512)


def test_a_default_that_was_read_wrong_is_found_before_anything_is_written(census, tmp_path, monkeypatch):
    """A silent config is read by the table; transformers' own reading of it must be the same."""
    import census_models

    base = tmp_path / "base"
    save_model(census_models.tiny_model("llama", rope_parameters=None), None, base)
    raw = json.loads((base / "config.json").read_text())
    silent = {key: value for key, value in raw.items() if not key.startswith("rope_")}
    (base / "config.json").write_text(json.dumps(silent))
    extend_checkpoint(base, tmp_path / "right", "linear", 512)
    monkeypatch.setitem(SUPPORTED, "llama", dataclasses.replace(SUPPORTED["llama"], base=5_000.0))
    with pytest.raises(SelfTestError, match="the rotary table must hold the method's frequencies"):
        extend_checkpoint(base, tmp_path / "wrong", "linear", 512)
    assert not (tmp_path / "wrong").exists()


def test_a_family_without_a_small_model_says_so():
    with pytest.raises(ModelError, match=r"tested on a small model of the same family; .* one of 'mllama_text_model'"):
        random_model(CONFIG_MAPPING["mllama_text_model"](), 2)


def test_the_rotation_by_hand_bites(census):
    """Against frequencies that are 1 % off in one pair, and against a factor that is left out, the comparison fails."""
    import census_measure
    import census_models

    model = census_models.tiny_model("glm4")
    config = census_measure.loaded_config(model)
    method = census_measure.methods.get("yarn").for_target(config.rope, census_measure.TARGET)
    wanted = method.frequencies(config.rope)
    ids, places = census_measure._tokens(), census_measure.BEYOND

    class Wrong:
        scale_varies = False

        def frequencies(self, rope):
            return wanted * np.where(np.arange(len(wanted)) == 2, 1.01, 1.0)

    right = census_measure._by_hand(model, method, config, 1.2, ids, places)
    size = np.abs(right).max()
    for other, factor in ((Wrong(), 1.2), (method, 1.0)):
        difference = np.abs(census_measure._by_hand(model, other, config, factor, ids, places) - right).max()
        assert difference > 10 * census.TOLERANCE * size
    assert np.array_equal(census_measure._by_hand(model, method, config, 1.2, ids, places), right)


def test_a_scale_from_outside_reaches_exactly_the_layers_it_is_told(census):
    import census_measure
    import census_models
    from census_reference import scaled_from_outside

    model = census_models.tiny_model("llama")
    ids, places = census_measure._tokens(), census_measure.INSIDE
    plain = census_measure._logits(model, ids, places)
    for layers, changes in ((range(1), True), (range(0), False)):
        modules = census_measure.attention.attention_modules(model, layers)
        with scaled_from_outside(modules, lambda layer: torch.full((len(places),), 1.5, dtype=torch.float64)):
            assert (np.abs(census_measure._logits(model, ids, places) - plain).max() > 1e-3) == changes
