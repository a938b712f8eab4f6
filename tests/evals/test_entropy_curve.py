"""A model's entropy curve: means over documents and heads, and the multipliers that keep it flat."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model
from oracles import attention_entropy as oracle
from transformers import LlamaConfig

from ropewalk import methods
from ropewalk.adapters import extend_model
from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals import entropy_curve, flat_entropy
from ropewalk.evals.entropy_curve import EntropyPlan, chosen_windows, entropy_curves
from ropewalk.evals.tasks import TextData
from ropewalk.result import ModelRecord

TRAINED, LENGTH = 48, 192
CONFIG = LlamaConfig(
    **{**SIZES, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 97},
)
RECORD = ModelRecord(name="tiny", method="untouched", trained_length=TRAINED, target_length=LENGTH)
PLAN = EntropyPlan(longest=LENGTH, documents=3, queries=4)


def text_data(documents: int = 5, length: int = LENGTH + 9) -> TextData:
    rng = np.random.default_rng(7)
    streams = {f"document {i}": rng.integers(1, 97, size=length) for i in range(documents)}
    return TextData(streams, ("short",), "0123456789abcdef-01234567")


def tiny_model(method: str | None = None):
    config = copy.deepcopy(CONFIG)
    config.max_position_embeddings = TRAINED
    model = build_model(config, spread=0.2)
    if method is not None:
        extend_model(model, method, LENGTH)
    return model


@pytest.fixture(scope="module")
def measured():
    return tiny_model(), entropy_curves(tiny_model(), text_data(), PLAN, RECORD)


def matrices(model, tokens) -> np.ndarray:
    """Whole attention matrices `[layers, heads, queries, keys]` of one document."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(torch.as_tensor(tokens)[None], use_cache=False, output_attentions=True)
    return torch.cat(output.attentions).double().numpy()


def test_a_stretch_is_the_mean_over_documents_heads_and_queries(measured):
    model, result = measured
    windows = chosen_windows(text_data(), PLAN)
    assert result.documents == tuple(windows)
    each = [oracle.entropy(matrices(model, tokens)).mean(axis=1) for tokens in windows.values()]
    for place, stretch in enumerate(flat_entropy.stretches(TRAINED, LENGTH, queries=4)):
        assert (result.first[place], result.last[place]) == (stretch.first, stretch.last)
        values = np.array([document[:, stretch.queries].mean(axis=1) for document in each])
        half = 4.3027 * values.std(axis=0, ddof=1) / math.sqrt(3)  # Student's t of 2 degrees
        for layer in range(3):
            found = result.layers[layer]
            assert found.entropy[place] == pytest.approx(values[:, layer].mean(), abs=1e-5)
            assert found.high[place] - found.low[place] == pytest.approx(2 * half[layer], abs=1e-4)


def test_the_largest_entropy_is_the_logarithm_of_the_keys_seen(measured):
    for place, stretch in enumerate(flat_entropy.stretches(TRAINED, LENGTH, queries=4)):
        wanted = np.mean([oracle.uniform(int(n) + 1) for n in stretch.queries])
        for layer in measured[1].layers:
            assert layer.largest[place] == pytest.approx(wanted, abs=1e-6)


def test_the_multiplier_is_where_plain_bisection_finds_it_on_whole_matrices(measured):
    model, result = measured
    each = [matrices(model, tokens) for tokens in chosen_windows(text_data(), PLAN).values()]
    places = flat_entropy.stretches(TRAINED, LENGTH, queries=4)
    reference = places[result.reference].queries
    for layer in range(3):
        target = np.mean([oracle.entropy(m[layer][:, reference]).mean() for m in each])
        for place in (result.reference + 1, len(places) - 1):

            def mean(multiplier, layer=layer, queries=places[place].queries):
                chosen = (oracle.sharpened(m[layer][:, queries], multiplier) for m in each)
                return np.mean([oracle.entropy(p).mean() for p in chosen])

            wanted = oracle.bisect(mean, target, 0.5, 4)
            assert result.layers[layer].flat_scale[place] == pytest.approx(wanted, rel=1e-4)
        assert result.layers[layer].flat_scale[: result.reference + 1] == (None,) * (result.reference + 1)


def test_the_slope_is_that_of_the_multipliers(measured):
    result = measured[1]
    places = flat_entropy.stretches(TRAINED, LENGTH, queries=4)
    ratios = np.array([s.log_ratio(TRAINED) for s in places])
    run = ratios[result.reference + 1 :] - ratios[result.reference]
    for layer in result.layers:
        rise = np.array(layer.flat_scale[result.reference + 1 :]) - 1
        assert layer.slope.value == pytest.approx(np.linalg.lstsq(run[:, None], rise, rcond=None)[0][0], abs=1e-6)
        assert layer.slope.low < layer.slope.value < layer.slope.high
        assert layer.slope.samples == 3
        assert str(layer.slope).endswith("n = 3 of 3")


def test_a_scale_that_keeps_entropy_flat_leaves_nothing_to_multiply():
    """The measured multipliers, put into the first layer as a position scale, are then measured as 1."""
    windows = chosen_windows(text_data(), PLAN)
    places = flat_entropy.stretches(TRAINED, LENGTH, queries=4)
    before = entropy_curves(tiny_model(), text_data(), PLAN, RECORD)
    model = tiny_model()
    extend_model(model, methods.get("entropy-abf")(base=10_000.0, exempt_layers=0), LENGTH)
    scale = next(m.ropewalk_position_scale for m in model.modules() if hasattr(m, "ropewalk_position_scale"))
    table = np.ones(LENGTH, dtype=np.float32)
    for place in range(before.reference + 1, len(places)):
        table[places[place].first - 1 : places[place].last] = before.layers[0].flat_scale[place]
    scale.apply = lambda query, position_ids, layer: (
        query if layer else query * torch.from_numpy(table)[position_ids][:, None, :, None]
    )
    after = entropy_curves(model, text_data(), PLAN, RECORD)
    assert after.documents == tuple(windows)
    flat = np.array(after.layers[0].flat_scale[after.reference + 1 :])
    np.testing.assert_allclose(flat, 1, atol=1e-4)
    assert abs(after.layers[0].slope.value) < 1e-3 < abs(before.layers[0].slope.value)


def test_entropy_abf_needs_its_own_scale_less_than_abf_does():
    abf, scaled = (entropy_curves(tiny_model(m), text_data(), PLAN, RECORD) for m in ("abf", "entropy-abf"))
    assert scaled.layers[0] == abf.layers[0], "an exempt layer"
    assert scaled.layers[2].entropy[-1] < abf.layers[2].entropy[-1]
    own = math.log(LENGTH) / math.log(TRAINED)
    assert scaled.layers[2].flat_scale[-1] * own == pytest.approx(abf.layers[2].flat_scale[-1], rel=0.03)


def test_the_same_seed_chooses_the_same_documents_and_another_seed_others():
    data = text_data(30)
    first = chosen_windows(data, PLAN)
    assert list(chosen_windows(data, PLAN)) == list(first)
    assert list(chosen_windows(data, EntropyPlan(longest=LENGTH, documents=3, seed=1))) != list(first)
    assert all(len(tokens) == LENGTH for tokens in first.values())
    assert len(chosen_windows(text_data(2), PLAN)) == 2


def test_the_curve_alone_is_measured_when_nothing_lies_beyond_the_window():
    plan = EntropyPlan(longest=TRAINED, documents=2, queries=2)
    result = entropy_curves(tiny_model(), text_data(), plan, RECORD)
    assert result.last[result.reference] == TRAINED == result.last[-1]
    assert all(layer.slope is None and set(layer.flat_scale) == {None} for layer in result.layers)


def test_every_forward_is_reported():
    heard = []
    entropy_curves(tiny_model(), text_data(), PLAN, RECORD, progress=lambda *step: heard.append(step))
    assert heard[-1] == (entropy_curve.STAGE, 15, 15)
    assert [done for _, done, _ in heard] == list(range(1, 16))


def poisoned(names):
    """Documents of which some hold a token whose embedding is not a number."""
    data = text_data(3)
    streams = {name: np.where(name in names, 96, np.minimum(tokens, 95)) for name, tokens in data.streams.items()}
    model = tiny_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[96] = float("nan")
    return model, TextData(streams, (), data.fingerprint)


def test_a_document_without_finite_entropies_is_counted_as_failed():
    model, data = poisoned(["document 1"])
    result = entropy_curves(model, data, PLAN, RECORD)
    assert result.failed == ("document 1",)
    assert result.documents == ("document 0", "document 2")
    assert result.status == "incomplete"
    rest = TextData({k: v for k, v in data.streams.items() if k != "document 1"}, (), data.fingerprint)
    assert result.layers == entropy_curves(model, rest, PLAN, RECORD).layers


def test_too_few_documents_with_finite_entropies_are_refused():
    model, data = poisoned(["document 0", "document 2"])
    with pytest.raises(MeasurementError, match="the logits of 2 of 3 are not finite"):
        entropy_curves(model, data, PLAN, RECORD)


def test_sizes_with_which_nothing_is_measured_are_refused():
    for sizes in ({"documents": 1}, {"queries": 0}):
        with pytest.raises(OptionError, match=r"at least 2 documents, because .* and 1 query"):
            EntropyPlan(longest=LENGTH, **sizes)
    with pytest.raises(OptionError, match=r"the trained length of 48 tokens.*got 47\. Give a longer length"):
        entropy_curves(tiny_model(), text_data(), EntropyPlan(longest=47), RECORD)
    with pytest.raises(DataError, match="at least 2 documents of 192 tokens; 1 of 2 texts is that long"):
        entropy_curves(tiny_model(), text_data(1), PLAN, RECORD)


def test_a_rope_that_depends_on_the_length_of_the_call_is_refused():
    with pytest.raises(MeasurementError, match=r"this model's does .* below 192 tokens"):
        entropy_curves(tiny_model("dynamic-ntk"), text_data(), PLAN, RECORD)
