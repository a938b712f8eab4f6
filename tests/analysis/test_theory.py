"""Position Interpolation's bounds, recomputed; where the printed one and the paper's numerical claim fail."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import frequency_rules, interpolation_theory

from ropewalk.analysis import theory
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
PLAIN = frequency_rules.plain(128, 1e4)


@pytest.mark.parametrize("distance", [0, 1, 0.5, 17.25, 2047, 4095])
def test_scores_and_partial_sums_agree_with_the_oracle(distance):
    rng = np.random.default_rng(3)
    coefficients = rng.normal(size=64) + 1j * rng.normal(size=64)
    ours = theory.attention_score(coefficients, LLAMA.frequencies, np.array([distance]))[0]
    assert ours == pytest.approx(interpolation_theory.score(coefficients.tolist(), PLAIN, distance), abs=1e-9)
    sums = theory.partial_sums(LLAMA, np.array([float(distance)]))[0]
    assert sums == pytest.approx(interpolation_theory.partial_sums(PLAIN, distance), rel=1e-12)


def test_the_oracle_refuses_a_score_without_its_imaginary_part():
    coefficients = np.full(64, 1 + 1j)
    wrong = (np.cos(17.25 * LLAMA.frequencies) @ coefficients.real).sum()
    assert wrong != pytest.approx(interpolation_theory.score(coefficients.tolist(), PLAIN, 17.25), abs=1e-3)


@given(half=st.integers(4, 128), base=st.floats(50, 1e6))
def test_bounds_agree_with_their_closed_forms(half, base):
    rope = Rope(head_dim=2 * half, base=base, trained_length=4096)
    assert theory.interpolation_bound(rope) * 8 == pytest.approx(
        interpolation_theory.squared_frequencies(2 * half, base), rel=1e-9
    )
    assert theory.printed_interpolation_bound(rope) == pytest.approx(interpolation_theory.printed_bound(2 * half, base))


def test_golden_constants():
    assert 32 * math.log(1e4) == pytest.approx(294.7308919)
    assert theory.printed_interpolation_bound(LLAMA) == pytest.approx(128 / 294.7308919)
    assert 8 * theory.printed_interpolation_bound(LLAMA) == pytest.approx(3.47436, abs=5e-6)
    assert 8 * theory.interpolation_bound(LLAMA) == pytest.approx(3.998308, abs=5e-7)
    assert theory.interpolation_bound(LLAMA) == pytest.approx(0.49979, abs=5e-6)


def test_the_counter_example_breaks_the_printed_bound_and_keeps_the_corrected_one():
    coefficients = theory.counter_example(LLAMA)
    assert np.abs(coefficients) == pytest.approx(1.0)
    scores = theory.attention_score(coefficients, LLAMA.frequencies, np.array([0, 1, 0.5]))
    assert scores == pytest.approx([63.50612, 63.50612, 64.0], abs=5e-6)
    error = theory.interpolation_error(coefficients, LLAMA.frequencies, 0.5)
    assert error == pytest.approx(0.4938757, abs=5e-8)
    assert theory.printed_interpolation_bound(LLAMA) < error < theory.interpolation_bound(LLAMA)


@given(seed=st.integers(0, 2**32), distance=st.floats(0, 4095), half=st.integers(2, 64))
def test_no_error_exceeds_the_corrected_bound(seed, distance, half):
    rope = Rope(head_dim=2 * half, base=10_000.0, trained_length=4096)
    rng = np.random.default_rng(seed)
    coefficients = np.exp(2j * np.pi * rng.random(half))
    error = theory.interpolation_error(coefficients, rope.frequencies, distance)
    share = distance - math.floor(distance)
    assert error <= theory.interpolation_bound(rope) * 4 * share * (1 - share) + 1e-9


def test_partial_sums_over_the_plotted_range_are_those_recomputed():
    everywhere = theory.partial_sums(LLAMA, np.arange(4096, dtype=np.float64)) / 128
    assert everywhere[[0, 1, 2047, 4095]] == pytest.approx([16.25, 15.77, 1.8816, 2.5818], abs=5e-3)
    assert int(np.argmin(everywhere[1:])) + 1 == 3643
    assert everywhere[1:].min() == pytest.approx(1.115908, abs=5e-7)
    assert int(np.argmin(everywhere[1:2048])) + 1 == 1893
    assert everywhere[1:2048].min() == pytest.approx(1.4075, abs=5e-5)


@pytest.mark.parametrize(("head_dim", "least"), [(16, 0.32), (32, 0.38), (64, 0.63)])
def test_the_papers_numerical_claim_fails_for_small_heads(head_dim, least):
    rope = Rope(head_dim=head_dim, base=10_000.0, trained_length=4096)
    assert theory.partial_sums(rope, np.arange(1, 4096.0)).min() / head_dim == pytest.approx(least, abs=6e-3)


def test_the_papers_numerical_claim_fails_at_far_distances():
    far = theory.partial_sums(LLAMA, np.arange(2048, 16_384.0)) / 128
    assert (far < 1).sum() == 316
    assert far.min() == pytest.approx(0.696, abs=5e-4)
    assert int(np.argmin(far)) + 2048 == 16_343


def test_six_hundred_times_is_the_right_order_of_magnitude():
    distances = np.arange(1, 4096.0)
    assert theory.bound_ratio(LLAMA, distances) == pytest.approx(571.6, abs=0.05)
    printed = theory.extrapolation_bound(LLAMA, distances).min() / theory.printed_interpolation_bound(LLAMA)
    assert printed == pytest.approx(657.8, abs=0.05)


def test_a_score_fitted_inside_the_window_explodes_outside_and_not_between():
    """The paper's Fig. 2, as a shape: the fit is ill-conditioned, so its number depends on the arithmetic."""
    rng = np.random.default_rng(0)
    inside = np.arange(0, 2048.0)
    angles = np.multiply.outer(inside, LLAMA.frequencies)
    design = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
    fit = np.linalg.lstsq(design, rng.normal(size=2048), rcond=None)[0]
    coefficients = fit[:64] + 1j * fit[64:]
    between = theory.attention_score(coefficients, LLAMA.frequencies, inside[:-1] + 0.5)
    outside = theory.attention_score(coefficients, LLAMA.frequencies, np.arange(2048.0, 4096.0))
    assert np.abs(between).max() < 1.5
    assert np.abs(outside).max() > 100 * np.abs(between).max()


def test_no_distances_have_no_sums():
    assert theory.partial_sums(LLAMA, np.zeros(0)).shape == (0,)
