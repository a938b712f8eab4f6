"""The exams of Entropy-ABF's scale, against plain forwards of the built-in model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ropewalk.cells.texts import VALIDATION, texts
from ropewalk.errors import MeasurementError
from ropewalk.evals.tasks import encoder
from ropewalk.reproduce.attention_exams import (
    ALL_LAYERS,
    FIRST_LAYERS,
    LATER_LAYERS,
    SLOPES,
    EntropyExam,
    SlopeExam,
    entropy_measure,
    settings,
    slope_measure,
    stretch,
)
from ropewalk.result import quantity_of
from ropewalk.run.checkpoint import load_checkpoint

ENTROPY = EntropyExam("entropy", VALIDATION, positions=(64, 300), queries=4)
SLOPE = SlopeExam("slopes", VALIDATION, contexts=(272,), scored=16)


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("builtin")


@pytest.fixture(scope="module")
def entropies(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("entropy")
    ENTROPY.measure(checkpoint, folder, None)
    return ENTROPY.read(folder)[1]


@pytest.fixture(scope="module")
def slopes(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slopes")
    SLOPE.measure(checkpoint, folder, None)
    return SLOPE.read(folder)[1]


def plain_entropy(checkpoint, name: str, position: int) -> list[float]:
    """-sum p ln p of each layer from whole matrices, mean over heads and over the queries of the stretch."""
    tokens = encoder(checkpoint.tokenizer)(texts(VALIDATION).documents[name])[:300]
    checkpoint.model.set_attn_implementation("eager")
    with torch.no_grad():
        matrices = checkpoint.model(torch.as_tensor(tokens[None]), use_cache=False, output_attentions=True).attentions
    checkpoint.model.set_attn_implementation("sdpa")
    first = position / 2 ** (1 / 4)
    queries = [round(x) for x in np.linspace(round(first), position - 1, 4)]
    found = []
    for matrix in matrices:
        rows = matrix[0, :, queries].double()
        found.append(float(-(rows * rows.clamp(min=1e-300).log()).sum(-1).mean()))
    return found


@pytest.mark.parametrize("position", [64, 300])
def test_a_sample_is_the_mean_entropy_of_whole_attention_matrices(checkpoint, entropies, position):
    name = sorted(texts(VALIDATION).documents)[0]
    wanted = plain_entropy(checkpoint, name, position)
    got = {s.measure: s.value for s in entropies if (s.cluster, s.length) == (name, position)}
    assert [got[entropy_measure(layer)] for layer in range(4)] == pytest.approx(wanted, abs=1e-4)
    assert got[FIRST_LAYERS] == pytest.approx((wanted[0] + wanted[1]) / 2, abs=1e-4)
    assert got[LATER_LAYERS] == pytest.approx((wanted[2] + wanted[3]) / 2, abs=1e-4)
    assert abs(got[FIRST_LAYERS] - got[LATER_LAYERS]) > 0.05, "layers that were taken for others would be seen"


def test_every_document_has_each_measure_at_each_position_and_no_more_than_ln_n(entropies):
    assert len(entropies) == 5 * 2 * 6
    assert len({(s.cluster, s.length, s.measure) for s in entropies}) == len(entropies)
    assert all(0 < s.value < math.log(s.length) for s in entropies)
    assert {quantity_of(s.measure).unit for s in entropies} == {"nats"}


def test_a_stretch_is_the_quarter_octave_that_ends_with_its_name():
    assert stretch(256, 3).tolist() == [215, 235, 255]


def test_every_slope_of_every_layer_makes_a_difference_beyond_the_trained_window(slopes):
    assert len(slopes) == 5 * 5 * (len(SLOPES) - 1)
    assert all(s.value != 0 for s in slopes)


def test_differences_are_those_of_the_same_tokens_and_are_shown_as_such(slopes):
    windows = {s.sample for s in slopes}
    for layer in (*range(4), ALL_LAYERS):
        for slope in SLOPES[1:]:
            measure = slope_measure(layer, slope)
            assert {s.sample for s in slopes if s.measure == measure} == windows
            assert quantity_of(measure).kind == "difference"
    mean = {
        m: np.mean([s.value for s in slopes if (s.measure, s.length) == (m, 272)]) for m in {s.measure for s in slopes}
    }
    assert abs(mean[slope_measure(ALL_LAYERS, 2.0)]) > abs(mean[slope_measure(ALL_LAYERS, 0.5)])


def test_every_setting_is_measured_once_and_one_layer_differs_from_what_the_model_has():
    own = (0.0, 0.0, 1.0, 1.0)
    found = settings(own)
    assert len(found) == len(set(found.values())) == 4 * (len(SLOPES) - 1) + 1 + len(SLOPES)
    single = [s for s in found.values() if sum(a != b for a, b in zip(s, own, strict=True)) == 1]
    assert len(single) == 4 * (len(SLOPES) - 1)
    assert {(slope,) * 4 for slope in SLOPES} <= set(found.values())


def test_conditions_hold_every_size_and_the_texts():
    conditions = SLOPE.conditions()
    assert (conditions["exam"], conditions["contexts"], conditions["scored"]) == ("SlopeExam", [272], 16)
    assert conditions["texts"] == texts(VALIDATION).fingerprint


def test_a_spoilt_record_is_refused(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    assert SLOPE.is_measured(tmp_path)
    with pytest.raises(MeasurementError, match=r"a finished exam must hold result\.json as this version"):
        SLOPE.read(tmp_path)
