"""A whole evaluation of tiny models: what is recorded, what is counted, what is refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from evals_models import character_tokenizer, prose, tiny_llama

from ropewalk.errors import MeasurementError, OutputError
from ropewalk.evals import nll, stages, store, tasks
from ropewalk.evals.compare import compare
from ropewalk.evals.estimates import status_of
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.suite import evaluate_model

PLAN = EvaluationPlan(
    lengths=(300, 600),
    scored=64,
    windows_per_document=2,
    repeats_per_document=1,
    streams=2,
    depths=(0.0, 1.0),
    trials=1,
    contexts=2,
    keys=4,
)
DOCUMENTS = {f"document {i}": prose(i, 200) for i in range(3)}


@pytest.fixture
def tokenizer():
    return character_tokenizer()


@pytest.fixture
def evaluate(tokenizer):
    def run(plan=PLAN, documents=DOCUMENTS, *, seed=0, model=None, **options):
        model = model or tiny_llama(seed=seed, max_position_embeddings=300)
        return evaluate_model(model, tokenizer, plan, documents, name="tiny", method="untouched", **options)

    return run


def test_an_evaluation_measures_all_that_the_plan_asks_for(evaluate, tokenizer):
    result, samples = evaluate()
    sizes = {(s.measure, s.length): 0 for s in samples}
    for sample in samples:
        sizes[sample.measure, sample.length] += 1
    assert sizes == {
        **{("paired_nll", n): 6 for n in (300, 600)},
        **{("repeated_nll", n): 3 for n in (300, 600)},
        **{("stream_nll", n): 2 for n in (300, 600)},
        **{("passkey", n): 2 for n in (300, 600)},
        **{("key_value", n): 8 for n in (300, 600)},
    }
    assert result.status == "complete"
    assert result.lengths == (300, 600)
    assert (result.model.trained_length, result.model.target_length) == (300, 300)
    assert result.data == tasks.text_data(DOCUMENTS, tasks.encoder(tokenizer), longest=600).fingerprint
    for estimate in result.estimates:
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.protocol
        assert estimate.unit
    assert {e.depth for e in result.estimates if e.measure == "passkey_accuracy"} == {None, 0.0, 1.0}


def test_perplexity_and_gain_are_those_of_plain_losses(evaluate, tokenizer):
    result, _ = evaluate()
    model = tiny_llama(max_position_embeddings=300)
    data = tasks.text_data(DOCUMENTS, tasks.encoder(tokenizer), longest=600)
    losses = {}
    for length in PLAN.lengths:
        rows = torch.as_tensor(np.stack([w.tokens[-length:] for w in tasks.text_windows(data, PLAN)]))
        labels = rows.clone()
        labels[:, : -PLAN.scored] = -100
        with torch.no_grad():
            losses[length] = float(model(rows, labels=labels).loss)
        assert result.find("perplexity", length).value == pytest.approx(math.exp(losses[length]), rel=1e-4)
    gain = result.find("context_gain", 600, baseline=300)
    assert gain.value == pytest.approx(losses[300] - losses[600], abs=1e-4)
    assert (gain.samples, gain.clusters, gain.interval) == (6, 3, "bootstrap over 3 documents")


def test_a_plan_may_read_some_of_the_documents_which_its_seed_chooses(evaluate):
    documents = {f"document {i}": prose(i, 200) for i in range(6)}
    plan = dataclasses.replace(PLAN, tasks=("paired",))
    whole, everything = evaluate(plan, documents)
    part, samples = evaluate(dataclasses.replace(plan, documents=2), documents)
    again, same = evaluate(dataclasses.replace(plan, documents=2), documents)
    assert len({s.cluster for s in samples}) == 2
    assert {s.sample for s in samples} < {s.sample for s in everything}
    assert [s.sample for s in samples] == [s.sample for s in same]
    assert part.data == again.data != whole.data, "other documents are other data"
    other = {evaluate(dataclasses.replace(plan, documents=2, seed=seed), documents)[0].data for seed in range(3)}
    assert len(other) == 3
    assert evaluate(dataclasses.replace(plan, documents=9), documents)[0].data == whole.data


def test_an_evaluation_repeats_and_does_not_depend_on_batches(evaluate):
    first, samples = evaluate()
    second, again = evaluate(dataclasses.replace(PLAN, batch_tokens=1))
    for one, other in zip(samples, again, strict=True):
        assert one.model_dump(exclude={"value"}) == other.model_dump(exclude={"value"})
        assert one.value == pytest.approx(other.value, abs=1e-5)
    assert [e.measure for e in first.estimates] == [e.measure for e in second.estimates]


def test_the_model_is_left_as_it_was(evaluate):
    model = tiny_llama(attention_dropout=0.5).train()
    first, _ = evaluate(model=model)
    assert model.training
    assert first.find("perplexity", 600).value == evaluate(model=model)[0].find("perplexity", 600).value


def test_progress_counts_every_sample_to_the_end(evaluate):
    seen = {}
    evaluate(progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total)))
    assert list(seen) == ["paired_nll", "repeated_nll", "stream_nll", "passkey", "key_value"]
    for steps in seen.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


def test_synthetic_tasks_need_no_text(evaluate):
    result, _ = evaluate(dataclasses.replace(PLAN, tasks=("streams", "passkey")), {})
    assert result.data == "none"
    assert {e.measure for e in result.estimates} == {"stream_gain", "passkey_accuracy"}


def test_one_text_is_resampled_by_windows_and_says_so(evaluate):
    plan = dataclasses.replace(PLAN, tasks=("paired",))
    result, _ = evaluate(plan, {"only": prose(0, 300)})
    assert result.find("perplexity", 600).interval == "bootstrap over 2 windows of one of the documents"


def test_short_documents_left_out_are_counted_in_the_protocol(evaluate):
    result, _ = evaluate(dataclasses.replace(PLAN, tasks=("paired",)), {**DOCUMENTS, "tiny": "too short"})
    assert result.find("perplexity", 300).protocol.endswith(", 1 shorter documents left out")


def test_failed_samples_are_counted_and_never_zero(evaluate):
    model = tiny_llama()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    result, samples = evaluate(model=model)
    assert result.status == "incomplete"
    assert result.estimates == ()
    assert {(s.status, s.value) for s in samples} == {("failed", None)}


def test_more_than_one_failure_in_a_hundred_is_incomplete(evaluate):
    _, samples = evaluate()
    broken = samples[0].model_copy(update={"status": "failed", "value": None})
    assert status_of([broken, *samples[1:2] * 99]) == "complete"
    assert status_of([broken, *samples[1:2] * 98]) == "incomplete"
    assert status_of([]) == "incomplete"


def test_a_failed_sample_leaves_its_pair_out_and_is_counted(evaluate, monkeypatch):
    paired = nll.paired_nll

    def broken(model, windows, length, *, scored):
        losses = paired(model, windows, length, scored=scored)
        if length == 300:
            losses[0, 0] = math.nan
        return losses

    monkeypatch.setattr(stages.nll, "paired_nll", broken)
    result, _ = evaluate(dataclasses.replace(PLAN, tasks=("paired",)))
    gain = result.find("context_gain", 600)
    assert (gain.samples, gain.failed) == (5, 1)
    assert (result.find("perplexity", 600).failed, result.find("perplexity", 300).failed) == (0, 1)
    assert "n = 5 of 6" in str(gain)


def test_memory_that_does_not_hold_a_batch_is_said_plainly(evaluate, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(stages.nll, "paired_nll", full)
    with pytest.raises(MeasurementError, match=r"one batch of 'paired_nll' at 300 tokens.*Lower batch_tokens"):
        evaluate()


def test_a_comparison_pairs_the_same_samples(evaluate):
    before, after = evaluate(), evaluate(seed=1)
    difference = compare(before, after)
    old = [s.value for s in before[1] if (s.measure, s.length) == ("paired_nll", 300)]
    new = [s.value for s in after[1] if (s.measure, s.length) == ("paired_nll", 300)]
    change = difference.find("paired_nll_change", 300)
    assert change.value == pytest.approx(np.mean(new) - np.mean(old))
    assert (change.samples, change.clusters, change.unit) == (6, 3, "nats/token")
    assert difference.find("key_value_change", 600).interval == "Newcombe"
    backwards = compare(after, before).find("paired_nll_change", 300)
    assert (backwards.low, backwards.high) == pytest.approx((-change.high, -change.low), abs=0.05)


def test_a_comparison_with_itself_changes_nothing(evaluate):
    before = evaluate()
    assert {e.value for e in compare(before, before).estimates} == {0.0}


def test_a_comparison_counts_what_failed_on_either_side(evaluate):
    result, samples = evaluate()
    broken = [samples[0].model_copy(update={"status": "failed", "value": None}), *samples[1:]]
    change = compare((result, samples), (result, broken)).find("paired_nll_change", 300)
    assert (change.samples, change.failed) == (5, 1)


@pytest.mark.parametrize(
    ("plan", "documents", "words"),
    [
        (PLAN, {**DOCUMENTS, "more": prose(9, 200)}, r"their 'data' differs"),
        (dataclasses.replace(PLAN, seed=5), DOCUMENTS, r"their 'seed' differs: 0 and 5"),
        (dataclasses.replace(PLAN, scored=32), DOCUMENTS, r"the same protocol.*'perplexity' at 300 tokens"),
    ],
)
def test_comparisons_of_different_samples_are_refused(evaluate, plan, documents, words):
    with pytest.raises(MeasurementError, match=words):
        compare(evaluate(), evaluate(plan, documents))


def test_an_evaluation_on_disk_reads_back_the_same(evaluate, tmp_path):
    result, samples = evaluate()
    written = store.write_evaluation(tmp_path / "new" / "folder", result, samples)
    assert store.read_evaluation(tmp_path / "new" / "folder") == (written, samples)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["result.json", "samples.jsonl"]
    lines = (tmp_path / "new" / "folder" / "samples.jsonl").read_text().splitlines()
    assert len(lines) == len(samples)
    assert json.loads(lines[0])["measure"] == "paired_nll"


def test_a_full_disk_leaves_the_old_result_and_no_half_file(evaluate, tmp_path, monkeypatch):
    result, samples = evaluate()
    store.write_evaluation(tmp_path, result, samples)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_bytes

    def full(path, content):
        write(path, content[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device"):
        store.write_evaluation(tmp_path, result, samples[:1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_places_that_hold_no_evaluation_are_refused(evaluate, tmp_path):
    result, samples = evaluate()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"must be written to a folder.*cannot be written.*Give another folder"):
        store.write_evaluation(tmp_path / "file" / "below", result, samples)
    with pytest.raises(MeasurementError, match=r"must hold result.json and samples.jsonl.*FileNotFoundError"):
        store.read_evaluation(tmp_path)
    (tmp_path / "result.json").write_text('{"format_version": 1}')
    with pytest.raises(MeasurementError, match=r"ValidationError"):
        store.read_evaluation(tmp_path)
