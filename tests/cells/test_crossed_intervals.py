"""The interval over seeds and documents covers what it promises, also with three seeds."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.cells.intervals import crossed_interval, summed_interval, widening
from ropewalk.errors import MeasurementError
from ropewalk.statistics import Interval


def plain_draws(table, seed, draws):
    """The same bootstrap with loops, one draw at a time: seeds and documents by their counts, then the parts."""
    rng = np.random.default_rng(seed)
    seeds, documents = table.shape
    by_seed = rng.multinomial(seeds, [1 / seeds] * seeds, size=draws)
    by_document = rng.multinomial(documents, [1 / documents] * documents, size=draws)
    mean = sum(table[s][d] for s in range(seeds) for d in range(documents)) / table.size
    found = []
    for draw in range(draws):
        total = seed_part = document_part = 0.0
        for s in range(seeds):
            for d in range(documents):
                share = by_seed[draw][s] / seeds * by_document[draw][d] / documents
                total += share * table[s][d]
                seed_part += by_seed[draw][s] / seeds * table[s][d] / documents
                document_part += by_document[draw][d] / documents * table[s][d] / seeds
        seed_part, document_part = seed_part - mean, document_part - mean
        rest = total - mean - seed_part - document_part
        found.append(mean + widening(seeds) * seed_part + widening(documents) * document_part + rest)
    return found


def missed(rng, interval, *, seed_spread, document_spread, noise=0.1, seeds=3, documents=16, studies=600):
    """How often the lower end lies above a true effect of 0."""
    count = 0
    for _ in range(studies):
        table = seed_spread * rng.normal(size=(seeds, 1)) + document_spread * rng.normal(size=(1, documents))
        count += interval(table + noise * rng.normal(size=(seeds, documents)), rng).low > 0
    return count / studies


def unwidened(table, rng, draws=500) -> Interval:
    """What a plain bootstrap over seeds, then documents, makes of it."""
    seeds, documents = table.shape
    rows = rng.integers(0, seeds, size=(draws, seeds))
    columns = rng.integers(0, documents, size=(draws, documents))
    means = [table[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(table.mean()), float(low), float(high), 0.95, "", table.size, documents)


def quick(table, rng) -> Interval:
    return crossed_interval(table, rng, draws=500)


def test_it_is_the_bootstrap_that_is_described_draw_by_draw():
    table = np.random.default_rng(1).normal(size=(3, 5))
    found = crossed_interval(table, np.random.default_rng(7), draws=200)
    low, high = np.quantile(plain_draws(table, 7, 200), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.value == pytest.approx(table.mean())


@pytest.mark.parametrize(
    ("seeds", "seed_spread", "document_spread"),
    [(3, 1.0, 0.0), (3, 0.5, 1.0), (3, 0.0, 1.0), (1, 0.0, 1.0), (5, 1.0, 0.3)],
)
def test_an_effect_that_is_not_there_is_found_in_at_most_one_case_of_twenty(seeds, seed_spread, document_spread):
    rng = np.random.default_rng(seeds)
    rate = missed(rng, quick, seed_spread=seed_spread, document_spread=document_spread, seeds=seeds)
    assert rate <= 0.05


def test_the_check_catches_a_plain_bootstrap_of_three_seeds():
    rate = missed(np.random.default_rng(3), unwidened, seed_spread=1.0, document_spread=0.0, studies=300)
    assert rate > 0.08


def test_three_seeds_that_agree_are_no_wider_than_their_documents():
    documents = np.random.default_rng(0).normal(size=(1, 16))
    one = crossed_interval(documents, np.random.default_rng(1))
    three = crossed_interval(np.repeat(documents, 3, axis=0), np.random.default_rng(1))
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)


def test_a_single_seed_has_no_deviation_to_widen_and_the_method_says_what_was_drawn():
    table = np.random.default_rng(0).normal(size=(1, 6))
    found = crossed_interval(table, np.random.default_rng(0))
    assert widening(1) == 0.0
    assert found.method == "bootstrap over 6 documents, widened as Student's t"
    both = crossed_interval(np.repeat(table, 2, axis=0), np.random.default_rng(0), unit="contexts")
    assert both.method.startswith("bootstrap over 2 seeds and 6 contexts")


def test_the_widening_is_students_t_over_the_plain_bootstrap():
    # t(0.975; 2) = 4.3027 and t(0.975; 15) = 2.1314 from tables.
    assert widening(3) == pytest.approx((3 / 2) ** 0.5 * 4.3027 / 1.95996, rel=1e-3)
    assert widening(16) == pytest.approx((16 / 15) ** 0.5 * 2.1314 / 1.95996, rel=4e-3)


@pytest.mark.parametrize("table", [[[1.0]], [1.0, 2.0], [[1.0, float("nan")]], [[], []]])
def test_a_table_without_documents_or_with_gaps_is_refused(table):
    with pytest.raises(MeasurementError, match="an interval over seeds and documents needs a finite number"):
        crossed_interval(table, np.random.default_rng(0))


def test_a_sum_over_tables_draws_the_same_seeds_for_all_of_them():
    rng = np.random.default_rng(5)
    shift = rng.normal(size=(3, 1))
    tables = [shift + 0.01 * rng.normal(size=(3, count)) for count in (6, 9)]
    both = summed_interval(tables, np.random.default_rng(2), units=("documents", "contexts"))
    one, other = (crossed_interval(table, np.random.default_rng(2)) for table in tables)
    assert both.value == pytest.approx(one.value + other.value)
    width, apart = both.high - both.low, np.hypot(one.high - one.low, other.high - other.low)
    assert width == pytest.approx(one.high - one.low + other.high - other.low, rel=0.05)
    assert width > 1.2 * apart, "seeds drawn for each table apart would make the sum too sure of itself"
    assert both.method == "bootstrap over 3 seeds and 6 documents and 9 contexts, widened as Student's t"
