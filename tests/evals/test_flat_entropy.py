"""The multipliers that keep entropy flat, against plain bisection on known distributions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from oracles import attention_entropy as oracle

from ropewalk.errors import MeasurementError
from ropewalk.evals import flat_entropy

DOCUMENTS, LAYERS, STRETCHES, KEYS = 3, 2, 4, 40


@pytest.fixture(scope="module")
def probabilities() -> np.ndarray:
    logits = np.random.default_rng(1).normal(0, 2, size=(DOCUMENTS, LAYERS, STRETCHES, KEYS))
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def measured(probabilities):
    """What `flat_scales` asks for, made of given distributions."""

    def measure(multipliers):
        points = [
            oracle.entropy(sharpened)
            for sharpened in (
                np.stack(
                    [
                        [
                            [oracle.sharpened(p[layer, s], multipliers[layer, s, k]) for s in range(p.shape[1])]
                            for layer in range(p.shape[0])
                        ]
                        for p in probabilities
                    ]
                )
                for k in range(multipliers.shape[-1])
            )
        ]
        return np.stack(points, axis=-1)

    return measure


def test_the_multiplier_is_where_plain_bisection_finds_it(probabilities):
    reference = np.random.default_rng(2).uniform(1.0, 2.0, size=(DOCUMENTS, LAYERS))
    scales, pseudo = flat_entropy.flat_scales(measured(probabilities), reference, STRETCHES)
    for layer, stretch in np.ndindex(LAYERS, STRETCHES):

        def mean(multiplier, layer=layer, stretch=stretch):
            return oracle.entropy(oracle.sharpened(probabilities[:, layer, stretch], multiplier)).mean()

        wanted = oracle.bisect(mean, reference[:, layer].mean(), 0.1, 10)
        assert scales[layer, stretch] == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(pseudo.mean(axis=0), scales, rtol=1e-9)


def test_a_documents_pseudo_value_is_its_linear_effect(probabilities):
    """Compared with leaving it out: scale_without - scale = -(pseudo - scale) / (n - 1), to first order."""
    many = np.concatenate([probabilities] * 12)
    reference = np.full((len(many), LAYERS), 1.5)
    scales, pseudo = flat_entropy.flat_scales(measured(many), reference, STRETCHES)
    without, _ = flat_entropy.flat_scales(measured(many[1:]), reference[1:], STRETCHES)
    np.testing.assert_allclose(scales - without, (pseudo[0] - scales) / (len(many) - 1), rtol=0.1, atol=1e-4)


def test_a_multiplier_of_one_is_found_where_entropy_is_flat_already(probabilities):
    reference = oracle.entropy(probabilities)[:, :, 0]
    scales, _ = flat_entropy.flat_scales(measured(probabilities), reference, STRETCHES)
    np.testing.assert_allclose(scales[:, 0], 1, atol=1e-5)


def test_more_keys_need_larger_logits():
    """Of normal logits the entropy is about ln n - (multiplier^2) variance / 2."""
    logits = np.random.default_rng(3).normal(0, 1, size=(2, 1, 1, 64))
    logits = np.concatenate([logits] * 8, axis=-1)
    more = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    few = more[..., :64] * 8
    scales, _ = flat_entropy.flat_scales(measured(more), oracle.entropy(few)[:, :, 0], 1)
    assert scales[0, 0] > 1.5


def test_what_no_multiplier_reaches_is_missing_and_not_a_number(probabilities):
    reference = np.full((DOCUMENTS, LAYERS), 1.5)
    reference[:, 1] = math.log(KEYS) + 0.1  # more than evenly spread attention has
    scales, pseudo = flat_entropy.flat_scales(measured(probabilities), reference, STRETCHES)
    assert np.isfinite(scales[0]).all()
    assert np.isnan(scales[1]).all()
    assert np.isnan(pseudo[:, 1]).all()


def test_attention_that_no_multiplier_changes_is_missing():
    even = np.full((2, 1, 1, KEYS), 1 / KEYS)
    scales, _ = flat_entropy.flat_scales(measured(even), np.full((2, 1), 1.0), 1)
    assert np.isnan(scales).all()


def test_of_several_crossings_the_nearest_to_one_is_taken():
    def wavy(multipliers):
        return np.cos(2 * np.log(multipliers) + 0.6)[None].repeat(2, axis=0)

    scales, _ = flat_entropy.flat_scales(wavy, np.zeros((2, 1)), 1)
    assert scales[0, 0] == pytest.approx(math.exp((math.pi / 2 - 0.6) / 2), rel=1e-5)


def test_the_slope_of_entropy_abf_is_one():
    positions = np.array([300.0, 600.0, 1200.0, 2048.0])
    ratios = np.log(positions) / math.log(256)
    assert flat_entropy.flat_slope(ratios, 1.0, np.maximum(ratios, 1)) == pytest.approx(1)
    assert flat_entropy.flat_slope(ratios, 1.0, np.ones(4)) == 0
    assert flat_entropy.flat_slope(ratios, 1.0, 1 + 2.5 * (ratios - 1)) == pytest.approx(2.5)
    noisy = 1 + (ratios - 1) + np.random.default_rng(0).normal(0, 0.1, size=4)
    wanted = np.linalg.lstsq((ratios - 1)[:, None], noisy - 1, rcond=None)[0][0]
    assert flat_entropy.flat_slope(ratios, 1.0, noisy) == pytest.approx(wanted)
    assert np.isnan(flat_entropy.flat_slope(ratios, 1.0, np.array([1, np.nan, 1, 1])))


@pytest.mark.parametrize(("trained", "longest"), [(256, 2048), (4096, 10_000), (256, 256), (48, 160), (2, 64)])
def test_stretches_follow_each_other_and_end_at_the_trained_and_the_longest_length(trained, longest):
    found = flat_entropy.stretches(trained, longest, queries=5)
    assert trained in [s.last for s in found]
    assert found[-1].last == longest
    for before, after in pairwise(found):
        assert after.first == before.last + 1
    for stretch in found:
        assert (np.diff(stretch.queries) >= 1).all()
        assert 1 <= len(stretch.queries) <= 5
        assert stretch.first - 1 <= stretch.queries[0] <= stretch.queries[-1] == stretch.last - 1
        assert stretch.last / stretch.first < 2 ** (1 / 4) + 2 / stretch.first


def test_the_place_of_a_stretch_is_the_mean_of_its_logarithms():
    stretch = flat_entropy.Stretch(300, 302, np.array([299, 300, 301]))
    wanted = sum(math.log(n) for n in (300, 301, 302)) / 3 / math.log(256)
    assert stretch.log_ratio(256) == pytest.approx(wanted)


def test_the_mean_over_documents_has_students_interval():
    mean, low, high = flat_entropy.mean_over_documents(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert mean == 3
    half = 2.7764 * math.sqrt(2.5 / 5)  # t of 4 degrees
    assert (high - mean, mean - low) == pytest.approx((half, half), rel=5e-3)


def test_one_document_has_no_interval():
    with pytest.raises(MeasurementError, match="at least 2 of them; got 1"):
        flat_entropy.mean_over_documents(np.ones((1, 3)))
