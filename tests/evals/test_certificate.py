"""The certificate on simulated models, whose true reach is known."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_models import SimulatedModel, everywhere, readable_up_to

from ropewalk.errors import MeasurementError, OptionError
from ropewalk.evals.certificate import (
    WHOLE,
    CertificateTask,
    certify_nll,
    certify_retrieval,
    make_certificate,
    measure_reference,
    retrieval_length,
    ruler_length,
)
from ropewalk.result import Certificate, CertificateReference, SampleResult
from ropewalk.sequential import SCHEDULES, LookSchedule

LENGTHS = (256, 512, 1024, 2048)
TASKS = (CertificateTask("passkey"), CertificateTask("lines"))
STANDARD, BETTING = SCHEDULES["standard"], SCHEDULES["betting"]


def references(share: float = 0.97, tasks=TASKS) -> list[CertificateReference]:
    return [measure_reference(SimulatedModel(everywhere(share), seed=1), task, 256) for task in tasks]


REFERENCES = references()


def certified(model: SimulatedModel, schedule=STANDARD, **options):
    cells = certify_retrieval(model, TASKS, REFERENCES, LENGTHS, schedule=schedule, **options)
    return retrieval_length(cells, LENGTHS), cells


# -- the reference --


def test_the_reference_is_the_untouched_models_own_score_and_sets_the_threshold():
    reference = REFERENCES[0]
    assert reference.low < 0.97 < reference.high
    assert reference.threshold == pytest.approx(0.85 * reference.score)
    assert (reference.contexts, reference.samples, reference.failed, reference.reason) == (300, 3000, 0, None)


def test_scores_count_from_chance():
    """With a chance of .25 a reference of .9 is .8667 above chance; 0.85 of that, back on the scale of scores."""
    task = CertificateTask("choice", chance=0.25)
    reference = measure_reference(SimulatedModel(everywhere(0.9)), task, 256)
    assert reference.threshold == pytest.approx(0.25 + 0.85 * (reference.score - 0.25))
    assert reference.threshold > 0.85 * reference.score


@pytest.mark.parametrize(
    ("share", "chance", "failing", "words"),
    [
        (0.7, 0.0, 0.0, r"the untouched model scores 0.[67]\d above chance at its trained length, below 0.8"),
        (0.84, 0.25, 0.0, r"scores 0.7\d above chance"),
        (0.97, 0.0, 0.03, r"of 3000 answers of the untouched model failed, more than 1 %"),
        (0.97, 0.0, 1.1, r"3000 of 3000 answers of the untouched model failed"),
    ],
)
def test_a_task_that_the_untouched_model_cannot_do_is_not_certifiable(share, chance, failing, words):
    task = CertificateTask("passkey", chance=chance)
    reference = measure_reference(SimulatedModel(everywhere(share), failing=failing), task, 256)
    assert reference.threshold is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(reference.reason)
    assert certify_retrieval(SimulatedModel(everywhere(1)), [task], [reference], LENGTHS, schedule=STANDARD) == ()
    assert retrieval_length((), LENGTHS) is None


def test_a_few_failed_answers_leave_the_reference_usable_and_are_counted():
    reference = measure_reference(SimulatedModel(everywhere(0.97), failing=0.004), TASKS[0], 256)
    assert 0 < reference.failed < 30
    assert reference.samples + reference.failed == 3000
    assert reference.score == pytest.approx(0.97, abs=0.01)


# -- retrieval --


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_good_model_is_certified_to_its_full_length(schedule):
    length, cells = certified(SimulatedModel(everywhere(0.97)), schedule)
    assert length == 2048
    assert len(cells) == 2 * 4 * 10
    assert all(cell.low >= cell.threshold for cell in cells)
    assert max(cell.samples for cell in cells) <= 200


@pytest.mark.parametrize("schedule", [STANDARD, BETTING], ids=["looks", "betting"])
def test_a_model_whose_second_half_is_unreadable_is_certified_to_the_readable_half(schedule):
    model = SimulatedModel(readable_up_to(1024))
    length, cells = certified(model, schedule)
    assert length == 1024
    lost = [cell.tenth for cell in cells if cell.verdict == "below"]
    assert set(lost) == set(range(5))
    assert max(model.asked["passkey", 2048]) < 50


def test_a_survey_goes_on_for_the_report_and_certifies_no_more():
    short, long = SimulatedModel(readable_up_to(300)), SimulatedModel(readable_up_to(300))
    length, cells = certified(short)
    surveyed, all_cells = certified(long, survey=True)
    assert length == surveyed == 256
    assert {cell.length for cell in cells} == {256, 512}
    assert {cell.length for cell in all_cells} == set(LENGTHS)
    assert {cell.verdict for cell in all_cells if cell.length == 2048} == {"passed", "below"}
    assert sum(map(len, short.asked.values())) < sum(map(len, long.asked.values()))


def test_a_gap_in_the_middle_ends_the_certified_length():
    model = SimulatedModel(lambda task, length, tenth: 0.3 if (task, length, tenth) == ("lines", 512, 4) else 1.0)
    assert certified(model)[0] == certified(model, survey=True)[0] == 256


def test_a_model_that_fails_at_the_first_length_is_certified_to_nothing():
    assert certified(SimulatedModel(everywhere(0.5)))[0] == 0


def test_a_model_near_the_threshold_stays_undecided_and_the_report_says_where():
    model = SimulatedModel(lambda task, length, tenth: 0.86 if (task, length, tenth) == ("lines", 256, 3) else 0.99)
    length, cells = certified(model)
    (cell,) = [cell for cell in cells if (cell.task, cell.length, cell.tenth) == ("lines", 256, 3)]
    assert length == 0
    assert cell.verdict == "undecided"
    assert cell.low < cell.threshold < cell.high
    assert cell.reason in ("still open at the cap of 200 contexts", "can no longer pass within 200 contexts")


def test_cells_of_a_length_that_is_lost_elsewhere_say_so():
    model = SimulatedModel(lambda task, length, tenth: 0.1 if tenth == 0 else 0.9)
    cells = certified(model)[1]
    reasons = {cell.reason for cell in cells if cell.verdict == "undecided" and cell.task == "passkey"}
    assert reasons == {"stopped after 50 contexts, because another cell of this length did not pass"}


def test_contexts_are_asked_in_blocks_each_once_and_in_order():
    model, seen = SimulatedModel(everywhere(0.93)), []
    certified(model, progress=lambda *step: seen.append(step))
    for numbers in model.asked.values():
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (50, 100, 200)
    assert seen[0] == ("certificate, passkey at 256 tokens", 50, 200)


def test_the_cells_are_those_that_the_schedule_decides_alone():
    """The driver adds nothing: each record is the schedule's verdict on that cell's contexts."""
    model = SimulatedModel(everywhere(0.9), seed=5)
    for cell in certified(model, survey=True)[1]:
        contexts = cell.samples + cell.failed
        scores = np.array([answer[cell.tenth] for answer in model(cell.task, cell.length, 0, contexts)])
        verdict = int(STANDARD.decide(scores, cell.threshold).verdicts)
        assert {1: "passed", 0: "undecided", -1: "below"}[verdict] == cell.verdict
        assert (cell.score, cell.low) == (pytest.approx(scores.mean()), STANDARD.lower(scores))


def test_overstatement_is_rare_through_the_driver_too():
    """The last cell of the second length just below the threshold, all others perfect."""
    task, rng, overstated = CertificateTask("passkey", tenths=(0, 9)), np.random.default_rng(15), 0
    for _ in range(200):
        scores = (rng.random(200) < REFERENCES[0].threshold - 1e-6).astype(float).tolist()

        def probe(task, length, start, count, scores=scores):
            return [{0: 1.0, 9: scores[n] if length == 512 else 1.0} for n in range(start, start + count)]

        cells = certify_retrieval(probe, [task], REFERENCES, (256, 512), schedule=STANDARD)
        overstated += retrieval_length(cells, (256, 512)) == 512
    assert 0 < overstated / 200 <= 0.06


# -- failed samples --


def test_a_model_that_gives_no_finite_number_is_undecided_with_the_reason_and_soon():
    model = SimulatedModel(everywhere(1), failing=1.1)
    length, cells = certified(model)
    assert length == 0
    passkeys = [cell for cell in cells if cell.task == "passkey"]
    assert {cell.reason for cell in passkeys} == {"50 of 50 samples failed, more than 1 %"}
    assert {(cell.verdict, cell.score, cell.samples, cell.failed) for cell in passkeys} == {("undecided", None, 0, 50)}
    assert model.asked == {("passkey", 256): list(range(50))}


def test_more_than_one_percent_failed_is_undecided_even_if_all_others_are_right():
    length, cells = certified(SimulatedModel(everywhere(1), failing=0.05))
    assert length == 0
    assert not any(cell.verdict == "below" for cell in cells)
    assert any("samples failed, more than 1 %" in (cell.reason or "") for cell in cells)


def test_a_single_failed_sample_is_counted_and_does_not_stop_the_certificate():
    class OneFails(SimulatedModel):
        def _answers(self, task, length, number):
            return super()._answers(task, length, number) | ({0: None} if (length, number) == (512, 3) else {})

    length, cells = certified(OneFails(everywhere(0.99)))
    assert length == 2048
    assert [(c.samples, c.failed) for c in cells if c.failed] == [(99, 1), (99, 1)]


# -- other scores --


def test_fractional_scores_need_the_betting_schedule():
    task = CertificateTask("words", tenths=WHOLE)

    def probe(task, length, start, count):
        return [{-1: (2 + (number % 5 > 0)) / 3} for number in range(start, start + count)]

    reference = measure_reference(probe, task, 256)
    assert reference.score == pytest.approx(0.9333, abs=1e-4)
    cells = certify_retrieval(probe, [task], [reference], LENGTHS, schedule=BETTING)
    assert retrieval_length(cells, LENGTHS) == 2048
    assert {cell.tenth for cell in cells} == {-1}
    with pytest.raises(MeasurementError, match=r"got 0.666667. Use the betting schedule"):
        certify_retrieval(probe, [task], [reference], LENGTHS, schedule=STANDARD)


# -- likelihood --


def windows(worse: dict[int, float], *, documents: int = 21, spread: float = 0.01, failed: int = 0):
    """Four windows of each document; `worse` is how much worse each length is on average than 256 tokens."""
    rng = np.random.default_rng(3)
    for document in range(documents):
        for window in range(4):
            near = float(rng.normal(2, 0.5))
            for length, change in {256: 0.0, **worse}.items():
                value = near + (float(rng.normal(change, spread)) if length > 256 else 0)
                lost = failed > document * 4 + window and length > 256
                yield SampleResult(
                    measure="paired_nll",
                    sample=f"{document}@{window}",
                    cluster=str(document),
                    length=length,
                    status="failed" if lost else "ok",
                    value=None if lost else value,
                )


def test_nll_is_certified_up_to_the_first_length_that_may_be_worse_by_the_margin():
    checks = certify_nll(list(windows({512: -0.1, 1024: 0.01, 2048: 0.05})), 256, LENGTHS)
    assert [check.verdict for check in checks] == ["passed", "passed", "passed", "not shown"]
    assert (checks[0].value, checks[0].upper) == (0, 0)
    assert checks[1].upper == pytest.approx(-0.1, abs=0.01)
    assert (checks[1].samples, checks[1].clusters, checks[1].unit) == (84, 21, "documents")
    assert checks[3].reason == f"may be {checks[3].upper:+.3f} nats/token worse, the margin is 0.02"


def test_a_true_loss_of_exactly_the_margin_passes_in_at_most_six_percent():
    passed = 0
    for seed in range(400):
        rng = np.random.default_rng((4, seed))
        by_document = rng.normal(0.02, 0.03, size=21)
        samples = [
            SampleResult(measure="paired_nll", sample=f"{d}/{w}", cluster=str(d), length=length, value=value)
            for d in range(21)
            for w in range(4)
            for length, value in ((256, 1.0), (512, 1.0 + by_document[d] + rng.normal(0, 0.01)))
        ]
        passed += certify_nll(samples, 256, (512,))[1].verdict == "passed"
    assert passed / 400 <= 0.065


def test_few_documents_are_counted_by_windows_and_too_few_windows_are_undecided():
    by_windows = certify_nll(list(windows({512: 0.0}, documents=3)), 256, (512,))[1]
    assert (by_windows.verdict, by_windows.clusters, by_windows.unit) == ("passed", 12, "windows")
    too_few = certify_nll(list(windows({512: 0.0}, documents=1)), 256, (512,))[1]
    assert (too_few.verdict, too_few.value, too_few.upper) == ("undecided", None, None)
    assert too_few.reason == "4 windows of text, at least 8 are needed"


def test_failed_windows_are_counted_and_more_than_one_percent_decide_nothing():
    check = certify_nll(list(windows({512: -0.1}, failed=5)), 256, (512,))[1]
    assert (check.verdict, check.samples, check.failed) == ("undecided", 79, 5)
    assert check.reason == "5 of 84 samples failed, more than 1 %"
    assert certify_nll(list(windows({512: -0.1}, documents=50, failed=1)), 256, (512,))[1].verdict == "passed"


def test_without_text_there_are_no_nll_checks():
    assert certify_nll([], 256, LENGTHS) == ()


# -- the record --


def whole(**changes) -> Certificate:
    cells = certified(SimulatedModel(everywhere(0.98)))[1]
    parts = {
        "trained_length": 256,
        "lengths": LENGTHS,
        "schedule": STANDARD,
        "references": REFERENCES,
        "cells": cells,
        "nll": certify_nll(list(windows({512: -0.1, 1024: 0.0, 2048: 0.05})), 256, LENGTHS),
    }
    return make_certificate(**{**parts, **changes})


def test_the_headline_is_the_smaller_of_both_lengths():
    certificate = whole(ruler_length=2048, k_max=1984)
    assert (certificate.retrieval_length, certificate.nll_length, certificate.length) == (2048, 1024, 1024)
    assert str(certificate) == "certified context 1,024 tokens at 95 % (retrieval 2,048 tokens, NLL 1,024 tokens)"
    assert (certificate.ruler_length, certificate.k_max) == (2048, 1984)
    assert Certificate.model_validate_json(certificate.model_dump_json()) == certificate


def test_without_text_or_without_a_certifiable_task_there_is_no_headline():
    assert (whole(nll=()).nll_length, whole(nll=()).length) == (None, None)
    assert (
        str(whole(nll=())) == "certified context not certifiable at 95 % (retrieval 2,048 tokens, NLL not certifiable)"
    )
    assert whole(cells=()).length is None


def test_undecided_cells_are_listed():
    cells = certified(SimulatedModel(everywhere(0.86)))[1]
    assert whole(cells=cells).undecided == tuple(cell for cell in cells if cell.verdict == "undecided") != ()


def test_rulers_rule_takes_the_longest_length_above_its_absolute_score():
    assert ruler_length({4096: 0.95, 8192: 0.856, 16384: 0.84}) == 8192
    assert ruler_length({4096: 0.5}) == 0


# -- what is refused --


def test_messages_say_what_must_hold():
    good = SimulatedModel(everywhere(1))
    with pytest.raises(OptionError, match=r"at least 300 contexts.*got 50"):
        measure_reference(good, TASKS[0], 256, contexts=50)
    with pytest.raises(OptionError, match=r"missing: lines. Measure the reference first"):
        certify_retrieval(good, TASKS, REFERENCES[:1], LENGTHS, schedule=STANDARD)
    for lengths in ((), (512, 256), (0, 256)):
        with pytest.raises(OptionError, match=r"must increase, because they are tested in order; got \["):
            certify_retrieval(good, TASKS, REFERENCES, lengths, schedule=STANDARD)
    with pytest.raises(OptionError, match=r"chance of task 'x' must be at least 0 and below 1.*got 1"):
        CertificateTask("x", chance=1.0)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([{0: 1.0}] * 50, r"one score for each of the tenths \[0, 1\]; got 50 contexts and tenths \[0\]"),
        ([{0: 1.0, 1: 1.0}] * 7, r"must answer 50 contexts.*got 7 contexts. Ask each context once"),
        ([{0: 1.0, 1: 7.0}] * 50, r"score each answer from 0 to 1; got 7.0. A sample that failed is None"),
        ([{0: 1.0, 1: float("nan")}] * 50, r"from 0 to 1; got nan"),
    ],
)
def test_a_prober_that_answers_something_else_is_refused(answers, words):
    task = CertificateTask("passkey", tenths=(0, 1))
    schedule = LookSchedule((50,), (0.05,))
    with pytest.raises(MeasurementError, match=words):
        certify_retrieval(lambda *asked: answers, [task], REFERENCES[:1], LENGTHS, schedule=schedule)
