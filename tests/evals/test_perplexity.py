"""Perplexity protocols: every fast path against one forward per length or window, all logits, in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from evals_models import tiny_llama
from oracles import perplexity as oracle

from ropewalk.adapters import extend_model
from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals import perplexity, perplexity_protocol
from ropewalk.evals.perplexity import perplexity_estimates, perplexity_samples, score_document
from ropewalk.evals.perplexity_protocol import PerplexityProtocol, plan_forwards, usable_documents
from ropewalk.statistics import bootstrap_weighted_mean

METHODS = ("none", "linear", "yarn", "abf", "entropy-abf")
TRAINED, TARGET = 32, 128
TRUNCATE = PerplexityProtocol(lengths=(16, 48, 120))
SLIDING = PerplexityProtocol(lengths=(24, 48, 120), stride=16, batch_tokens=200)
SLIDING_SHORT = PerplexityProtocol((16,), stride=8)
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}


def document(tokens: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 97, size=tokens)


def extended(method: str):
    """Three layers, so that entropy-abf's scale acts on one of them."""
    model = tiny_llama(max_position_embeddings=TRAINED, num_hidden_layers=3)
    extend_model(model, method, TARGET)
    return model


def assert_as_written_out(model, tokens, protocol) -> None:
    """Sums, counts and window means of a document against the oracle, within 1e-5 nats per token."""
    nll, read = oracle.one_forward(model), tokens[: protocol.max_tokens].tolist()
    for score in score_document(model, "a", tokens, protocol):
        if protocol.stride is None:
            plain = [oracle.truncated(nll, read, score.length, protocol.start_token)]
        else:
            plain = oracle.windows(nll, read, score.length, protocol.stride, protocol.start_token)
        assert score.tokens == sum(map(len, plain))
        assert score.nats / score.tokens == pytest.approx(math.log(oracle.perplexity(plain)), abs=1e-5)
        assert score.window_means == pytest.approx([np.mean(window) for window in plain], abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_one_forward_for_all_lengths_is_one_forward_for_each(method):
    assert_as_written_out(extended(method), document(150), TRUNCATE)


@pytest.mark.parametrize("method", METHODS)
def test_windows_that_share_forwards_are_windows_run_alone(method):
    assert_as_written_out(extended(method), document(301), SLIDING)


@pytest.mark.parametrize("start_token", [None, 5])
@pytest.mark.parametrize(("window", "stride"), [(16, 1), (16, 5), (16, 15), (16, 16), (60, 60), (50, 20)])
@pytest.mark.parametrize("tokens", [60, 61, 75])
def test_every_stride_scores_what_the_written_out_loop_scores(window, stride, tokens, start_token):
    protocol = PerplexityProtocol((window,), stride=stride, start_token=start_token, batch_tokens=100)
    assert_as_written_out(tiny_llama(), document(tokens), protocol)


@pytest.mark.parametrize("protocol", [TRUNCATE, SLIDING], ids=["truncate", "sliding"])
@pytest.mark.parametrize("changes", [{"start_token": 7}, {"max_tokens": 130}, {"batch_tokens": 1}])
def test_settings_mean_the_same_on_the_shared_path(protocol, changes):
    assert_as_written_out(tiny_llama(), document(180), replace(protocol, **changes))


@pytest.mark.parametrize("protocol", [TRUNCATE, SLIDING], ids=["truncate", "sliding"])
def test_a_length_dependent_rope_is_run_length_by_length(protocol):
    model = tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16)
    for length, score in zip(protocol.lengths, score_document(model, "a", document(150), protocol), strict=True):
        fresh = oracle.one_forward(tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16))
        if protocol.stride is None:
            plain = [oracle.truncated(fresh, document(150).tolist(), length)]
        else:
            plain = []
            for window in range(len(score.window_means)):
                # A fresh model for each window, because this rope remembers the longest call.
                fresh = oracle.one_forward(tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16))
                row = document(150).tolist()[16 * window : 16 * window + length]
                new = len(row) - 1 if window == 0 else len(row) - (length - 16)
                plain.append(fresh(row)[-new:])
        assert score.nats / score.tokens == pytest.approx(math.log(oracle.perplexity(plain)), abs=1e-5)


def test_sharing_under_a_length_dependent_rope_would_be_wrong(monkeypatch):
    """Bite: the same model on the shared path."""
    model, tokens = tiny_llama(rope_parameters=DYNAMIC, max_position_embeddings=16), document(150)
    right = score_document(model, "a", tokens, SLIDING)[0]
    monkeypatch.setattr(perplexity, "depends_on_length", lambda model, longest: False)
    shared = score_document(model, "a", tokens, SLIDING)[0]
    assert abs(right.nats - shared.nats) / right.tokens > 1e-3


def test_all_columns_cost_the_forwards_of_the_longest():
    rows = []
    model = tiny_llama()
    model.model.embed_tokens.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape))
    score_document(model, "a", document(150), TRUNCATE)
    assert rows == [(1, 120)]
    rows.clear()
    score_document(model, "a", document(301), SLIDING)
    # Windows begin every 16 tokens; the longest column ends first, then forwards get shorter.
    read = sum(batch * length for batch, length in rows)
    beginnings = range(0, 301 - 24 + 15, 16)
    assert sum(batch for batch, _ in rows) == len(beginnings)
    assert read < sum(120 for _ in beginnings)
    assert max(batch * length for batch, length in rows if batch > 1) <= 200


def test_the_head_runs_only_where_a_token_is_scored():
    positions = []
    model = tiny_llama()
    model.lm_head.register_forward_hook(lambda module, inputs, output: positions.append(output.shape[1]))
    (score,) = score_document(model, "a", document(301), PerplexityProtocol((48,), stride=16))
    assert sum(positions) == score.tokens == 300


@pytest.mark.parametrize("stride", [1, 7, 16])
def test_a_uniform_model_has_the_vocabulary_as_perplexity_under_any_protocol(stride):
    model = tiny_llama()
    model.lm_head.weight.data.zero_()
    for released in (False, True):
        protocol = PerplexityProtocol((16, 32), stride=stride, released_code=released)
        documents = {"a": document(90), "b": document(64, seed=1)}
        for estimate in perplexity_estimates(list(perplexity_samples(model, documents, protocol)), protocol):
            assert estimate.value == pytest.approx(97, rel=1e-6)


def test_perplexity_weighs_tokens_and_released_code_weighs_windows():
    model, protocol = tiny_llama(), PerplexityProtocol((48,), stride=4)
    documents = {"a": document(90), "b": document(200, seed=1), "c": document(49, seed=2)}
    nll = oracle.one_forward(model)
    plain = [window for tokens in documents.values() for window in oracle.windows(nll, tokens.tolist(), 48, 4)]
    (by_token,) = perplexity_estimates(list(perplexity_samples(model, documents, protocol)), protocol)
    assert by_token.value == pytest.approx(oracle.perplexity(plain), rel=1e-5)
    released = replace(protocol, released_code=True)
    (by_window,) = perplexity_estimates(list(perplexity_samples(model, documents, released)), released)
    assert by_window.value == pytest.approx(oracle.released_perplexity(plain), rel=1e-5)
    # The two protocols differ by far more than the tolerance: neither can pass for the other.
    assert abs(math.log(by_token.value / by_window.value)) > 1e-3
    # Bite: a mean over documents, whatever they hold.
    means = [sample.value for sample in perplexity_samples(model, documents, protocol)]
    assert abs(math.exp(np.mean(means)) / by_token.value - 1) > 1e-3


def test_estimates_say_how_they_were_made():
    model, protocol = tiny_llama(), replace(SLIDING, released_code=True, start_token=3, max_tokens=150)
    documents = {name: document(200, seed) for seed, name in enumerate("abc")}
    samples = list(perplexity_samples(model, documents, protocol))
    estimate = perplexity_estimates(samples, protocol, left_out=2)[0]
    assert estimate.measure == "released_code_sliding_perplexity"
    assert (
        estimate.protocol == "windows of 24 tokens moved by 16, each token scored once, start token 3 before each "
        "window, documents cut to 150 tokens, 2 shorter documents left out; as released code averages: mean over "
        "windows, not over tokens (27 windows scored)"
    )
    assert (estimate.unit, estimate.samples, estimate.clusters) == ("per token", 3, 3)
    assert estimate.low < estimate.value < estimate.high
    truncated = list(perplexity_samples(model, documents, TRUNCATE))
    shortest, *_, longest = perplexity_estimates(truncated, TRUNCATE)
    assert (shortest.measure, shortest.length, longest.length) == ("truncate_perplexity", 16, 120)
    assert longest.protocol == "first 120 tokens of each document; mean over tokens (357 tokens scored)"


def test_the_interval_of_a_ratio_is_that_of_drawn_documents():
    """Against a bootstrap written out: draw documents, add up nats and tokens, divide."""
    values, weights = [1.0, 2.0, 4.0], [100.0, 10.0, 1.0]
    interval = bootstrap_weighted_mean(values, weights, ["a", "b", "c"], np.random.default_rng(0), level=0.8)
    rng, means = np.random.default_rng(1), []
    for _ in range(20_000):
        drawn = rng.integers(0, 3, size=3)
        means.append(sum(values[i] * weights[i] for i in drawn) / sum(weights[i] for i in drawn))
    assert interval.value == pytest.approx(124 / 111)
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.1, 0.9]), rel=0.02)
    assert (interval.samples, interval.method) == (3, "bootstrap over 3 documents")


def test_a_document_with_infinite_loss_has_failed_and_is_not_averaged():
    model, protocol = tiny_llama(), PerplexityProtocol((16,))
    model.model.embed_tokens.weight.data[96] = math.nan
    documents = {name: np.minimum(document(32, seed), 95) for seed, name in enumerate("abc")}
    documents["bad"] = np.full(32, 96)
    samples = list(perplexity_samples(model, documents, protocol))
    assert [(s.status, s.value) for s in samples if s.sample == "bad"] == [("failed", None)]
    (estimate,) = perplexity_estimates(samples, protocol)
    assert (estimate.samples, estimate.failed) == (3, 1)
    assert math.isfinite(estimate.value)


def test_one_document_gives_samples_and_no_interval():
    samples = list(perplexity_samples(tiny_llama(), {"a": document(64)}, PerplexityProtocol((16, 32))))
    assert len(samples) == 2
    assert perplexity_estimates(samples, PerplexityProtocol((16, 32))) == ()


def test_progress_counts_documents():
    calls = []
    documents = {"a": document(64), "b": document(64, seed=1)}
    list(perplexity_samples(tiny_llama(), documents, SLIDING_SHORT, progress=lambda *call: calls.append(call)))
    assert calls == [("sliding_nll", 1, 2), ("sliding_nll", 2, 2)]


def test_a_document_is_read_in_slices():
    """A memory map of uint16, as long documents are stored, is never copied as a whole."""
    tokens, sizes = document(5000).astype(np.uint16), []

    class Watched(np.ndarray):
        def __array_finalize__(self, parent):
            sizes.append(self.size)

    watched = tokens.view(Watched)
    sizes.clear()
    model = tiny_llama()
    (score,) = score_document(model, "a", watched, replace(SLIDING_SHORT, stride=16))
    assert score.tokens == 4999
    assert sorted(set(sizes))[-2] <= 16  # the largest is the view of the whole document


def test_documents_shorter_than_the_window_are_named():
    documents = {"short": document(20), "long": document(120)}
    usable, left_out = usable_documents(documents, TRUNCATE)
    assert (list(usable), left_out) == (["long"], ("short",))
    # A start token takes one place of the window.
    assert usable_documents({"a": document(119)}, replace(TRUNCATE, start_token=1))[1] == ()
    with pytest.raises(DataError, match=r"'sliding' needs documents of at least 120 tokens.*the 1 given has 20"):
        usable_documents({"short": document(20)}, SLIDING)


class OffByOne(PerplexityProtocol):
    """A stride that is longer than what each window scores."""

    def step(self, length: int) -> int:
        return super().step(length) + 1


def test_a_plan_that_loses_a_token_is_caught_by_the_count(monkeypatch):
    def losing(protocol, tokens, columns):
        for number, forward in enumerate(plan_forwards(protocol, tokens, columns)):
            span = forward.spans[0]
            yield replace(forward, spans=(replace(span, count=span.count - (number == 1)),))

    monkeypatch.setattr(perplexity, "plan_forwards", losing)
    with pytest.raises(AssertionError, match=r"a: 98 tokens scored at 16; planned 99"):
        score_document(tiny_llama(), "a", document(100), SLIDING_SHORT)


def test_a_stride_off_by_one_is_caught_by_the_window_means():
    """Bite: each token is still scored once, but windows begin one token late."""
    with pytest.raises(AssertionError):
        assert_as_written_out(tiny_llama(), document(100), OffByOne((16,), stride=8))


def test_a_window_that_sees_too_much_is_caught():
    """Bite: windows of one token more score the same tokens, and their sum shows it."""
    model, tokens = tiny_llama(), document(100)
    plain = oracle.windows(oracle.one_forward(model), tokens.tolist(), 16, 8)
    (score,) = score_document(model, "a", tokens, PerplexityProtocol((17,), stride=8))
    assert score.tokens == sum(map(len, plain))
    assert abs(score.nats / score.tokens - math.log(oracle.perplexity(plain))) > 1e-3


def test_messages_say_what_must_hold():
    with pytest.raises(OptionError, match=r"increasing lengths of at least 2 tokens.*got \[16, 16\]"):
        PerplexityProtocol((16, 16))
    with pytest.raises(OptionError, match=r"increasing lengths of at least 2 tokens.*got \[1\]"):
        PerplexityProtocol((1,))
    with pytest.raises(OptionError, match=r"between 1 and the shortest window.*got stride 17 and windows of 16"):
        PerplexityProtocol((16, 32), stride=17)
    with pytest.raises(OptionError, match=r"max_tokens must leave the longest window of 32 tokens; got 31"):
        PerplexityProtocol((16, 32), max_tokens=31)
    with pytest.raises(MeasurementError, match=r"one weight above 0 for each value; got 2 values and 2 weights, 1 of"):
        bootstrap_weighted_mean([1.0, 2.0], [1.0, 0.0], ["a", "b"], np.random.default_rng(0))
    with pytest.raises(MeasurementError, match=r"a bootstrap over documents needs at least 2"):
        bootstrap_weighted_mean([1.0], [1.0], ["a"], np.random.default_rng(0))


def test_the_plan_needs_no_model():
    forwards = list(plan_forwards(PerplexityProtocol((4, 6), stride=2), 10, [0, 1]))
    assert [(f.begin, f.size) for f in forwards] == [(0, 5), (2, 5), (4, 5), (6, 3)]
    assert [[(s.column, s.first, s.count) for s in f.spans] for f in forwards] == [
        [(0, 0, 3), (1, 0, 5)],
        [(0, 1, 2), (1, 3, 2)],
        [(0, 1, 2), (1, 3, 2)],
        [(0, 1, 2)],
    ]
    assert perplexity_protocol.shared_columns(PerplexityProtocol((4, 6), stride=4), static=True) == [[0], [1]]
