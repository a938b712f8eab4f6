"""Where facts stand, how many fit, and the words that they are made of."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.data import recall, words
from ropewalk.data.facts import Fact, largest, lined_up, part_of, scattered
from ropewalk.errors import OptionError


def fact(number: int, size: int = 5) -> Fact:
    tokens = np.full(size, 1000 + number, dtype=np.int64)
    return Fact(tokens, np.array([1]), np.array([2]), str(number))


FILLER = recall.GrassFiller(np.array([7], dtype=np.int64))


@given(
    parts=st.integers(1, 12),
    more=st.integers(0, 15),
    size=st.integers(1, 6),
    body=st.integers(0, 400),
    header=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_scattered_facts_lie_whole_in_their_part_and_the_size_is_exact(parts, more, size, body, header, seed):
    facts = [fact(number, size) for number in range(parts + more)]
    body += (size + 1) * parts * -(-len(facts) // parts)
    placed = scattered(
        facts,
        FILLER,
        np.random.default_rng(seed),
        header=np.zeros(header, dtype=np.int64),
        size=header + body,
        parts=parts,
    )
    assert len(placed.context) == header + body
    assert (placed.context[:header] == 0).all()
    for index, start in enumerate(placed.starts):
        assert (np.flatnonzero(placed.context == 1000 + index) == np.arange(start, start + size)).all()
        last = (start + size - 1 - header) / body
        assert part_of(placed.depth(index), parts) == part_of(last, parts) == index * parts // len(facts)
    assert sum(placed.context == 7) == body - size * len(facts)


def test_facts_that_do_not_fit_are_refused_with_the_size_that_would_do():
    facts = [fact(number) for number in range(4)]
    empty = np.zeros(0, dtype=np.int64)
    with pytest.raises(OptionError, match=r"4 facts of up to 5 tokens.*need about 24 tokens.*got 19.*fewer facts"):
        scattered(facts, FILLER, np.random.default_rng(0), header=empty, size=19, parts=4)
    scattered(facts, FILLER, np.random.default_rng(0), header=empty, size=24, parts=4)
    with pytest.raises(OptionError, match=r"from 1 to 4 parts; got 5"):
        scattered(facts, FILLER, np.random.default_rng(0), header=empty, size=100, parts=5)


@given(st.integers(1, 20).flatmap(lambda parts: st.tuples(st.just(parts), st.integers(0, parts - 1))))
def test_the_beginning_of_a_part_belongs_to_it(pair):
    parts, part = pair
    assert part_of(part / parts, parts) == part
    assert part_of((part + 0.999) / parts, parts) == part
    assert part_of(1.0, parts) == parts - 1


def test_lined_up_facts_measure_depth_over_the_body_alone():
    placed = lined_up([fact(0), fact(1)], header=np.zeros(90, dtype=np.int64), footer=np.zeros(3, dtype=np.int64))
    assert (placed.depth(0), placed.depth(1)) == (0.0, 0.5)
    (question,) = placed.ask([1]).questions
    assert question.position == 100
    assert question.chance == 0.5


@given(st.integers(-1, 5000))
def test_the_largest_number_that_fits_is_found(bound):
    assert largest(lambda number: number <= bound) == bound


def test_words_are_different_and_go_on_where_the_list_ends():
    drawn = words.word_list(np.random.default_rng(0), 3000)
    assert len(set(drawn)) == 3000
    assert set(drawn[: len(recall.WORDS)]) == set(recall.WORDS)
    assert all(re.fullmatch("[a-z]{8}", word) for word in drawn[len(recall.WORDS) :])
    assert words.word_list(np.random.default_rng(0), 5) == drawn[:5]


def test_pairs_of_words_end_with_an_error_and_never_repeat(monkeypatch):
    monkeypatch.setattr(words, "WORDS", ["a", "b", "c"])
    pairs = words.word_pairs(np.random.default_rng(0))
    assert sorted(itertools.islice(pairs, 9)) == [f"{a}-{b}" for a in "abc" for b in "abc"]
    with pytest.raises(ValueError, match="there are 9 different pairs of words"):
        next(pairs)


def test_uuids_have_version_4_and_coded_words_their_length():
    rng = np.random.default_rng(0)
    found = {words.random_uuid(rng) for _ in range(50)}
    assert len(found) == 50
    assert all(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", u) for u in found)
    coded = words.coded_words(rng, 20, 6)
    assert len(set(coded)) == 20
    assert all(re.fullmatch("[a-z]{6}", word) for word in coded)
