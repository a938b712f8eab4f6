"""lm-eval's tasks on our models: its numbers bit for bit, without needless logits, and nothing in silence."""

from __future__ import annotations

import json
import logging
import sys

import numpy as np
import pytest
import torch
from evals_models import character_tokenizer, tiny_llama
from harness_files import choice_documents, write_group, write_task
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizerFast

from ropewalk.errors import DataError, MeasurementError, ModelError, OptionError, UnknownNameError
from ropewalk.evals.harness import library
from ropewalk.evals.harness.evaluation import run_harness
from ropewalk.evals.harness.model import LeanHarnessModel

GENERATING = {
    "output_type": "generate_until",
    "doc_to_target": "{{choices[label]}}",
    "doc_to_choice": None,
    "generation_kwargs": {"until": [";"], "max_gen_toks": 5},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
}
ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{query}}",
    "doc_to_choice": None,
    "metric_list": [{"metric": "word_perplexity", "aggregation": "weighted_perplexity"}],
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder with one task of each kind."""
    folder = tmp_path_factory.mktemp("tasks")
    write_task(folder, "first", choice_documents(0, 8))
    write_task(folder, "second", choice_documents(1, 5, choices=2))
    write_task(folder, "shown", choice_documents(2, 4), fewshot_split="validation", num_fewshot=2)
    write_task(folder, "bare", choice_documents(2, 4), num_fewshot=0)
    write_task(folder, "written", choice_documents(3, 4), **GENERATING)
    write_task(folder, "rolling", choice_documents(4, 3), **ROLLING)
    write_group(folder, "both", ["first", "second"])
    return folder


@pytest.fixture(scope="module")
def model():
    return tiny_llama(max_position_embeddings=256)


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer()


def measured(model, tokenizer, folder, names, **options):
    return run_harness(model, tokenizer, names, include=[folder], **options)


def answers(model_class, tokenizer, folder, name, **options):
    """What a model class of lm-eval answers to the requests of a task."""
    loaded = library.load_task(library.task_manager([name], [folder], {}), name)
    for task in loaded["tasks"].values():
        task.set_config(key="num_fewshot", value=task.get_config("num_fewshot") or 0)
        task.set_fewshot_seed(seed=0)
    return [row["resps"] for row in evaluate(model_class, loaded, bootstrap_iters=0)["samples"][name]]


@pytest.mark.parametrize("name", ["first", "shown", "written", "rolling"])
def test_every_answer_is_that_of_the_plain_model_class_bit_for_bit(model, tokenizer, tasks, name):
    plain = HFLM(pretrained=model, tokenizer=tokenizer, max_length=256, softmax_dtype="float32")
    lean = LeanHarnessModel(model, tokenizer, max_length=256)
    assert answers(lean, tokenizer, tasks, name) == answers(plain, tokenizer, tasks, name)


def test_rows_together_are_answered_as_by_the_plain_model_class(model, tokenizer, tasks):
    plain = HFLM(pretrained=model, tokenizer=tokenizer, max_length=256, softmax_dtype="float32", batch_size=3)
    lean = LeanHarnessModel(model, tokenizer, max_length=256, batch_size=3)
    assert answers(lean, tokenizer, tasks, "first") == answers(plain, tokenizer, tasks, "first")


@pytest.mark.parametrize("model_class", ["lean", "plain"])
def test_only_logits_of_answers_are_computed(model, tokenizer, tasks, model_class):
    """And the measure bites: the plain class computes them for the whole prompt."""
    lm = {
        "lean": lambda: LeanHarnessModel(model, tokenizer, max_length=256),
        "plain": lambda: HFLM(pretrained=model, tokenizer=tokenizer, max_length=256),
    }[model_class]()
    rows = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[1]))
    try:
        answers(lm, tokenizer, tasks, "shown")
    finally:
        handle.remove()
    longest_answer = 7  # a blank and up to six letters
    assert (max(rows) <= longest_answer) == (model_class == "lean")


def test_the_score_is_lm_eval_s_own(model, tokenizer, tasks):
    (run,) = measured(model, tokenizer, tasks, ["first"])
    plain = HFLM(pretrained=model, tokenizer=tokenizer, max_length=256, softmax_dtype="float32")
    loaded = library.load_task(library.task_manager(["first"], [tasks], {}), "first")
    loaded["tasks"]["first"].set_config(key="num_fewshot", value=0)
    outcome = evaluate(plain, loaded, bootstrap_iters=0)["results"]["first"]
    for estimate in run.estimates:
        metric = estimate.measure.removeprefix("lm-eval:first/")
        assert estimate.value == outcome[f"{metric},none"]
        assert (estimate.samples, estimate.failed, estimate.interval) == (8, 0, "Wilson")
    assert {estimate.measure for estimate in run.estimates} == {"lm-eval:first/acc", "lm-eval:first/acc_norm"}
    assert run.estimates[0].protocol.startswith("lm-eval 0.")
    assert run.estimates[0].protocol.endswith("first, 0 shots")


def test_two_models_pair_up_document_by_document(model, tokenizer, tasks):
    (one,) = measured(model, tokenizer, tasks, ["first"])
    (other,) = measured(tiny_llama(seed=1), tokenizer, tasks, ["first"])
    assert [s.sample for s in one.samples] == [s.sample for s in other.samples]
    assert one.data == other.data
    assert len({s.sample for s in one.of("acc")}) == 8


def test_other_examples_are_other_data(model, tokenizer, tasks):
    few, more = (measured(model, tokenizer, tasks, ["shown"], shots=n)[0] for n in (1, 3))
    assert few.data != more.data
    assert not {s.sample for s in few.samples} & {s.sample for s in more.samples}


@pytest.mark.parametrize(
    ("name", "shots", "used"), [("shown", None, 2), ("shown", 1, 1), ("bare", 3, 0), ("first", None, 0)]
)
def test_the_number_of_examples_is_that_of_lm_eval_and_is_said(model, tokenizer, tasks, name, shots, used):
    (run,) = measured(model, tokenizer, tasks, [name], shots=shots, limit=2)
    assert run.shots == {name: used}
    assert f"{name}, {used} shots, first 2 documents" in run.estimates[0].protocol


def test_a_group_gives_the_samples_of_all_its_tasks(model, tokenizer, tasks):
    (run,) = measured(model, tokenizer, tasks, ["both"])
    assert len(run.of("acc")) == 13
    assert {e.measure for e in run.estimates if e.measure.endswith("/acc")} == {
        "lm-eval:first/acc",
        "lm-eval:second/acc",
    }


def test_a_metric_that_is_no_mean_is_left_out_by_name(model, tokenizer, tasks):
    (run,) = measured(model, tokenizer, tasks, ["rolling"])
    assert run.left_out == ("rolling/word_perplexity",)
    assert run.samples == ()
    assert run.estimates == ()


def test_prompts_that_are_cut_are_counted(model, tokenizer, tasks):
    (whole,) = measured(model, tokenizer, tasks, ["first"])
    (cut,) = measured(model, tokenizer, tasks, ["first"], max_length=16)
    assert "cut" not in whole.estimates[0].protocol
    assert ", 24 prompts of the run cut on the left to 16 tokens" in cut.estimates[0].protocol
    (written,) = measured(model, tokenizer, tasks, ["written"], max_length=16)
    assert ", 4 prompts of the run cut on the left to 16 tokens" in written.estimates[0].protocol


@pytest.mark.parametrize("name", ["first", "written"])
def test_an_answer_has_room_in_the_window(model, tokenizer, tasks, name):
    with pytest.raises(OptionError, match=f"answers of '{name}' and what they answer"):
        measured(model, tokenizer, tasks, [name], max_length=5)


@pytest.mark.parametrize("name", ["first", "written"])
def test_a_model_without_finite_logits_fails_every_sample(tokenizer, tasks, name):
    broken = tiny_llama(max_position_embeddings=256)
    with torch.no_grad():
        broken.lm_head.weight[5] = torch.nan
    with np.errstate(invalid="ignore"):
        (run,) = measured(broken, tokenizer, tasks, [name])
    assert run.samples
    assert all(s.status == "failed" and s.value is None for s in run.samples)
    assert run.estimates == ()


def test_one_broken_document_does_not_spoil_the_others(tokenizer, tmp_path):
    documents = choice_documents(3, 5)
    documents[2]["query"] = "Q" + documents[2]["query"]
    write_task(tmp_path, "written", documents, **GENERATING)
    write_task(tmp_path, "chosen", documents)
    broken = tiny_llama(max_position_embeddings=256)
    with torch.no_grad():
        broken.model.embed_tokens.weight[tokenizer.encode("Q")[0]] = torch.nan
    for name in ("written", "chosen"):
        with np.errstate(invalid="ignore"):
            (run,) = measured(broken, tokenizer, tmp_path, [name])
        metric = run.samples[0].measure.rpartition("/")[2]
        assert [s.status for s in run.of(metric)] == ["ok", "ok", "failed", "ok", "ok"]
        assert {(e.samples, e.failed) for e in run.estimates} == {(4, 1)}


def test_a_rope_that_grows_is_settled_before_each_answer(tokenizer, tasks):
    """Each answer of a `dynamic` rope is that of a model which has seen nothing else."""
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0, "original_max_position_embeddings": 16}
    grown = tiny_llama(rope_parameters=rope, max_position_embeddings=16)
    lean = LeanHarnessModel(grown, tokenizer, max_length=256)
    long, short = ("", [5] * 40, [6, 7]), ("", [5] * 10, [6, 7])
    together = lean._loglikelihood_tokens([long, short])
    fresh = [
        LeanHarnessModel(
            tiny_llama(rope_parameters=rope, max_position_embeddings=16), tokenizer, max_length=256
        )._loglikelihood_tokens([request])[0]
        for request in (long, short)
    ]
    assert together == fresh


def test_the_tokenizer_and_the_model_stay_as_they_are(tasks):
    tokenizer = character_tokenizer()
    model = tiny_llama(max_position_embeddings=256).train()
    measured(model, tokenizer, tasks, ["second"], limit=1)
    assert tokenizer.pad_token is None
    assert tokenizer.model_max_length > 10**20
    assert model.training


def test_progress_counts_answers(model, tokenizer, tasks):
    seen = []
    measured(model, tokenizer, tasks, ["first"], limit=3, progress=lambda *event: seen.append(event))
    assert [done for _, done, _ in seen] == list(range(1, 10))
    assert {(name, total) for name, _, total in seen} == {("first", 9)}, "three documents with three choices each"


def test_lm_eval_keeps_quiet(model, tokenizer, tasks, capfd):
    before = logging.getLogger("lm_eval").level
    measured(model, tokenizer, tasks, ["first", "written"], max_length=16)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lm_eval").level == before


def test_an_unknown_task_is_answered_with_its_neighbours(tasks):
    manager = library.task_manager(["first"], [tasks], {})
    with pytest.raises(UnknownNameError, match=r"no task of lm-eval 0\.\S+ is called 'frist'; did you mean 'first'\?"):
        library.load_task(manager, "frist")


def test_documents_that_cannot_be_read_are_a_data_error(tmp_path):
    write_task(tmp_path, "lost", choice_documents(0, 2))
    (tmp_path / "lost.jsonl").unlink()
    manager = library.task_manager(["lost"], [tmp_path], {})
    with pytest.raises(DataError, match="'lost' of lm-eval must be able to read its documents"):
        library.load_task(manager, "lost")


def test_our_own_refusals_pass_through():
    manager = library.task_manager(["ropewalk_passkey"], [], {"tokenizer": character_tokenizer()})
    with pytest.raises(OptionError, match="there is no 'lengths'"):
        library.load_task(manager, "ropewalk_passkey")


def test_a_folder_of_tasks_must_exist(tmp_path):
    with pytest.raises(DataError, match="a folder of task files must exist"):
        library.task_manager(["first"], [tmp_path / "nowhere"], {})


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(OptionError, match=r"pip install 'ropewalk\[harness\]'"):
        library.require_harness()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit must be at least 1; got 0"),
        ({"shots": -1}, "shots must be at least 0; got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"max_length": 0}, "max_length must be at least 1; got 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(model, tokenizer, tasks, options, message):
    with pytest.raises(OptionError, match=message):
        measured(model, tokenizer, tasks, ["first"], **options)


def test_at_least_one_task_is_named(model, tokenizer):
    with pytest.raises(OptionError, match="at least one task of lm-eval must be named"):
        run_harness(model, tokenizer, [])


def test_a_tokenizer_without_a_beginning_or_an_end_is_refused(model, tokenizer, tasks):
    endless = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(ModelError, match="a token that begins or ends a text"):
        measured(model, endless, tasks, ["first"])


def test_memory_that_does_not_suffice_is_a_measurement_error(tokenizer, tasks):
    full = tiny_llama(max_position_embeddings=256)

    def out_of_memory(*arguments, **options):
        raise torch.OutOfMemoryError

    full.model.register_forward_pre_hook(out_of_memory)
    for name in ("first", "written"):
        with pytest.raises(MeasurementError, match=f"must hold one batch of '{name}'"):
            measured(full, tokenizer, tasks, [name])


def test_a_run_survives_being_written_and_read(model, tokenizer, tasks):
    (run,) = measured(model, tokenizer, tasks, ["first"], limit=2)
    assert type(run).model_validate(json.loads(run.model_dump_json())) == run
