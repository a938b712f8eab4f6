"""Others' scaled configs are read as our methods: transformers' numbers where it reads them, the paper's where not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TARGET, TRAINED, logits, reference_logits, tiny_model, tokens
from transformers import CONFIG_MAPPING
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from ropewalk.adapters import load_model, read_model_config
from ropewalk.adapters.config import parse_config
from ropewalk.adapters.doctor.repair import write_repaired
from ropewalk.adapters.export import read_subject
from ropewalk.adapters.foreign import adopted, read_foreign, target_length_of
from ropewalk.adapters.record import recorded_method
from ropewalk.errors import ModelError
from ropewalk.run.checkpoint import method_of

BASE = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_attention_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 32032,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
}
ORIGINAL = {"original_max_position_embeddings": 4096}
FACTORS = [1.0 + 0.1 * pair for pair in range(64)]
SCALINGS = {
    "linear": {"type": "linear", "factor": 8.0},
    "dynamic": {"type": "dynamic", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 16.0, **ORIGINAL},
    "yarn of odd ramp": {
        "type": "yarn", "factor": 8.0, "beta_fast": 16, "beta_slow": 2, "truncate": False, "attention_factor": 1.1,
        **ORIGINAL,
    },
    "mscale": {"type": "yarn", "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 0.5, **ORIGINAL},
    "longrope": {"type": "longrope", "short_factor": [1.0] * 64, "long_factor": FACTORS, "factor": 32.0, **ORIGINAL},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **ORIGINAL},
}  # fmt: skip


def config_of(scaling, **changes):
    return parse_config({**BASE, "rope_scaling": scaling, **changes}, Path("model"))


@pytest.mark.parametrize("name", SCALINGS)
def test_a_reading_has_the_numbers_of_transformers(name):
    scaling = SCALINGS[name]
    foreign = read_foreign(config_of(scaling))
    length = 32768
    kind = scaling.get("rope_type") or scaling["type"]
    theirs = CONFIG_MAPPING["llama"](
        **{k: v for k, v in BASE.items() if k not in ("model_type", "rope_theta")},
        rope_parameters={**{k: v for k, v in scaling.items() if k != "type"}, "rope_type": kind, "rope_theta": 1e4},
    )
    table, factor = ROPE_INIT_FUNCTIONS[kind](theirs, seq_len=length)
    method = foreign.method.at(length)
    np.testing.assert_allclose(method.frequencies(foreign.rope), table.double().numpy(), rtol=2e-6)
    scale = method.attention_scale(foreign.rope, np.array([length]), 0)[0]
    assert scale == pytest.approx(factor**2, rel=1e-9)


def test_the_window_left_at_the_old_value_is_read_as_the_trained_one():
    assert target_length_of(config_of(SCALINGS["yarn"])) == 65536
    assert target_length_of(config_of(SCALINGS["yarn"], max_position_embeddings=65536)) == 65536
    assert target_length_of(config_of({"type": "eabf", "factor": 4.0})) == 16384
    assert target_length_of(config_of(None)) == 4096


def test_deepseeks_scale_on_whole_queries_is_counted_once():
    scaling = {"type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0, **ORIGINAL}
    latent = {"model_type": "deepseek_v3", "kv_lora_rank": 8, "qk_rope_head_dim": 64, "qk_nope_head_dim": 64}
    foreign = read_foreign(config_of(scaling, **latent))
    # By hand: the ratio of equal factors is 1, the softmax scale is multiplied by (0.1 ln 40 + 1)^2.
    scale = foreign.method.attention_scale(foreign.rope, np.array([0]), 0)[0]
    assert scale == pytest.approx((0.1 * math.log(40) + 1) ** 2)
    assert "mscale_all_dim" in foreign.notes[0]


@pytest.mark.parametrize(
    ("scaling", "why"),
    [
        ({"type": "magic", "factor": 2.0}, "no method here computes rope type 'magic'"),
        ({"type": "yarn", "factor": 0.5, **ORIGINAL}, "its yarn setting cannot be read as a method"),
        ({"type": "llama3", "factor": 2.0, **ORIGINAL}, "its llama3 setting cannot be read as a method"),
        ({**SCALINGS["longrope"], "long_factor": [1.0]}, "its longrope setting cannot be read as a method"),
    ],
)
def test_a_setting_that_no_method_computes_says_why(scaling, why):
    foreign = read_foreign(config_of(scaling))
    assert foreign.method is None
    assert why in foreign.notes[0]


def test_two_sets_of_factors_are_described_beyond_the_window():
    assert "takes short_factor" in read_foreign(config_of(SCALINGS["longrope"])).notes[0]
    same = {**SCALINGS["longrope"], "short_factor": FACTORS}
    assert read_foreign(config_of(same)).notes == ()


def test_an_unscaled_config_has_no_foreign_reading():
    assert read_foreign(config_of(None)) is None
    assert adopted(config := config_of(None)) is config


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A folder as Entropy-ABF's authors published: transformers 4's spelling, window and base left as they were."""
    place = tmp_path_factory.mktemp("eabf") / "release"
    tiny_model().save_pretrained(place)
    raw = json.loads((place / "config.json").read_text())
    raw = {key: value for key, value in raw.items() if key != "rope_parameters"}
    raw |= {"rope_scaling": {"type": "eabf", "factor": 8.0}, "rope_theta": 10000.0}
    (place / "config.json").write_text(json.dumps(raw))
    return place


def by_hand(exempt):
    def scale(layer, positions):
        row = np.array([max(1.0, math.log(p + 1) / math.log(TRAINED)) for p in positions])
        return np.ones_like(row) if layer < exempt else row

    return scale


@pytest.mark.parametrize("exempt", [2, 0])
def test_a_release_of_entropy_abf_computes_the_equation_in_both_readings(released, exempt):
    model = load_model(released, exempt_layers=exempt)
    ids = tokens(3 * TRAINED)
    ours = logits(model, ids)[0]
    frequencies = 500_000.0 ** (-np.arange(8) * 2 / 16)
    right = reference_logits(model, ids, np.arange(3 * TRAINED), frequencies, query_scale=by_hand(exempt))
    assert np.abs(ours - right).max() < 1e-3
    wrong = reference_logits(model, ids, np.arange(3 * TRAINED), frequencies, query_scale=by_hand(2 - exempt))
    assert np.abs(ours - wrong).max() > 1e-2
    old_base = reference_logits(model, ids, np.arange(3 * TRAINED), 1e4 ** (-np.arange(8) * 2 / 16))
    assert np.abs(ours - old_base).max() > 1e-2


def test_a_repaired_release_says_its_reading_and_loads_as_ours(released, tmp_path):
    write_repaired(read_model_config(released), tmp_path / "ours", told={"exempt_layers": 0})
    config = read_model_config(tmp_path / "ours")
    assert recorded_method(config).exempt_layers == 0
    assert config.extension["target_length"] == config.declared_length == TARGET
    ids = tokens(2 * TRAINED)
    with torch.no_grad():
        assert (
            np.abs(
                logits(load_model(tmp_path / "ours"), ids) - logits(load_model(released, exempt_layers=0), ids)
            ).max()
            == 0
        )


def test_an_export_of_a_release_asks_which_reading_is_meant(released, tmp_path):
    with pytest.raises(ModelError, match="an export must know which layers are scaled"):
        read_subject(released)
    write_repaired(read_model_config(released), tmp_path / "ours", told={"exempt_layers": 2})
    assert read_subject(tmp_path / "ours").method.exempt_layers == 2


def test_a_release_can_be_evaluated_and_is_called_by_its_method(released):
    config = adopted(read_model_config(released))
    assert method_of(config) == "entropy-abf, base 500000 (was 10000), exempt layers 2"
    assert method_of(config_of(SCALINGS["yarn"])) == "yarn, factor 16, as its config declares"
    assert method_of(config_of({"type": "magic", "factor": 2.0})) == "magic, as its config declares"
    assert method_of(config_of(None)) == "untouched"
