"""Checkpoints by name through lm-eval and summaries: what the result says, what a stopped run keeps."""

from __future__ import annotations

import json

import pytest

import ropewalk
from ropewalk.errors import OutputError
from ropewalk.evals.harness.short_suite import ShortTask, compare_short_suites, run_short_suite
from ropewalk.evals.store import read_evaluation
from ropewalk.evals.summarization import SummaryPlan
from ropewalk.run.evaluation import load_checkpoint
from ropewalk.run.harness import evaluate_summaries, evaluate_tasks

TASKS = ["ropewalk_passkey", "ropewalk_passkey_generate"]
OPTIONS = {"lengths": [128, 192], "limit": 2}
WITHOUT_TIME = {"wall_seconds"}


def test_the_result_names_the_model_the_tasks_and_the_protocol(tmp_path):
    result = evaluate_tasks("builtin", TASKS, output=tmp_path / "out", **OPTIONS)
    assert (result.model.name, result.model.method, result.model.trained_length) == ("builtin", "untouched", 256)
    assert result.status == "complete"
    assert {(e.measure, e.length) for e in result.estimates} == {
        (f"lm-eval:{task}/acc", length) for task in TASKS for length in (128, 192)
    }
    read, samples = read_evaluation(tmp_path / "out")
    assert read == result
    assert len(samples) == 6  # two documents, with their log-probabilities once
    assert not (tmp_path / "out.partial").exists()


def test_a_stopped_run_goes_on_with_the_next_task(tmp_path):
    out = tmp_path / "out"

    def stop(task, done, total):
        if task == TASKS[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_tasks("builtin", TASKS, output=out, progress=stop, **OPTIONS)
    measured = []
    result = evaluate_tasks("builtin", TASKS, output=out, progress=lambda task, *_: measured.append(task), **OPTIONS)
    assert set(measured) == {TASKS[1]}
    whole = evaluate_tasks("builtin", TASKS, output=tmp_path / "other", **OPTIONS)
    assert result.model_dump(exclude=WITHOUT_TIME) == whole.model_dump(exclude=WITHOUT_TIME)
    assert (out / "samples.jsonl").read_text() == (tmp_path / "other" / "samples.jsonl").read_text()


@pytest.mark.parametrize("spoil", ["conditions", "half a file"])
def test_what_was_kept_under_other_conditions_or_half_is_measured_again(tmp_path, spoil):
    out = tmp_path / "out"

    def stop(task, done, total):
        if task == TASKS[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_tasks("builtin", TASKS, output=out, progress=stop, **OPTIONS)
    seed = 0
    if spoil == "conditions":
        seed = 1
    else:
        (kept,) = (tmp_path / "out.partial").iterdir()
        kept.write_text(kept.read_text()[: kept.stat().st_size // 2])
    measured = []
    evaluate_tasks("builtin", TASKS[:1], output=out, seed=seed, progress=lambda *e: measured.append(e), **OPTIONS)
    assert measured


def test_an_earlier_result_is_refused_before_any_work_and_kept(tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(OutputError, match="an earlier result must not be lost"):
        evaluate_tasks("builtin", TASKS, output=tmp_path)
    with pytest.raises(OutputError, match="an earlier result must not be lost"):
        evaluate_summaries("builtin", "none.jsonl", output=tmp_path)
    assert (tmp_path / "result.json").read_text() == "{}"


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="an evaluation must be written to a folder"):
        evaluate_tasks("builtin", TASKS[:1], output=tmp_path / "file" / "out", **OPTIONS)


def test_summaries_of_a_checkpoint_are_scored_and_kept(tmp_path):
    documents = [{"report": f"def f{i}(): return {i}\n" * 20, "summary": f"A function of {i}."} for i in range(2)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    plan = SummaryPlan(length=128, new_tokens=8)
    result = evaluate_summaries("builtin", data, plan, output=tmp_path / "out")
    assert [e.measure for e in result.estimates] == ["rouge1", "rouge2", "rougeL"]
    assert result.status == "complete"
    lines = [json.loads(line) for line in (tmp_path / "out" / "summaries.jsonl").read_text().splitlines()]
    assert [line["sample"].split("@")[0] for line in lines] == ["line-1", "line-2"]
    assert read_evaluation(tmp_path / "out")[0] == result


def test_a_small_window_is_shared_between_document_and_summary(tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"report": "word " * 2000, "summary": "words"}) + "\n")
    result = evaluate_summaries("builtin", data, seed=3, output=tmp_path / "out")
    assert result.seed == 3
    assert result.estimates == ()  # one document has no interval
    _, samples = read_evaluation(tmp_path / "out")
    assert samples[0].length == 256
    assert int(samples[0].detail.split("wrote ")[1]) <= 64


def test_an_extension_that_ruins_short_text_fails_the_check_on_tasks(tmp_path):
    """The task is to go on with what stands before: the untouched model can, untrained interpolation cannot."""
    folder = ropewalk.extend("builtin", "linear", 2048, output=tmp_path / "long")
    suite = (ShortTask("ropewalk_passkey", "acc", 0),)
    before, after = (
        run_short_suite(
            model.model, model.tokenizer, max_length=256, suite=suite, limit=20, settings={"lengths": [192]}
        )
        for model in (load_checkpoint("builtin"), load_checkpoint(folder))
    )
    check = compare_short_suites(before, after, reference="original")
    assert (check.verdict, check.subject, check.reference) == ("FAIL", "tasks", "original")
    assert check.change.value > 50
    assert check.change.low > 1
    assert check.reason.startswith("worse by at least")
