"""Intervals, against hand-made numbers and against how often they cover a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ropewalk import statistics
from ropewalk.errors import MeasurementError
from ropewalk.statistics import (
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    clustered_proportion,
    proportion_difference,
    student_quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (10, 10, 0.7225, 1.0),  # evaluation reports: 10 of 10 proves no more than 72 %
        (16, 16, 0.8064, 1.0),
        (50, 50, 0.9287, 1.0),
        (0, 10, 0.0, 0.2775),
        (2, 10, 0.0567, 0.5098),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), Statistics in Medicine 17:857, table I
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_wilson_gives_published_numbers(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_solves_its_own_equation():
    """Its ends are the shares from which the observed one is exactly z standard errors away."""
    for end in wilson(7, 23):
        assert abs(7 / 23 - end) / math.sqrt(end * (1 - end) / 23) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(
    ("degrees", "table"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (7, 2.365), (15, 2.131), (20, 2.086)]
)
def test_student_quantile_agrees_with_the_table(degrees, table):
    assert student_quantile(0.95, degrees) == pytest.approx(table, rel=0.005)


def test_one_sample_per_cluster_is_plain_wilson():
    interval = clustered_proportion([1] * 27 + [0] * 3, list(range(30)))
    assert (interval.low, interval.high) == wilson(27, 30)
    assert (interval.value, interval.method, interval.samples, interval.clusters) == (0.9, "Wilson", 30, 30)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_all_alike_counts_each_context_once(share):
    interval = clustered_proportion([share] * 128, [i // 16 for i in range(128)])
    assert (interval.low, interval.high) == wilson(8 * share, 8)
    assert interval.method == "Wilson over 8 contexts"


def test_contexts_that_fail_as_a_whole_are_worth_one_sample_each():
    whole = clustered_proportion([1] * 96 + [0] * 32, [i // 16 for i in range(128)])
    scattered = clustered_proportion([int(i % 4 > 0) for i in range(128)], [i // 16 for i in range(128)])
    assert whole.value == scattered.value == 0.75
    t, z = student_quantile(0.95, 7), 1.959964
    trials = 8 * (z / t) ** 2
    assert (whole.low, whole.high) == pytest.approx(wilson(0.75 * trials, trials), abs=1e-6)
    trials = 128 * (z / t) ** 2
    assert (scattered.low, scattered.high) == pytest.approx(wilson(0.75 * trials, trials), abs=1e-6)


def test_the_mean_weighs_samples_and_not_clusters():
    interval = bootstrap_mean([1, 1, 1, 5], ["a", "a", "a", "b"], np.random.default_rng(0))
    assert interval.value == 2.0
    # Draws of two clusters: aa, ab, ba, bb, with means 1, 2, 2, 5.
    assert (interval.low, interval.high) == (1.0, 5.0)


def test_a_bootstrap_repeats_from_its_generator_and_does_not_depend_on_blocks(monkeypatch):
    values, clusters = np.arange(40.0) ** 2, [i // 4 for i in range(40)]
    first = bootstrap_mean(values, clusters, np.random.default_rng(3))
    assert first == bootstrap_mean(values, clusters, np.random.default_rng(3))
    monkeypatch.setattr(statistics, "TABLE_NUMBERS", 70)
    assert first == bootstrap_mean(values, clusters, np.random.default_rng(3))


def test_a_paired_difference_ignores_what_both_share():
    rng = np.random.default_rng(1)
    shared, gain = rng.normal(0, 100, size=60), rng.normal(0.5, 0.1, size=60)
    clusters = [i // 3 for i in range(60)]
    interval = bootstrap_difference(shared, shared + gain, clusters, np.random.default_rng(0))
    assert interval.value == pytest.approx(gain.mean())
    assert interval.high - interval.low < 0.1
    unpaired = bootstrap_mean(shared + rng.permutation(shared), clusters, np.random.default_rng(0))
    assert unpaired.high - unpaired.low > 10


def coverage(interval_of, *, share: float, likeness: float, rounds: int = 300) -> float:
    """How often intervals of 8 contexts x 16 questions hold the true share; a small number means very alike."""
    rng = np.random.default_rng(7)
    clusters = [i // 16 for i in range(128)]
    hits = 0
    for _ in range(rounds):
        shares = rng.beta(share * likeness, (1 - share) * likeness, size=8)
        interval = interval_of((rng.random((8, 16)) < shares[:, None]).ravel(), clusters, rng)
        hits += interval.low <= share <= interval.high
    return hits / rounds


@pytest.mark.parametrize(("share", "likeness"), [(0.5, 2.0), (0.8, 2.0), (0.8, 20.0), (0.95, 20.0), (0.95, 1e6)])
def test_the_clustered_interval_covers_the_truth(share, likeness):
    assert coverage(lambda v, c, rng: clustered_proportion(v, c), share=share, likeness=likeness) > 0.91


def test_the_coverage_check_catches_intervals_that_ignore_clusters():
    """Bite: questions of one context taken for independent."""

    def naive(values, clusters, rng) -> Interval:
        return clustered_proportion(values, list(range(len(values))))

    assert coverage(naive, share=0.8, likeness=2.0) < 0.75


def test_the_coverage_check_catches_the_percentile_bootstrap_of_few_contexts():
    """Bite, and the reason why proportions are not bootstrapped."""

    def percentile(values, clusters, rng) -> Interval:
        return bootstrap_mean(values, clusters, rng, draws=300)

    assert coverage(percentile, share=0.95, likeness=20.0) < 0.9


def test_the_bootstrap_of_twenty_documents_covers_the_truth():
    rng = np.random.default_rng(5)
    clusters, hits = [i // 8 for i in range(160)], 0
    for _ in range(300):
        values = rng.normal(1.0, 1.0, size=20).repeat(8) + rng.normal(0, 0.5, size=160)
        interval = bootstrap_mean(values, clusters, rng, draws=400)
        hits += interval.low <= 1.0 <= interval.high
    assert 0.9 < hits / 300 < 0.98


def test_a_difference_of_proportions_gives_newcombes_numbers():
    """Newcombe (1998), Statistics in Medicine 17:873, table II, method 10: 56/70 - 48/80 and 10/10 - 0/10."""
    for (a, n), (b, m), low, high in [((56, 70), (48, 80), 0.0524, 0.3339), ((10, 10), (0, 10), 0.6075, 1.0)]:
        before = clustered_proportion([1] * b + [0] * (m - b), list(range(m)))
        after = clustered_proportion([1] * a + [0] * (n - a), list(range(n)))
        difference = proportion_difference(before, after)
        assert difference.value == pytest.approx(a / n - b / m)
        assert (difference.low, difference.high) == pytest.approx((low, high), abs=5e-5)


def test_messages_say_what_must_hold():
    rng = np.random.default_rng(0)
    with pytest.raises(MeasurementError, match=r"at least one trial; got 0 of 0. Measure more samples"):
        wilson(0, 0)
    with pytest.raises(MeasurementError, match=r"got 1 samples and 2 names"):
        clustered_proportion([1], ["a", "b"])
    with pytest.raises(MeasurementError, match=r"finite samples; 1 of 2 are not. Count them as failed"):
        bootstrap_mean([1, math.nan], ["a", "b"], rng)
    with pytest.raises(MeasurementError, match=r"needs at least 2 of them.*got 1. Measure on more documents"):
        bootstrap_mean([1, 2], ["a", "a"], rng)
    with pytest.raises(MeasurementError, match=r"the same samples before and after; got 2 and 1"):
        bootstrap_difference([1, 2], [1], ["a", "b"], rng)
    with pytest.raises(MeasurementError, match=r"between 0 and 1; got 95. Use 0.95"):
        wilson(1, 2, level=95)
