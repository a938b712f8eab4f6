"""Verdicts follow the rule, in the claimed direction, and rarely say "holds" of what is not there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from studies import A, B, claim, losses, two_cells

from ropewalk.cells.readings import Reading, cell_reading, table_of
from ropewalk.errors import MeasurementError
from ropewalk.reproduce.claims import contradictions, decide, judge, minus

CLAIM = claim("a above b", minus(A, B))


@pytest.mark.parametrize(
    ("low", "high", "seeds", "state"),
    [
        (0.02, 0.9, 3, "holds"),
        (0.019, 0.9, 3, "undecided"),
        (-0.9, 0.0199, 3, "does not hold"),
        (-0.9, 0.02, 3, "undecided"),
        (-0.9, -0.5, 3, "does not hold"),
        (0.039, 0.9, 1, "undecided"),
        (0.04, 0.9, 1, "holds"),
        (-0.9, -0.001, 1, "does not hold"),
        (-0.9, 0.001, 1, "undecided"),
        (0.02, 0.9, 0, "holds"),
    ],
)
def test_the_rule(low, high, seeds, state):
    assert decide(low, high, 0.02, allowance=0.02 if seeds == 1 else 0.0) == state


def test_a_loss_of_at_most_so_much_is_a_smallest_effect_below_zero():
    assert decide(-0.019, 0.1, -0.02) == "holds"
    assert decide(-0.5, -0.021, -0.02) == "does not hold"
    assert decide(-0.01, 0.1, -0.02, allowance=0.02) == "undecided"  # one seed must leave room for others


def states(effect, *, seed_spread, studies=300, **sizes):
    rng = np.random.default_rng(17)
    verdicts = [judge(CLAIM, two_cells(rng, effect=effect, seed_spread=seed_spread, **sizes)) for _ in range(studies)]
    return [verdict.state for verdict in verdicts]


@pytest.mark.parametrize("seed_spread", [0.0, 0.01, 0.05])
def test_an_effect_just_too_small_is_said_to_hold_at_most_once_in_twenty(seed_spread):
    found = states(0.02, seed_spread=seed_spread, studies=150)
    assert found.count("holds") / len(found) <= 0.05


def test_an_effect_of_three_times_the_smallest_is_found_and_its_reverse_refused():
    assert states(0.06, seed_spread=0.002, studies=20).count("holds") >= 19
    assert states(-0.06, seed_spread=0.002, studies=20).count("does not hold") == 20


def test_the_check_would_catch_a_rule_that_looks_at_the_value_alone():
    rng = np.random.default_rng(5)
    found = [judge(CLAIM, two_cells(rng, effect=0.02, seed_spread=0.05)) for _ in range(100)]
    careless = [verdict.effect is not None and verdict.effect.value >= 0.02 for verdict in found]
    assert sum(careless) > 30


def test_the_effect_is_the_mean_difference_over_seeds_and_documents():
    samples = {
        "a": {0: {"text": losses([4.0, 2.0])}, 1: {"text": losses([5.0, 3.0])}},
        "b": {0: {"text": losses([1.0, 1.0])}, 1: {"text": losses([1.0, 2.0])}},
    }
    effect = judge(CLAIM, samples).effect
    assert effect.table == ((3.0, 1.0), (4.0, 1.0))
    assert effect.value == pytest.approx((3 + 1 + 4 + 1) / 4)
    assert (effect.seeds, effect.documents) == ((0, 1), ("d0", "d1"))


def test_a_document_counts_once_however_many_windows_it_has():
    many = losses([1.0], windows=9) + [s.model_copy(update={"cluster": "e"}) for s in losses([3.0])]
    samples = {"a": {0: {"text": many}}}
    assert table_of([(1.0, A)], samples).values.tolist() == [[1.0, 3.0]]


def test_an_untouched_model_stands_beside_every_seed():
    samples = {
        "a": {None: {"text": losses([4.0, 4.0, 5.0])}},
        "b": {seed: {"text": losses([1.0, 2.0, float(seed)])} for seed in range(3)},
    }
    assert judge(CLAIM, samples).effect.table == ((3.0, 2.0, 5.0), (3.0, 2.0, 4.0), (3.0, 2.0, 3.0))


def test_only_seeds_that_every_cell_has_are_compared():
    samples = two_cells(np.random.default_rng(0), effect=1.0)
    del samples["b"][1]
    assert judge(CLAIM, samples).effect.seeds == (0, 2)


def test_a_document_with_a_failed_sample_is_left_out_of_all_and_counted():
    samples = {"a": {0: {"text": losses([4.0, None, 5.0, 6.0])}}, "b": {0: {"text": losses([1.0, 1.0, 1.0, None])}}}
    effect = judge(CLAIM, samples).effect
    assert (effect.table, effect.failed, effect.documents) == (((3.0, 4.0),), 2, ("d0", "d2"))


def test_cells_that_read_different_documents_are_refused():
    samples = {"a": {0: {"text": losses([4.0, 2.0])}}, "b": {0: {"text": losses([1.0, 1.0, 1.0])}}}
    with pytest.raises(MeasurementError, match=r"a at 256 \(text\) and b .* were measured on different ones"):
        judge(CLAIM, samples)


def test_a_missing_cell_leaves_the_claim_open_and_is_named():
    verdict = judge(CLAIM, {"a": {0: {"text": losses([4.0, 2.0])}}})
    assert (verdict.state, verdict.because, verdict.effect) == ("not measured", "no cell b", None)


def test_a_claim_about_large_models_gets_its_number_but_no_verdict():
    samples = two_cells(np.random.default_rng(0), effect=1.0)
    verdict = judge(dataclasses.replace(CLAIM, mechanism_only="the model is small"), samples)
    assert (verdict.state, verdict.because) == ("cannot be judged at this scale", "the model is small")
    assert verdict.effect.value == pytest.approx(1.0, abs=0.05)


def recall(share, depths, contexts=16):
    """Answers of contexts: right in the first `share` of them."""
    right = [float(number < share * contexts) for number in range(contexts)]
    return [s for depth in depths for s in losses(right, measure="key_value", depth=depth)]


def test_only_facts_at_the_depths_that_are_asked_for_count():
    samples = {"a": {0: {"text": recall(1.0, [0.4, 0.6]) + recall(0.0, [0.9])}}}
    reading = Reading("a", "text", "key_value", 256, (1 / 3, 2 / 3))
    assert table_of([(1.0, reading)], samples).values.tolist() == [[1.0] * 16]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_two_cells_at_the_same_floor_or_ceiling_are_not_said_to_be_equal(share):
    samples = {name: {0: {"text": recall(share, [0.5])}} for name in "ab"}
    first, second = (Reading(name, "text", "key_value", 256) for name in "ab")
    verdict = judge(claim("recall", minus(first, second), smallest_effect=0.05), samples)
    assert verdict.state == "undecided"
    assert verdict.effect.low < -0.15
    assert verdict.effect.high > 0.15
    assert verdict.effect.interval == "Newcombe, because no answer differs"


@pytest.mark.parametrize(
    ("first", "second", "edge"),
    [(0.0, 0.04, "floor"), (1.0, 0.96, "ceiling"), (0.0, 0.08, ""), (1.0, 0.0, ""), (0.92, 1.0, "")],
)
def test_a_verdict_says_that_all_sides_lie_at_the_floor_or_the_ceiling_and_stays_as_it_is(first, second, edge):
    samples = {name: {0: {"text": recall(share, [0.5], contexts=100)}} for name, share in (("a", first), ("b", second))}
    terms = minus(*(Reading(name, "text", "key_value", 256) for name in "ab"))
    verdict = judge(claim("recall", terms, smallest_effect=0.05), samples)
    assert edge in verdict.because
    assert bool(verdict.because) == bool(edge)
    assert verdict.state == decide(verdict.effect.low, verdict.effect.high, 0.05, allowance=0.05)


def test_a_verdict_says_that_a_single_seed_keeps_it_open():
    samples = {"a": {seed: {"text": losses([1.03, 1.031])} for seed in range(3)}, "b": {None: {"text": losses([1, 1])}}}
    alone = {name: {seed: found[seed] for seed in (*found,)[:1]} for name, found in samples.items()}
    assert (judge(CLAIM, samples).state, judge(CLAIM, samples).because) == ("holds", "")
    verdict = judge(CLAIM, alone)
    assert (verdict.state, verdict.because) == (
        "undecided",
        "one seed, for which the interval is widened by 0.02 on both sides",
    )


def test_a_claim_may_say_what_another_seed_might_change():
    samples = {"a": {0: {"text": losses([0.9, 0.9])}}, "b": {None: {"text": losses([0.0, 0.0])}}}
    half = dataclasses.replace(CLAIM, smallest_effect=0.5)
    assert (judge(half, samples).state, judge(half, samples).widening) == ("undecided", 0.5)
    patient = dataclasses.replace(half, allowance=0.05)
    assert (judge(patient, samples).state, judge(patient, samples).widening) == ("holds", 0.05)
    tight = dataclasses.replace(half, allowance=0.45)
    assert judge(tight, samples).because == "one seed, for which the interval is widened by 0.45 on both sides"


def test_a_difference_of_differences_at_the_floor_is_not_said_to_be_none():
    samples = {name: {0: {"text": recall(0.0, [0.1, 0.5])}} for name in "ab"}
    cells = [Reading(name, "text", "key_value", 256) for name in "ab"]
    middle = [dataclasses.replace(reading, depths=(0.4, 0.6)) for reading in cells]
    verdict = judge(claim("middle", (*minus(*middle), *minus(*reversed(cells))), smallest_effect=0.05), samples)
    assert verdict.state == "undecided"
    assert verdict.effect.low < -0.2
    assert verdict.effect.high > 0.2


def test_a_third_of_the_depth_includes_a_record_that_stands_there():
    samples = {"a": {0: {"text": recall(1.0, [0.3333, 0.6667]) + recall(0.0, [0.3332, 0.6668])}}}
    reading = Reading("a", "text", "key_value", 256, (1 / 3, 2 / 3))
    assert table_of([(1.0, reading)], samples).values.tolist() == [[1.0] * 16]


@pytest.mark.parametrize("measure", ["key_value", "paired_nll"])
def test_a_cell_whose_documents_have_failed_leaves_the_claim_unmeasured(measure):
    samples = {name: {0: {"text": losses([value] * 3, measure=measure)}} for name, value in (("a", None), ("b", 1.0))}
    verdict = judge(claim("x", minus(*(Reading(n, "text", measure, 256) for n in "ab")), smallest_effect=0.05), samples)
    assert (verdict.state, verdict.because) == ("not measured", "fewer than 2 documents without a failed sample")


def test_a_difference_of_differences_asks_whether_a_gain_is_the_middles_own():
    everywhere = {name: {0: {"text": recall(share, [0.1, 0.5])}} for name, share in (("a", 0.75), ("b", 0.5))}
    cells = [Reading(name, "text", "key_value", 256) for name in "ab"]
    middle = [dataclasses.replace(reading, depths=(0.4, 0.6)) for reading in cells]
    terms = (*minus(*middle), *minus(*reversed(cells)))
    assert judge(claim("middle", terms, smallest_effect=0.05), everywhere).effect.value == pytest.approx(0.0)


def test_a_share_without_spread_has_an_interval_with_width():
    samples = {"a": {0: {"text": recall(1.0, [0.5])}}}
    estimate = cell_reading(Reading("a", "text", "key_value", 256), samples).estimate
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.806, abs=0.01)  # Wilson for 16 of 16


def test_the_interval_of_a_share_ends_where_shares_end():
    samples = {"a": {seed: {"text": recall(share, [0.5])} for seed, share in enumerate((1.0, 1.0, 0.5))}}
    estimate = cell_reading(Reading("a", "text", "key_value", 256), samples).estimate
    assert 0.0 <= estimate.low < estimate.value < estimate.high == 1.0  # three trainings alone would widen it beyond


def test_a_contradiction_is_one_run_that_says_yes_and_another_that_says_no():
    verdict = judge(CLAIM, two_cells(np.random.default_rng(0), effect=1.0))
    no, open_ = (verdict.model_copy(update={"state": state}) for state in ("does not hold", "undecided"))
    assert verdict.state == "holds"
    assert contradictions([verdict], [no]) == contradictions([no], [verdict]) == ("a above b",)
    assert contradictions([verdict], [open_]) == contradictions([open_], [no]) == contradictions([verdict], []) == ()
