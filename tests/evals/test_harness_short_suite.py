"""The short-context suite: pairing, the macro-average, and a verdict that errs in at most 5 % of cases."""

from __future__ import annotations

import copy
from pathlib import Path

import lm_eval
import numpy as np
import pytest
import torch
from evals_models import character_tokenizer, tiny_llama
from harness_files import choice_documents, write_group, write_task, write_truthful_task
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from ropewalk.errors import MeasurementError, OptionError
from ropewalk.evals.harness.evaluation import run_harness
from ropewalk.evals.harness.short_suite import (
    SHORT_SUITE,
    ShortSuiteRun,
    ShortTask,
    bootstrap_macro_average,
    compare_short_suites,
    run_short_suite,
)
from ropewalk.result import SampleResult

SUITE = (
    ShortTask("normed", "acc_norm", 2),
    ShortTask("subjects", "acc", 1),
    ShortTask("truthful", "acc", 0),
)


@pytest.fixture(scope="module")
def tokenizer():
    return character_tokenizer()


@pytest.fixture(scope="module")
def good():
    return tiny_llama(max_position_embeddings=256)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, good, tokenizer):
    """Tasks in the shapes of the public ones: normed accuracy with examples, a group of subjects, mc2."""
    folder = tmp_path_factory.mktemp("tasks")
    shown = {"fewshot_split": "validation"}
    write_task(folder, "normed", choice_documents(0, 40), **shown)
    for subject, seed in (("algebra", 1), ("botany", 2)):
        write_task(folder, subject, choice_documents(seed, 12 * seed, choices=4), **shown)
    write_group(folder, "subjects", ["algebra", "botany"])
    write_truthful_task(folder, "truthful", choice_documents(4, 20))
    return folder


def ran(model, tokenizer, tasks, **options):
    return run_short_suite(model, tokenizer, max_length=256, suite=SUITE, include=[tasks], **options)


def made(values: dict[str, list[float]], *, data=("d",), failed=()) -> ShortSuiteRun:
    """A run with these scores; documents whose number is in `failed` have none."""
    samples = {
        name: tuple(
            SampleResult(
                measure=f"lm-eval:{name}/acc",
                sample=f"{name}#{i}",
                cluster=f"{name}#{i}",
                length=64,
                status="failed" if i in failed else "ok",
                value=None if i in failed else score,
            )
            for i, score in enumerate(scores)
        )
        for name, scores in values.items()
    }
    return ShortSuiteRun(samples, dict.fromkeys(values, 0), tuple(data), 64)


def test_the_suite_runs_each_task_with_its_metric_and_shots(good, tokenizer, tasks):
    run = ran(good, tokenizer, tasks)
    assert run.shots == {"normed": 2, "subjects": 1, "truthful": 0}
    assert {name: len(samples) for name, samples in run.samples.items()} == {
        "normed": 40,
        "subjects": 36,
        "truthful": 20,
    }
    assert {s.measure for s in run.samples["normed"]} == {"lm-eval:normed/acc_norm"}
    alone, *_ = run_harness(good, tokenizer, ["normed"], include=[tasks], shots=2, max_length=256)
    assert list(run.samples["normed"]) == alone.of("acc_norm")
    assert all(0 < s.value < 1 for s in run.samples["truthful"])


def test_a_model_against_itself_falls_by_nothing(good, tokenizer, tasks):
    run = ran(good, tokenizer, tasks, limit=4)
    check = compare_short_suites(run, run)
    assert (check.subject, check.reference, check.change.value) == ("tasks", "original", 0.0)
    assert check.change.low < 0 < check.change.high
    assert [detail.value for detail in check.details] == [0.0] * 3


def test_a_broken_head_is_seen_in_the_fall(good, tokenizer, tasks):
    other = copy.deepcopy(good)
    with torch.no_grad():
        other.lm_head.weight.mul_(-1)
    before, after = (ran(model, tokenizer, tasks) for model in (good, other))
    check = compare_short_suites(before, after)
    expected = [
        100 * (np.mean([s.value for s in before.samples[t.name]]) - np.mean([s.value for s in after.samples[t.name]]))
        for t in SUITE
    ]
    assert [detail.value for detail in check.details] == pytest.approx(expected)
    assert check.change.value == pytest.approx(np.mean(expected))
    assert len(check.data) == 16
    assert check.data != compare_short_suites(*[ran(good, tokenizer, tasks, limit=1)] * 2).data
    assert check.change.unit == "points of accuracy"
    assert "shots: normed 2, subjects 1, truthful 0" in check.change.protocol


def test_every_task_weighs_the_same_however_many_documents_it_has():
    before = made({"small": [1.0] * 50, "large": [1.0] * 950})
    after = made({"small": [0.0] * 50, "large": [1.0] * 950})
    assert compare_short_suites(before, after).change.value == pytest.approx(50)


@pytest.mark.parametrize(("lost", "verdict"), [(0, "PASS"), (3, "PASS"), (40, "FAIL"), (100, "FAIL")])
def test_a_fall_of_more_than_a_point_fails(lost, verdict):
    before = made({"one": [1.0] * 2000, "two": [1.0] * 2000})
    after = made({"one": [0.0] * lost + [1.0] * (2000 - lost), "two": [1.0] * 2000})
    check = compare_short_suites(before, after)
    assert check.verdict == verdict
    assert check.change.value == pytest.approx(lost / 40)


def test_ten_documents_that_agree_prove_nothing():
    """The plain bootstrap has no width where all documents agree, and would pass anything."""
    run = made({"one": [1.0, 0.0] * 5, "two": [1.0] * 10})
    check = compare_short_suites(run, run)
    assert check.verdict == "FAIL"
    assert "not shown to be within the margin of 1.0 points of accuracy" in check.reason
    assert check.reason.endswith("(more documents would decide)")
    plain = [np.zeros(10)[np.random.default_rng(0).integers(10, size=10)].mean() for _ in range(100)]
    assert max(plain) == 0, "the plain bootstrap would say: at most 0 points"


def plain_bootstrap(tasks, rng, draws):
    """Documents one by one, from pools that hold two more."""
    means = []
    for _ in range(draws):
        total = 0.0
        for changes in tasks:
            pool = np.append(changes, [-100.0, 100.0])
            total += rng.choice(pool, size=len(pool)).mean() - pool.mean() + changes.mean()
        means.append(total / len(tasks))
    return np.array(means)


@pytest.mark.parametrize("wrong", [False, True])
def test_draws_are_those_of_a_bootstrap_document_by_document(wrong):
    rng = np.random.default_rng(1)
    tasks = [rng.choice([-100.0, 0.0, 100.0], size=60, p=[0.1, 0.7, 0.2]), rng.normal(5, 20, size=200)]
    drawn = bootstrap_macro_average(tasks, np.random.default_rng(2), draws=20_000)
    if wrong:  # as if all documents were of one task
        drawn = bootstrap_macro_average([np.concatenate(tasks)], np.random.default_rng(2), draws=20_000)
    slow = plain_bootstrap(tasks, np.random.default_rng(3), 4000)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    close = np.allclose(np.quantile(drawn, levels), np.quantile(slow, levels), atol=0.2)
    assert close != wrong


@pytest.mark.parametrize("discordant", [0.03, 0.10])
def test_a_true_fall_of_the_whole_margin_passes_in_at_most_six_percent(discordant):
    """Worst case: the macro-average is worse by exactly one point, and answers change in both directions."""
    rng = np.random.default_rng(7)
    sizes, cases = (300, 500, 1000), 600
    worse = (discordant + 0.01) / 2
    passed = 0
    for _ in range(cases):
        tasks = [
            rng.choice([100.0, -100.0, 0.0], size=size, p=[worse, discordant - worse, 1 - discordant]) for size in sizes
        ]
        drawn = bootstrap_macro_average(tasks, rng, draws=1000)
        passed += float(np.quantile(drawn, 0.95)) <= 1.0
    assert passed / cases <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / cases)


def test_documents_that_fail_in_either_model_count_as_failed():
    before = made({"one": [1.0] * 500}, failed={0})
    after = made({"one": [1.0] * 500}, failed={1})
    check = compare_short_suites(before, after)
    assert (check.change.samples, check.change.failed) == (498, 2)
    spoiled = compare_short_suites(before, made({"one": [1.0] * 500}, failed=set(range(6))))
    assert spoiled.verdict == "FAIL"
    assert spoiled.reason == "6 of 500 documents gave no finite number"


def test_a_task_that_nobody_answered_is_refused():
    before, after = made({"one": [1.0] * 4}), made({"one": [1.0] * 4}, failed=set(range(4)))
    with pytest.raises(MeasurementError, match="on 'one' needs a document that both answered; all 4 failed"):
        compare_short_suites(before, after)


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (made({"one": [1.0]}, data=("other",)), "one"),
        (made({"one": [1.0], "two": [1.0]}, data=("d", "d")), "two"),
    ],
)
def test_models_that_read_other_prompts_do_not_compare(after, named):
    with pytest.raises(MeasurementError, match=f"theirs differ for {named}"):
        compare_short_suites(made({"one": [1.0]}), after)


def test_a_metric_that_a_task_does_not_give_is_refused(good, tokenizer, tasks):
    suite = (ShortTask("truthful", "acc_norm", 0),)
    with pytest.raises(OptionError, match="'acc_norm' of 'truthful', which that task does not give; it gives acc"):
        run_short_suite(good, tokenizer, max_length=256, suite=suite, include=[tasks], limit=2)


def test_the_public_tasks_exist_in_lm_eval_with_their_metrics():
    """Names and metrics are checked against lm-eval's own files; their documents are not downloaded here."""
    root = Path(lm_eval.__file__).parent / "tasks"
    folders = ("super_glue", "piqa", "winogrande", "arc", "hellaswag", "mmlu", "truthfulqa", "race")
    index = TaskManager(include_path=[str(root / f) for f in folders], include_defaults=False).task_index
    for task in SHORT_SUITE:
        entry = index[task.name]
        config = load_yaml(entry.yaml_path, resolve_func=False)
        metrics = config.get("metric_list") or config["aggregate_metric_list"]
        assert task.metric in {metric["metric"] for metric in metrics}
        if task.shots:
            assert config.get("num_fewshot") is None, "a task that fixes its number of examples would keep it"
