"""Schedules: what they decide, against plain oracles; that they rarely overstate, and mostly certify what is good."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import one_sided_bounds

from ropewalk.bounds import clopper_pearson_lower, clopper_pearson_upper
from ropewalk.errors import MeasurementError, OptionError, UnknownNameError
from ropewalk.sequential import (
    BELOW,
    OPEN,
    PASSED,
    SCHEDULES,
    BettingSchedule,
    LookSchedule,
    leading_passed,
    named_schedule,
)

STANDARD, BETTING = SCHEDULES["standard"], SCHEDULES["betting"]
THRESHOLD = 0.8245  # 0.85 of a reference of 0.97
SHORT_BETTING = BettingSchedule(limit=200)


def answers(right: int, wrong: int, failed: int = 0) -> np.ndarray:
    """Failed ones first, then the wrong ones evenly spread."""
    heard = np.ones(right + wrong)
    heard[np.linspace(0, right + wrong - 1, wrong).astype(int)] = 0
    return np.concatenate([np.full(failed, math.nan), heard])


@pytest.mark.parametrize(("contexts", "alpha"), [(50, 0.02), (100, 0.015), (200, 0.015)])
def test_a_look_passes_exactly_where_the_outcome_is_too_good_for_the_threshold(contexts, alpha):
    """The verdict is the exact binomial test of Clopper and Pearson, at every number of right answers."""
    schedule = LookSchedule((contexts,), (alpha,))
    for right in range(contexts // 2, contexts + 1):
        chance = one_sided_bounds.binomial_at_least(right, contexts, Fraction(8245, 10000))
        verdict = schedule.decide(answers(right, contexts - right), THRESHOLD).verdicts
        assert (verdict == PASSED) == (chance <= alpha)


def test_the_standard_schedule_allows_so_many_wrong_answers():
    """At the threshold 0.8245: 3 of 50, 9 of 100, 23 of 200; the numbers of docs/certificate.md."""
    for contexts, alpha, wrong in zip((50, 100, 200), (0.02, 0.015, 0.015), (3, 9, 23), strict=True):
        assert clopper_pearson_lower(contexts - wrong, contexts, alpha) >= THRESHOLD
        assert clopper_pearson_lower(contexts - wrong - 1, contexts, alpha) < THRESHOLD


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_decision_comes_early_and_is_never_taken_back(schedule):
    scores = np.concatenate([np.ones(50), np.zeros(150)])
    first, later = schedule.decide(scores[:50], THRESHOLD), schedule.decide(scores, THRESHOLD)
    assert (first.verdicts, first.contexts) == (later.verdicts, later.contexts)
    assert later.verdicts == PASSED
    assert later.contexts <= 50


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_cell_far_below_the_threshold_ends_early(schedule):
    decision = schedule.decide(np.tile([0.0, 1.0], 25), THRESHOLD)
    assert decision.verdicts == BELOW
    assert decision.contexts <= 50


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_cell_at_the_threshold_stays_open(schedule):
    scores = np.tile([1.0, 1.0, 1.0, 1.0, 0.0], 40)
    assert schedule.decide(scores, 0.8).verdicts == OPEN
    assert schedule.decide(scores, 0.8).contexts == 200


def test_between_two_looks_nothing_is_decided():
    assert STANDARD.decide(np.ones(49), THRESHOLD).verdicts == OPEN
    assert STANDARD.lower(np.ones(49)) == 0
    assert STANDARD.lower(np.ones(99)) == STANDARD.lower(np.ones(50)) == pytest.approx(0.02 ** (1 / 50))


def test_cells_are_judged_side_by_side_as_alone():
    rng = np.random.default_rng(0)
    scores = np.where(rng.random((3, 4, 200)) < 0.01, math.nan, rng.random((3, 4, 200)) < 0.88).astype(float)
    for schedule in (STANDARD, SHORT_BETTING):
        together, lost = schedule.decide(scores, THRESHOLD), schedule.hopeless(scores[..., :100], THRESHOLD)
        for cell in np.ndindex(3, 4):
            alone = schedule.decide(scores[cell], THRESHOLD)
            assert (alone.verdicts, alone.contexts) == (together.verdicts[cell], together.contexts[cell])
            assert schedule.hopeless(scores[cell][:100], THRESHOLD) == lost[cell]


def test_the_capital_is_that_of_a_player_who_bets_one_by_one():
    rng = np.random.default_rng(1)
    for scores in (rng.random(60), (rng.random(60) < 0.95).astype(float)):
        for mean in (0.3, 0.8245):
            plain = one_sided_bounds.capital(scores.tolist(), mean, alpha=0.05, aim=200)
            largest = np.maximum.accumulate(plain)
            assert np.exp(BETTING._capital(scores, mean)) == pytest.approx(largest, rel=1e-10)


@pytest.mark.parametrize("mean", [0.2, 0.5, 0.8245])
def test_nobody_wins_on_average_against_the_truth(mean):
    """Over all 4,096 outcomes of 12 tosses: the expected capital is 1, and it reaches 20 in at most 5 % of cases."""
    expected, reached = 0.0, 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=12):
        chance = math.prod(mean if score else 1 - mean for score in outcome)
        money = one_sided_bounds.capital(list(outcome), mean, alpha=0.05, aim=12)
        expected += chance * money[-1]
        reached += chance * (max(money) >= 20)
    assert expected == pytest.approx(1, abs=1e-12)
    assert reached <= 0.05


def test_the_law_of_no_winning_catches_a_player_who_looks_ahead():
    """Bite: a stake that knows the score it bets on."""
    expected = 0.0
    for outcome in itertools.product((0.0, 1.0), repeat=6):
        chance = math.prod(0.8 if score else 0.2 for score in outcome)
        expected += chance * math.prod(1 + 0.5 * score * (score - 0.8) for score in outcome)
    assert expected > 1.4


def test_the_betting_bound_is_where_the_verdict_turns():
    scores = (np.random.default_rng(2).random(120) < 0.95).astype(float)
    low, high = BETTING.lower(scores), BETTING.upper(scores)
    assert 0.75 < low < scores.mean() < high < 1
    assert BETTING.decide(scores, low - 1e-6).verdicts == PASSED
    assert BETTING.decide(scores, low + 1e-6).verdicts == OPEN
    assert BETTING.decide(scores, high - 1e-6).verdicts == OPEN
    assert BETTING.decide(scores, high + 1e-6).verdicts == BELOW


def test_fractions_of_an_answer_are_for_the_betting_schedule():
    scores = np.tile([1.0, 2 / 3, 1.0], 40)
    assert BETTING.decide(scores, 0.7).verdicts == PASSED
    with pytest.raises(MeasurementError, match=r"need scores of 0 or 1; got 0.666667. Use the betting schedule"):
        STANDARD.decide(scores, 0.7)
    with pytest.raises(MeasurementError, match=r"Use the betting schedule"):
        STANDARD.lower(scores)


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_failed_sample_is_wrong_for_the_lower_bound_and_right_for_the_upper(schedule):
    failed = answers(60, 38, 2)
    assert schedule.lower(failed) == pytest.approx(schedule.lower(np.where(np.isnan(failed), 0, failed)), abs=1e-9)
    assert schedule.upper(failed) == pytest.approx(schedule.upper(np.where(np.isnan(failed), 1, failed)), abs=1e-9)
    assert schedule.lower(failed) < schedule.lower(np.where(np.isnan(failed), 1, failed))
    assert schedule.upper(failed) > schedule.upper(np.where(np.isnan(failed), 0, failed))


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_more_than_one_percent_failed_decides_nothing(schedule):
    assert schedule.decide(answers(48, 0, 2), THRESHOLD).verdicts == OPEN
    assert schedule.decide(answers(0, 48, 2), THRESHOLD).verdicts == OPEN
    assert schedule.decide(answers(199, 0, 1), THRESHOLD).verdicts == PASSED
    assert schedule.decide(answers(99, 0, 1), THRESHOLD).contexts == 100


def test_a_model_without_a_single_answer_is_hopeless_after_the_first_block():
    for schedule in (STANDARD, BETTING):
        scores = np.full((10, 50), math.nan)
        assert (schedule.decide(scores, THRESHOLD).verdicts == OPEN).all()
        assert schedule.hopeless(scores, THRESHOLD).all()


def test_hopeless_means_that_no_further_answers_would_do():
    assert STANDARD.decide(answers(77, 23), THRESHOLD).verdicts == OPEN
    assert not STANDARD.hopeless(answers(77, 23), THRESHOLD)
    assert STANDARD.decide(answers(76, 24), THRESHOLD).verdicts == OPEN
    assert STANDARD.hopeless(answers(76, 24), THRESHOLD)
    assert not STANDARD.hopeless(np.ones(50), THRESHOLD)
    assert not STANDARD.hopeless(np.ones(0), THRESHOLD)


def test_the_certified_length_ends_at_the_first_gap():
    cells = np.ones((4, 3), dtype=bool)
    assert leading_passed(cells) == 4
    cells[2, 1] = False
    assert leading_passed(cells) == 2
    cells[0, 0] = False
    assert leading_passed(np.stack([cells, ~cells, np.ones_like(cells)])).tolist() == [0, 0, 4]


# -- simulated models: what the certificate promises --


def overstated(judge, *, models: int = 2000, bad_length: int = 0, cells: int = 1, contexts: int = 200) -> float:
    """How often a model is certified to a length at which one cell is just below the threshold.

    All other cells are perfect, hence sure to pass. Where a judge does not pool them, one for each length is enough.
    """
    rng = np.random.default_rng((11, bad_length, contexts))
    scores = np.ones((models, 2, cells, contexts))
    scores[:, bad_length, 0] = rng.random((models, contexts)) < THRESHOLD - 1e-6
    return float(np.mean(judge(scores) > bad_length))


@pytest.mark.parametrize("bad_length", [0, 1])
@pytest.mark.parametrize("name", ["standard", "thorough", "betting"])
def test_one_cell_just_below_the_threshold_is_certified_in_at_most_six_percent(name, bad_length):
    schedule = named_schedule(name)

    def judge(scores):
        return leading_passed(schedule.decide(scores, THRESHOLD).verdicts == PASSED)

    assert overstated(judge, bad_length=bad_length, contexts=schedule.cap) <= 0.06


@pytest.mark.parametrize("name", ["standard", "betting"])
def test_a_good_model_is_certified_to_its_full_length(name):
    """True share .97 in 2 tasks at 4 lengths and 10 depths; a reference of 300 contexts of 10 questions, .97 to .98."""
    certified = []
    for seed in range(10):
        rng = np.random.default_rng((12, seed))
        reference = rng.binomial(3000, rng.uniform(0.97, 0.98)) / 3000
        scores = (rng.random((30, 4, 20, 200)) < 0.97).astype(float)
        certified += [leading_passed(named_schedule(name).decide(scores, 0.85 * reference).verdicts == PASSED) == 4]
    assert np.mean(certified) >= 0.8


@pytest.mark.parametrize("name", ["standard", "betting"])
def test_a_model_that_reads_half_its_window_is_certified_to_no_more(name):
    rng = np.random.default_rng(13)
    truth = np.full((4, 20), 0.98)
    truth[3, :10] = 0.02
    scores = (rng.random((50, 4, 20, 200)) < truth[..., None]).astype(float)
    reached = leading_passed(named_schedule(name).decide(scores, THRESHOLD).verdicts == PASSED)
    assert (reached <= 3).all()
    assert (reached == 3).mean() >= 0.9


def chance_to_pass(schedule: LookSchedule, threshold: float, share: float) -> float:
    """Exactly, by following the distribution of the number of right answers from look to look."""
    alive, before, passed = np.array([1.0]), 0, 0.0
    for look, alpha in zip(schedule.contexts, schedule.alphas, strict=True):
        step = look - before
        new = [math.comb(step, k) * share**k * (1 - share) ** (step - k) for k in range(step + 1)]
        alive, before = np.convolve(alive, new), look
        counts = np.arange(look + 1)
        passes = clopper_pearson_lower(counts, look, alpha) >= threshold
        fails = clopper_pearson_upper(counts, look, alpha) < threshold
        passed += float(alive[passes].sum())
        alive = np.where(passes | fails, 0.0, alive)
    return passed


@pytest.mark.parametrize("name", ["standard", "thorough"])
@pytest.mark.parametrize("threshold", [0.68, 0.765, 0.8245, 0.85])
def test_a_cell_at_the_threshold_passes_in_at_most_five_percent_exactly(name, threshold):
    """Without simulation: what the looks spend, they spend together."""
    assert chance_to_pass(SCHEDULES[name], threshold, threshold) <= 0.05


def test_the_exact_chance_agrees_with_simulated_cells():
    scores = (np.random.default_rng(16).random((20_000, 200)) < 0.88).astype(float)
    share = np.mean(STANDARD.decide(scores, THRESHOLD).verdicts == PASSED)
    assert chance_to_pass(STANDARD, THRESHOLD, 0.88) == pytest.approx(share, abs=0.015)


def test_peeking_after_every_answer_without_spending_overstates():
    """Bite: the same exact bound at 5 %, taken whenever it happens to pass."""
    looks = range(20, 201)
    needed = {
        look: np.flatnonzero(clopper_pearson_lower(np.arange(look + 1), look, 0.05) >= THRESHOLD)[0] for look in looks
    }

    def judge(scores):
        right = scores.cumsum(axis=-1)
        return leading_passed(np.any([right[..., look - 1] >= needed[look] for look in looks], axis=0))

    assert overstated(judge) > 0.15


def test_pooling_depths_overstates():
    """Bite: one bound for all depths of a task never sees the depth that is lost."""

    def judge(scores):
        right = scores.sum(axis=(-2, -1)).astype(int)[..., None]
        return leading_passed(clopper_pearson_lower(right, 500, 0.05) >= THRESHOLD)

    assert overstated(judge, cells=10, contexts=50) > 0.9


def test_testing_only_the_last_length_overstates():
    """Bite: a gap before it is not seen."""

    def judge(scores):
        last = (STANDARD.decide(scores[:, -1], THRESHOLD).verdicts == PASSED).all(axis=-1)
        return np.where(last, 2, 0)

    assert overstated(judge, bad_length=0) > 0.9


def test_questions_of_one_context_in_one_cell_overstate():
    """Bite: ten questions that a context answers alike are one answer, not ten."""
    rng = np.random.default_rng(14)
    alike = (rng.random((2000, 20)) < THRESHOLD - 1e-6).astype(float).repeat(10, axis=-1)
    assert np.mean(STANDARD.decide(alike, THRESHOLD).verdicts == PASSED) > 0.1


def test_messages_say_what_must_hold():
    with pytest.raises(OptionError, match=r"increasing numbers of contexts.*got looks \[100, 50\] and alphas"):
        LookSchedule((100, 50), (0.02, 0.02))
    with pytest.raises(OptionError, match=r"one alpha for each; got looks \[50\] and alphas \[0.02, 0.02\]"):
        LookSchedule((50,), (0.02, 0.02))
    with pytest.raises(OptionError, match=r"sum to at most 0.05.*together 0.1. Spend less at each look"):
        LookSchedule((50, 100), (0.05, 0.05))
    with pytest.raises(OptionError, match=r"got block 0, aim 200, limit 800. An example: 25, 200, 800"):
        BettingSchedule(block=0)
    with pytest.raises(OptionError, match=r"be at most 0.05; got 0.1. Use 0.05"):
        BettingSchedule(alpha=0.1)
    with pytest.raises(UnknownNameError, match=r"no schedule is called 'beting'; did you mean 'betting'"):
        named_schedule("beting")
    with pytest.raises(MeasurementError, match=r"between 0 and 1, or be NaN for a failed sample; got 87"):
        STANDARD.decide(np.array([87.0]), THRESHOLD)
    with pytest.raises(MeasurementError, match=r"strictly between 0 and 1; got 1. A task whose reference"):
        STANDARD.decide(np.ones(50), 1)


def test_a_schedule_says_what_it_does():
    assert str(STANDARD) == "exact binomial bounds at 50, 100, 200 contexts, alpha 0.02, 0.015, 0.015"
    assert str(BETTING) == "betting confidence sequence, alpha 0.05, at most 800 contexts"
    assert BettingSchedule(limit=60, block=25).looks == (25, 50, 60)
    assert STANDARD.cap == 200
