"""The certificate of a real model: the built-in one reads what lies inside its window and nothing beyond."""

from __future__ import annotations

import pytest
import torch
from evals_models import character_tokenizer, tiny_llama

from ropewalk import adapters
from ropewalk.errors import OptionError
from ropewalk.evals.certification import CertificatePlan
from ropewalk.evals.journal import Journal
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.suite import evaluate_model

SETTINGS = CertificatePlan(tasks=("key-value",), looks=(60,), alphas=(0.05,))
# Far below the trained length of 256 and above it; the shorter one stands in for it, to be quick.
SHORT, LONG = 96, 384
PLAN = EvaluationPlan(lengths=(SHORT, LONG), tasks=(), scored=48)


def evaluate(journal, *, plan=PLAN, settings=SETTINGS, spoil=False):
    model, tokenizer = adapters.load_model("builtin"), adapters.load_tokenizer("builtin")
    if spoil:
        with torch.no_grad():
            model.model.norm.weight.fill_(float("nan"))
    return evaluate_model(
        model,
        tokenizer,
        plan,
        {},
        name="builtin",
        method="untouched",
        trained_length=SHORT,
        certificate=settings,
        journal=journal,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    with Journal(folder, {}) as journal:
        return folder, *evaluate(journal)


def test_a_model_is_certified_inside_its_window_and_not_beyond(measured):
    _, result, _ = measured
    certificate = result.certificate
    assert certificate.lengths == (SHORT, LONG)
    assert certificate.retrieval_length == SHORT
    assert {cell.verdict for cell in certificate.cells if cell.length == SHORT} == {"passed"}
    assert {cell.verdict for cell in certificate.cells if cell.length == LONG} == {"below"}
    assert certificate.references[0].chance == pytest.approx(0.1)


def test_each_cell_is_one_question_of_a_context(measured):
    _, result, samples = measured
    assert [s.measure for s in samples].count("reference_key_value") == 3000
    inside = [s for s in samples if (s.measure, s.length) == ("certificate_key_value", SHORT)]
    for tenth in range(10):
        cell = [s for s in inside if s.depth == pytest.approx(tenth / 10 + 0.05)]
        assert len(cell) == len({s.cluster for s in cell}) == 60
        (record,) = [c for c in result.certificate.cells if (c.length, c.tenth) == (SHORT, tenth)]
        assert record.score == pytest.approx(sum(s.value for s in cell) / 60)


def test_without_text_the_headline_is_open(measured):
    _, result, _ = measured
    assert result.certificate.nll_length is None
    assert result.certificate.length is None


def test_a_certificate_is_continued_from_the_journal_and_not_measured_again(measured):
    folder, expected, samples = measured
    with Journal(folder, {}) as journal:
        result, again = evaluate(journal, spoil=True)
    assert result.certificate == expected.certificate
    assert again == samples


def test_a_model_that_emits_no_numbers_is_not_certifiable():
    model = tiny_llama(max_position_embeddings=300)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    plan = EvaluationPlan(lengths=(300,), tasks=())
    result, samples = evaluate_model(
        model, character_tokenizer(), plan, {}, name="tiny", method="untouched", certificate=SETTINGS
    )
    assert result.status == "incomplete"
    assert result.certificate.retrieval_length is None
    assert "3000 of 3000 answers of the untouched model failed" in result.certificate.references[0].reason
    assert {s.status for s in samples} == {"failed"}


def test_lengths_below_the_trained_one_cannot_be_certified():
    with pytest.raises(OptionError, match=r"lengths from the trained 96 tokens on; got \[64\]"):
        evaluate(Journal(), plan=EvaluationPlan(lengths=(64,), tasks=(), scored=32))
