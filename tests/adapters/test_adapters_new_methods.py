"""Methods that clip, stop, round or scale, on a model: what transformers computes is what the method says."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import TARGET, TRAINED, decoded_logits, logits, reference_logits, tiny_model, tokens

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.rope import Rope

ROPE = Rope(head_dim=16, base=10_000.0, trained_length=TRAINED)
POSITIONS = {
    "inside": np.arange(24),
    "target": np.concatenate([np.arange(12), np.arange(TARGET - 12, TARGET)]),
}
SETTINGS = [
    ("cope", {"clipped_pairs": 3}),
    ("cope", {"clipped_pairs": 3, "over": "yarn"}),
    ("hard-clip", {}),
    ("p-rope", {"kept_fraction": 0.5, "over": "linear"}),
    ("drope", {"logit_scale": 1.3}),
    ("giraffe", {}),
    ("giraffe", {"basis": "power", "power": 2.0}),
    ("resonance", {}),
    ("longrope2", {}),
    ("staircase", {"over": "ntk-by-parts"}),
    ("staircase", {"over": "yarn", "offset": 1}),
    ("ssmax", {"over": "abf"}),
]


def reference(model, method, ids, positions, frequencies=None):
    return reference_logits(
        model,
        ids,
        positions,
        method.frequencies(ROPE) if frequencies is None else frequencies,
        query_scale=lambda layer, at: method.attention_scale(ROPE, at.astype(int), layer),
    )


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=lambda value: str(value))
def test_an_extended_model_computes_the_method_inside_and_at_the_target(name, options):
    model, ids = tiny_model(num_hidden_layers=2), tokens(24)
    method = methods.get(name).for_target(ROPE, TARGET, options)
    report = extend_model(model, method, TARGET)
    assert report.exact == (not method.scale_varies)
    for positions in POSITIONS.values():
        wanted = reference(model, method, ids, positions)
        np.testing.assert_allclose(logits(model, ids, positions)[0], wanted, atol=1e-4)
        np.testing.assert_allclose(decoded_logits(model, ids, positions)[0], wanted, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), [("cope", {"clipped_pairs": 3}), ("resonance", {}), ("longrope2", {})])
def test_one_factor_off_by_a_hundredth_is_seen(name, options):
    model, ids = tiny_model(num_hidden_layers=2), tokens(24)
    method = methods.get(name).for_target(ROPE, TARGET, options)
    extend_model(model, method, TARGET)
    off = method.frequencies(ROPE) * np.where(np.arange(ROPE.pairs) == 1, 1.01, 1.0)
    wrong = reference(model, method, ids, POSITIONS["target"], off)
    assert np.abs(logits(model, ids, POSITIONS["target"])[0] - wrong).max() > 1e-3


def test_a_model_without_rotation_knows_no_positions():
    model, ids = tiny_model(num_hidden_layers=2), tokens(24)
    extend_model(model, "drope", TARGET)
    near, far = (logits(model, ids, positions) for positions in POSITIONS.values())
    np.testing.assert_allclose(near, far, atol=1e-5)
