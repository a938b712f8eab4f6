"""The short-context gate: exact divergences, verdicts that are right as often as they say, wrong models caught."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from evals_models import SIZES, build_model, character_tokenizer, prose, tiny_llama
from transformers import Gemma2Config

from ropewalk.adapters import extend_model, load_model, load_tokenizer
from ropewalk.bounds import upper_mean
from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals.divergence import token_divergence
from ropewalk.evals.gate import GatePlan, check_text, gate_text, judge, overall
from ropewalk.evals.tasks import encoder
from ropewalk.result import Estimate, GateCheck

WINDOW = 64
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}


def random_tokens(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 97, size=shape)


def plain_divergence(reference, model, tokens) -> tuple[np.ndarray, ...]:
    """Full logits in float64, as anyone would write it: NLL, NLL, KL(reference || model)."""
    with torch.no_grad():
        p, q = (
            torch.log_softmax(m(torch.as_tensor(tokens), use_cache=False).logits[:, :-1].double(), -1)
            for m in (reference, model)
        )
    targets = torch.as_tensor(tokens)[:, 1:, None]
    nll = [-each.gather(2, targets)[..., 0].numpy() for each in (p, q)]
    return nll[0], nll[1], (p.exp() * (p - q)).sum(-1).numpy()


@pytest.fixture(scope="module")
def text():
    """Ten documents of three to five windows."""
    documents = {f"document {i}": prose(i, 45 + 10 * (i % 3)) for i in range(10)}
    return gate_text(documents, encoder(character_tokenizer()), trained_length=WINDOW, plan=GatePlan(windows=30))


@pytest.fixture(scope="module")
def built_in():
    """The built-in model and a gate's text of its own."""
    tokens = encoder(load_tokenizer("builtin"))
    held_out = standard_library(held_out=True).documents
    return load_model("builtin"), gate_text(held_out, tokens, trained_length=256, plan=GatePlan(windows=16))


def nudged(model, size: float):
    """A copy whose layers' outputs are a little off, by one draw scaled by `size`."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(size * parameter.std() * noise)
    return other


def nudged_by(model, text, nats: float):
    """A copy that is `nats` per token worse on the text: damage grows about as the square of the nudge."""
    size = 0.03
    for _ in range(4):
        scored = token_divergence(model, nudged(model, size), text.windows)
        size *= math.sqrt(nats / (scored.model_nll - scored.reference_nll).mean())
    return nudged(model, size)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_divergence_in_head_chunks_equals_full_logits_in_float64(family):
    capped = Gemma2Config(**SIZES, vocab_size=97, head_dim=16, final_logit_softcapping=3.0)
    models = [tiny_llama(seed=s) if family == "llama" else build_model(capped, seed=s) for s in (0, 1)]
    tokens = random_tokens(3, 40)
    scored = token_divergence(*models, tokens, head_bytes=4 * 97 * 7)
    expected = plain_divergence(*models, tokens)
    for got, wanted in zip((scored.reference_nll, scored.model_nll, scored.divergence), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert scored.divergence.min() > 1e-3


def test_the_divergence_check_catches_the_arguments_the_wrong_way_round():
    """Bite: KL(model || reference) is another number."""
    models, tokens = [tiny_llama(seed=s) for s in (0, 1)], random_tokens(3, 40)
    swapped = token_divergence(*reversed(models), tokens).divergence
    assert np.abs(swapped - plain_divergence(*models, tokens)[2]).max() > 0.1


def test_the_divergence_check_catches_a_sum_over_the_likeliest_words_alone():
    """Bite: what programs that see only the top log-probabilities compute."""
    models, tokens = [tiny_llama(seed=s) for s in (0, 1)], random_tokens(3, 40)
    with torch.no_grad():
        p, q = (torch.log_softmax(m(torch.as_tensor(tokens)).logits[:, :-1].double(), -1) for m in models)
    chosen = p.topk(5).indices
    shortened = (p.gather(2, chosen).exp() * (p.gather(2, chosen) - q.gather(2, chosen))).sum(-1).numpy()
    assert np.abs(shortened - plain_divergence(*models, tokens)[2]).max() > 0.01


def test_a_model_against_itself_or_its_copy_has_no_divergence_at_all():
    model, tokens = tiny_llama(), random_tokens(2, 40)
    for other in (model, copy.deepcopy(model)):
        scored = token_divergence(model, other, tokens)
        assert not scored.divergence.any()
        np.testing.assert_array_equal(scored.reference_nll, scored.model_nll)


def test_neither_head_sees_more_positions_than_memory_allows_and_both_models_stay_as_they_were():
    models, widths = [tiny_llama(seed=s) for s in (0, 1)], []
    for model in models:
        model.lm_head.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[1]))
    token_divergence(*models, random_tokens(2, 60), head_bytes=4 * 97 * 10)
    assert max(widths) == 10
    assert sum(widths) == 2 * 2 * 59
    assert all("forward" not in vars(model.base_model) for model in models)


def test_a_length_dependent_rope_is_scored_as_if_nothing_had_been_scored_before():
    build = lambda: tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16)  # noqa: E731
    original, used, fresh = tiny_llama(), build(), build()
    token_divergence(original, used, random_tokens(1, 64))
    tokens = random_tokens(2, 20, seed=1)
    again, first = (token_divergence(original, model, tokens).divergence for model in (used, fresh))
    np.testing.assert_allclose(again, first, atol=1e-6)


def test_two_vocabularies_are_refused():
    with pytest.raises(MeasurementError, match=r"97 and 90 words\. Compare a model with what it was made from"):
        token_divergence(tiny_llama(), tiny_llama(vocab_size=90), random_tokens(1, 8))


def test_windows_are_disjoint_whole_and_spread_over_every_document(text):
    assert text.windows.shape == (30, WINDOW)
    assert text.unit == "documents"
    assert len(set(text.clusters)) == 10
    assert len({row.tobytes() for row in text.windows}) == 30


def test_few_documents_are_read_in_many_windows_which_are_then_the_clusters():
    tokens = encoder(character_tokenizer())
    book = {"book": prose(0, 400)}
    text = gate_text(book, tokens, trained_length=WINDOW, plan=GatePlan(windows=20))
    assert text.unit == "windows"
    assert len(set(text.clusters)) == len(text.windows) == 20
    stream = tokens(book["book"])
    np.testing.assert_array_equal(text.windows[0], stream[:WINDOW])
    np.testing.assert_array_equal(text.windows[-1], stream[-WINDOW:])


def test_long_windows_are_fewer():
    assert GatePlan().windows_of(256) == 128
    assert GatePlan().windows_of(32_768) == 32
    assert GatePlan().windows_of(1_048_576) == 16


def test_many_documents_are_thinned_evenly():
    documents = {f"{i:03}": prose(i, 20) for i in range(100)}
    text = gate_text(documents, encoder(character_tokenizer()), trained_length=WINDOW, plan=GatePlan(windows=12))
    assert len(text.windows) == 12
    assert text.clusters[0] == "000"
    assert text.clusters[-1] == "099"


def test_too_little_text_is_refused_with_what_there_is():
    with pytest.raises(DataError, match=r"at least 8 windows of 64 tokens.* the texts given hold 3\. Give more text"):
        gate_text({"a": prose(0, 38)}, encoder(character_tokenizer()), trained_length=WINDOW, plan=GatePlan())


@pytest.mark.parametrize("sizes", [{"margin": 0.0}, {"margin": math.nan}, {"windows": 7}])
def test_an_impossible_plan_is_refused(sizes):
    with pytest.raises(OptionError, match="a margin above 0 nats per token and at least 8 windows"):
        GatePlan(**sizes)


def test_an_identical_model_passes_with_exactly_nothing(text):
    model = tiny_llama()
    check = check_text(model, copy.deepcopy(model), text, GatePlan(), name="original")
    assert check.verdict == "PASS"
    assert (check.change.low, check.change.value, check.change.high) == (0.0, 0.0, 0.0)
    assert str(check.change.low) == "0.0"
    divergence = next(e for e in check.details if e.measure == "divergence")
    assert (divergence.low, divergence.value, divergence.high) == (0.0, 0.0, 0.0)


def test_the_change_is_the_mean_over_all_tokens_and_its_parts_average_to_it(text):
    models = [tiny_llama(seed=s) for s in (0, 1)]
    check = check_text(*models, text, GatePlan(batch_tokens=200), name="original")
    first, second, divergence = plain_divergence(*models, text.windows)
    assert check.change.value == pytest.approx((second - first).mean(), abs=1e-5)
    values = {e.measure: e.value for e in check.details}
    assert values["reference_nll"] == pytest.approx(first.mean(), abs=1e-5)
    assert values["extended_nll"] == pytest.approx(second.mean(), abs=1e-5)
    assert values["divergence"] == pytest.approx(divergence.mean(), abs=1e-5)
    parts = [e for e in check.details if e.measure == "nll_change_in_part"]
    assert [e.length for e in parts] == [16, 32, 47, 63]
    assert parts[0].value == pytest.approx((second - first)[:, :16].mean(), abs=1e-5)
    sizes = np.diff([0, *(e.length for e in parts)])
    assert np.dot([e.value for e in parts], sizes) / 63 == pytest.approx(check.change.value, abs=1e-9)


def test_an_extension_that_ruins_short_text_fails(built_in):
    original, text = built_in
    ruined = copy.deepcopy(original)
    extend_model(ruined, "linear", 2048)
    check = check_text(original, ruined, text, GatePlan(), name="original")
    assert check.verdict == "FAIL"
    assert check.change.low > 0.5
    assert check.reason.startswith("worse by at least +")


def test_a_model_that_is_three_thousandths_worse_passes(built_in):
    original, text = built_in
    worse = nudged_by(original, text, 0.003)
    check = check_text(original, worse, text, GatePlan(), name="original")
    assert check.change.value == pytest.approx(0.003, abs=0.0005)
    assert check.verdict == "PASS"
    assert check.reason.startswith("at most +0.0")


def test_a_model_at_the_margin_is_not_shown_to_be_within_it(built_in):
    original, text = built_in
    worse = nudged_by(original, text, 0.0199)
    check = check_text(original, worse, text, GatePlan(), name="original")
    assert check.verdict == "FAIL"
    assert check.reason.startswith("not shown to be within the margin of 0.02 nats/token")
    assert check.reason.endswith("(more text would decide)")


def test_a_model_without_finite_numbers_fails_and_is_not_averaged(text):
    model = tiny_llama()
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight[5] = math.nan
    check = check_text(model, broken, text, GatePlan(), name="original")
    assert (check.verdict, check.change, check.details) == ("FAIL", None, ())
    assert check.reason == "30 of 30 windows gave no finite number: the extended model's logits are not finite there"
    swapped = check_text(broken, model, text, GatePlan(), name="control")
    assert "the control model's logits are not finite there" in swapped.reason


def test_one_window_that_fails_is_counted_and_fails_the_gate(text):
    model, unused = tiny_llama(), 5
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.model.embed_tokens.weight[unused] = math.nan
    windows = text.windows.copy()
    windows[3, 10] = unused
    check = check_text(model, broken, dataclasses.replace(text, windows=windows), GatePlan(), name="original")
    assert check.verdict == "FAIL"
    assert check.reason.startswith("1 of 30 windows gave no finite number")
    assert (check.change.value, check.change.samples, check.change.failed) == (0.0, 29, 1)


def change_of(value: float, low: float, high: float) -> Estimate:
    return Estimate(
        measure="nll_change", protocol="", unit="nats/token", length=64, value=value, low=low, high=high, interval="",
        samples=20,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ((0.01, 0.0, 0.02), "PASS", "at most +0.0200 with 95 % confidence, within the margin of 0.02 nats/token"),
        ((-0.5, -0.6, -0.4), "PASS", "at most -0.4000"),
        ((0.01, 0.0, 0.0201), "FAIL", "measured +0.0100, at most +0.0201"),
        ((0.03, 0.021, 0.04), "FAIL", "worse by at least +0.0210 with 95 % confidence, more than the margin"),
    ],
)
def test_the_verdict_follows_the_upper_bound(change, verdict, words):
    got, reason = judge(change_of(*change), 0.02)
    assert got == verdict
    assert words in reason


def test_one_failing_reference_fails_the_whole():
    def check(reference, verdict):
        return GateCheck(subject="text", reference=reference, verdict=verdict, reason="r", margin=0.02, change=None)

    both = [check("original", "PASS"), check("control", "FAIL")]
    assert overall(both) == ("FAIL", "text against the control: r")
    assert overall(both[:1]) == ("PASS", "text against the original: r")
    assert overall(both[:1], "no tasks") == ("SKIPPED", "no tasks")
    assert overall(both, "no tasks") == overall(both)
    assert overall([], "no tasks") == ("SKIPPED", "no tasks")


def passes(documents: int, *, true: float, rounds: int = 2000, bound=None, skew: bool = False) -> float:
    """How often a model whose true cost is `true` passes: documents differ, and so do their windows."""
    rng = np.random.default_rng(documents)
    clusters = [i // 6 for i in range(6 * documents)]
    effects = rng.exponential(0.01, (rounds, documents)) - 0.01 if skew else rng.normal(0, 0.01, (rounds, documents))
    values = true + effects.repeat(6, axis=1) + rng.normal(0, 0.01, (rounds, 6 * documents))
    upper = bound or (lambda row: upper_mean(row, clusters).upper)
    return float(np.mean([judge(change_of(0, -1, upper(row)), 0.02)[0] == "PASS" for row in values]))


@pytest.mark.parametrize("documents", [8, 21])
def test_a_model_exactly_at_the_margin_passes_in_one_of_twenty_cases(documents):
    assert 0.03 < passes(documents, true=0.02) <= 0.06


def test_a_good_model_passes_nearly_always():
    assert passes(21, true=0.003, rounds=500) > 0.99


def test_damage_in_few_documents_is_not_taken_for_none():
    assert passes(21, true=0.02, skew=True) <= 0.08


def test_the_decision_check_catches_windows_taken_for_independent():
    """Bite: six windows of a document are not six documents."""
    naive = lambda row: row.mean() + 1.645 * row.std() / math.sqrt(len(row))  # noqa: E731
    assert passes(21, true=0.02, bound=naive) > 0.12


def test_the_decision_check_catches_a_verdict_by_the_mean():
    """Bite: a gate without a bound passes half of the models at the margin."""
    assert passes(21, true=0.02, bound=np.mean) > 0.4
