"""One-sided bounds, against exact fractions, published numbers, and how often they miss a known truth."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import one_sided_bounds

from ropewalk.bounds import binomial_tails, clopper_pearson_lower, clopper_pearson_upper, upper_mean
from ropewalk.errors import MeasurementError
from ropewalk.statistics import bootstrap_mean, wilson

DAMAGE = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_t(3, size=shape),
    "few documents harmed": lambda rng, shape: rng.exponential(size=shape) - 1,
    "few documents helped": lambda rng, shape: 1 - rng.exponential(size=shape),
}


@pytest.mark.parametrize("trials", [1, 7, 50, 200])
@pytest.mark.parametrize("alpha", [0.05, 0.015])
def test_at_the_lower_bound_the_outcome_has_probability_alpha(trials, alpha):
    counts = sorted({1, trials // 2 or 1, trials - 1 or 1, trials})
    for count, bound in zip(counts, clopper_pearson_lower(counts, trials, alpha), strict=True):
        chance = one_sided_bounds.binomial_at_least(count, trials, Fraction(float(bound)))
        assert float(chance) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(10, 10, 0.7411, 1.0), (0, 10, 0.0, 0.2589), (5, 10, 0.2224, 0.7776), (49, 50, 0.9086, 0.9990)],
)
def test_bounds_give_the_numbers_of_the_tables(successes, trials, low, high):
    """One-sided 95 %: the two-sided 90 % limits of Clopper and Pearson; 10 of 10 is 0.05 to the power 1/10."""
    assert clopper_pearson_lower(successes, trials, 0.05) == pytest.approx(low, abs=5e-5)
    assert clopper_pearson_upper(successes, trials, 0.05) == pytest.approx(high, abs=5e-5)


def test_tails_are_those_of_exact_fractions():
    tails = binomial_tails(40, 0.8245)
    exact = [one_sided_bounds.binomial_at_least(k, 40, Fraction(8245, 10000)) for k in range(41)]
    assert tails == pytest.approx([float(p) for p in exact], rel=1e-10)


def test_a_wilson_bound_is_not_exact():
    """Bite: at a share near 1 the score interval promises more than it keeps."""
    missed = one_sided_bounds.binomial_at_least(50, 50, Fraction(wilson(50, 50, level=0.9)[0]))
    assert float(missed) > 0.06


def test_an_exact_bound_misses_in_at_most_five_percent_of_all_outcomes():
    for share in (0.5, 0.8245, 0.97):
        for trials in (20, 50, 100):
            counts = np.arange(trials + 1)
            chances = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in counts]
            assert np.sum(chances, where=clopper_pearson_lower(counts, trials, 0.05) > share) <= 0.05
            assert np.sum(chances, where=clopper_pearson_upper(counts, trials, 0.05) < share) <= 0.05


def test_without_skewness_the_bound_is_students():
    values, clusters = [1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 4.0, 5.0, 3.0, 3.0], list("abcdefghij")
    bound = upper_mean(values, clusters)
    assert bound.upper == pytest.approx(one_sided_bounds.cluster_t(values, clusters, 1.8331), rel=1e-4)
    assert (bound.value, bound.samples, bound.clusters) == (3.0, 10, 10)


def test_samples_of_one_document_count_once():
    values = np.random.default_rng(0).normal(size=12)
    mirrored = np.concatenate([values, -values])
    once = upper_mean(mirrored, list(range(24)))
    assert upper_mean(np.repeat(mirrored, 8), [i // 8 for i in range(192)]).upper == pytest.approx(once.upper)


@pytest.mark.parametrize("seed", range(4))
def test_skewness_towards_harm_widens_the_bound_and_towards_gain_leaves_students(seed):
    """Documents of different sizes; the transformation is inverted by bisection here, in closed form in the code."""
    clusters = [str(i % 9 if i < 30 else i % 3) for i in range(45)]
    by_document = np.random.default_rng(seed).normal(1, 0.3, size=9)
    by_document[4] = 4
    harm = by_document[[int(c) for c in clusters]]
    for values in (harm.tolist(), (-harm).tolist()):
        student = one_sided_bounds.cluster_t(values, clusters, 1.8595)
        hall = one_sided_bounds.cluster_hall(values, clusters, 1.8595)
        assert (hall > student) == (values[0] > 0)
        assert upper_mean(values, clusters).upper == pytest.approx(max(student, hall), rel=5e-4)


def test_equal_models_have_a_bound_of_exactly_zero():
    assert upper_mean([0.0] * 16, list(range(16))).upper == 0


def misses(bound, draw, clusters: int, models: int = 2000) -> float:
    """How often the bound of so many documents lies below the true mean, 0."""
    rng = np.random.default_rng((7, clusters))
    return float(np.mean([bound(values) < 0 for values in draw(rng, (models, clusters))]))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("documents", [21, 64])
def test_the_bound_of_a_mean_rarely_lies_below_the_truth(damage, documents):
    def bound(values):
        return upper_mean(values, list(range(documents))).upper

    assert misses(bound, DAMAGE[damage], documents) < 0.075


def test_the_check_catches_a_percentile_bootstrap_of_skewed_damage():
    """Bite, and the reason why this bound is not bootstrapped."""
    rng = np.random.default_rng(3)

    def bootstrapped(values):
        return bootstrap_mean(values, list(range(21)), rng, level=0.9, draws=300).high

    assert misses(bootstrapped, DAMAGE["few documents harmed"], 21, models=1000) > 0.085


def test_the_check_catches_windows_taken_for_documents():
    """Bite: eight windows of each document, counted as if each were a document."""

    def naive(values):
        return upper_mean(values.repeat(8), list(range(168))).upper

    assert misses(naive, DAMAGE["normal"], 21) > 0.2


def test_messages_say_what_must_hold():
    with pytest.raises(MeasurementError, match=r"got \[0.5\] of 10. Scores between 0 and 1 need the betting schedule"):
        clopper_pearson_lower(0.5, 10, 0.05)
    with pytest.raises(MeasurementError, match=r"from 0 to the number of trials; got \[11.0\] of 10"):
        clopper_pearson_upper(11, 10, 0.05)
    with pytest.raises(MeasurementError, match=r"between 0 and 0.5; got 0.95. Use 0.05"):
        clopper_pearson_lower(1, 10, 0.95)
    with pytest.raises(MeasurementError, match=r"at least 8 documents.*got 3. Measure on more documents"):
        upper_mean([1, 2, 3], list("abc"))
    with pytest.raises(MeasurementError, match=r"got 2 samples, of which 1 are finite, and 2 names"):
        upper_mean([1, math.nan], list("ab"))
