"""Tasks of lm-eval as samples and estimates: the same scores, each document a sample that can be paired."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import OptionError
from ropewalk.evals.batches import sample as sample_of
from ropewalk.evals.estimates import estimate_of, values_of
from ropewalk.evals.harness import library
from ropewalk.evals.harness.documents import GENERATE, PREFIX, room
from ropewalk.result import Estimate, Record, SampleResult
from ropewalk.statistics import bootstrap_mean, clustered_proportion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ropewalk.evals.harness.model import LeanHarnessModel

    Progress = Callable[[str, int, int], None]


class HarnessRun(Record):
    """What one task, or group of tasks, gave.

    Attributes:
        name: The name that was asked for.
        samples: One for each document and metric, named so that two models pair up.
        estimates: Means over documents, as lm-eval reports them, with intervals.
        shots: Examples that stand before each document, for each task.
        data: First 16 hex digits of SHA-256 over all prompts and answers.
        left_out: Metrics that lm-eval aggregates otherwise than by a mean over documents.
    """

    name: str
    samples: tuple[SampleResult, ...]
    estimates: tuple[Estimate, ...]
    shots: dict[str, int]
    data: str
    left_out: tuple[str, ...]

    def of(self, metric: str) -> list[SampleResult]:
        """The samples of one metric over all tasks of the group."""
        return [sample for sample in self.samples if sample.measure.rpartition("/")[2] == metric]


def run_harness(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    max_length: int | None = None,
    shots: int | None = None,
    include: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[HarnessRun]:
    """Measures a model on tasks of lm-eval, by their names there.

    Args:
        model: A causal language model of transformers, on any device.
        tokenizer: Its tokenizer.
        tasks: Names of tasks, groups or tags; for our own see `documents.lm_eval_names`.
        limit: The first so many documents of each task; all by default.
        max_length: Tokens that the model may see; by default its window, or what our own tasks need if that is more.
            Longer prompts are cut on the left, and the protocol says how many.
        shots: Examples before each document, for tasks that do not fix the number themselves.
        include: Folders with task files of one's own.
        settings: Metadata for tasks that make their documents, such as `lengths` for ours.
        batch_size: Rows of one forward.
        seed: Seed of the choice of examples, of our tasks and of the bootstrap.
        progress: Called with (task, answers so far, answers in total).

    Returns:
        One run for each name.

    Raises:
        OptionError: lm-eval is not installed, or a number that cannot be.
        UnknownNameError: No such task.
        DataError: A task's documents cannot be read.
        ModelError: The tokenizer has no token that begins or ends a text.
        MeasurementError: The device's memory does not hold one batch.
    """
    _check(tasks, limit=limit, max_length=max_length, shots=shots, batch_size=batch_size)
    metadata = {"tokenizer": tokenizer, "seed": seed, **(settings or {})}
    manager = library.task_manager(tasks, include, metadata)
    from ropewalk.evals.harness.model import LeanHarnessModel

    window = max_length or _window(model, metadata)
    training = model.training
    try:
        with library.quiet():
            lean = LeanHarnessModel(model, tokenizer, max_length=window, batch_size=batch_size)
        return [_run(lean, manager, name, limit, shots, seed, progress) for name in tasks]
    finally:
        model.train(training)


def _run(
    lean: LeanHarnessModel,
    manager: Any,
    name: str,
    limit: int | None,
    shots: int | None,
    seed: int,
    progress: Progress | None,
) -> HarnessRun:
    from lm_eval.evaluator import evaluate

    loaded = library.load_task(manager, name)
    tasks = loaded["tasks"]
    for task in tasks.values():
        _set_shots(task, shots, seed)
    lean.start(name, _counter(name, tasks, progress))
    with library.quiet():
        outcome = evaluate(lean, loaded, limit=limit, bootstrap_iters=0, log_samples=True)
    logged = {task: sorted(rows, key=lambda row: int(row["doc_id"])) for task, rows in outcome["samples"].items()}
    counts = {task: int(tasks[task].config.num_fewshot) for task in logged}
    samples: list[SampleResult] = []
    estimates: list[Estimate] = []
    left_out: list[str] = []
    for task, rows in logged.items():
        found, skipped = _samples(task, rows, lean, set(_means(tasks[task])))
        samples += found
        left_out += skipped
        protocol = _protocol(task, rows, counts[task], limit, lean)
        estimates += _estimates(found, protocol, seed)
    return HarnessRun(
        name=name,
        samples=tuple(samples),
        estimates=tuple(estimates),
        shots=counts,
        data=_fingerprint(logged),
        left_out=tuple(left_out),
    )


def _samples(
    task: str, rows: Iterable[Mapping[str, Any]], lean: LeanHarnessModel, means: set[str]
) -> tuple[list[SampleResult], list[str]]:
    """A sample for each metric of each document; and the metrics that are no means."""
    samples = []
    skipped = set()
    for row in rows:
        broken = _is_broken(row, lean.broken)
        ours: Mapping[str, Any] = row["doc"] if task.startswith(PREFIX) else {}
        number = f"{task}#{row['doc_id']}@{row['prompt_hash'][:8]}"
        for metric in row["metrics"]:
            if metric not in means:
                # Ours repeats its accuracy for each length, for those who run it in lm-eval itself.
                skipped.update([] if ours and metric.startswith("acc@") else [f"{task}/{metric}"])
                continue
            samples.append(
                sample_of(
                    _measure(task, metric, row["filter"]),
                    number,
                    ours.get("context", number),
                    int(ours.get("length", lean.max_length)),
                    math.nan if broken else float(row[metric]),
                    depth=ours.get("depth"),
                )
            )
    return samples, sorted(skipped)


def _is_broken(row: Mapping[str, Any], prompts: set[str]) -> bool:
    """Whether an answer rests on logits that are not finite (lm-eval would score whatever comes of them)."""
    answers = [answer for responses in row["resps"] for answer in responses]
    logprobs = [answer[0] for answer in answers if isinstance(answer, tuple)]
    asked = {str(arguments[0]) for arguments in row["arguments"]}
    return not all(math.isfinite(logprob) for logprob in logprobs) or bool(asked & prompts)


def _estimates(samples: Sequence[SampleResult], protocol: str, seed: int) -> Iterator[Estimate]:
    cells: dict[tuple[str, int], list[SampleResult]] = defaultdict(list)
    for sample in samples:
        cells[sample.measure, sample.length].append(sample)
    for (measure, length), cell in cells.items():
        good = [sample for sample in cell if sample.value is not None]
        values, clusters = values_of(good), [sample.cluster for sample in good]
        if set(values) <= {0.0, 1.0} and good:
            interval, unit = clustered_proportion(values, clusters), "share of documents"
        elif len(set(clusters)) > 1:
            interval, unit = bootstrap_mean(values, clusters, np.random.default_rng(seed)), "mean over documents"
        else:
            continue
        yield estimate_of(
            interval, measure=measure, protocol=protocol, unit=unit, length=length, failed=len(cell) - len(good)
        )


def _measure(task: str, metric: str, chosen: str) -> str:
    """`lm-eval:TASK/METRIC`; a task with several filters for its answers names the filter."""
    return f"lm-eval:{task}/{metric}" + ("" if chosen == "none" else f",{chosen}")


def _means(task: Any) -> Iterator[str]:
    """Metrics whose score is the mean over documents, which is what samples with intervals can stand for."""
    from lm_eval.api.metrics import mean

    return (metric for metric, aggregate in task.aggregation().items() if aggregate is mean)


def _set_shots(task: Any, shots: int | None, seed: int) -> None:
    """As lm-eval does it: a task that says 0 keeps 0, and one that says nothing has 0 by default."""
    own = task.get_config("num_fewshot")
    if shots is not None and own != 0:
        task.set_config(key="num_fewshot", value=shots)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=seed)


def _protocol(
    task: str, rows: Sequence[Mapping[str, Any]], shots: int, limit: int | None, lean: LeanHarnessModel
) -> str:
    version = library.require_harness()
    text = f"lm-eval {version} {task}, {shots} shots"
    if limit is not None:
        text += f", first {len(rows)} documents"
    if task.startswith(PREFIX):
        text += f", {rows[0]['doc']['scoring']}" if task.endswith(GENERATE) else ", likeliest at every token"
    if lean.cut:
        text += f", {lean.cut} prompts of the run cut on the left to {lean.max_length:,} tokens"
    return text


def _counter(name: str, tasks: Mapping[str, Any], progress: Progress | None) -> Callable[[], None] | None:
    if progress is None:
        return None
    done = 0

    def answered() -> None:
        nonlocal done
        done += 1
        # A document of several choices asks several times; lm-eval writes all questions before it asks the first.
        progress(name, done, max(done, sum(len(task.instances) for task in tasks.values())))

    return answered


def _fingerprint(logged: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    digest = hashlib.sha256()
    for task, rows in logged.items():
        for row in rows:
            digest.update(f"{task}\0{row['doc_id']}\0{row['prompt_hash']}\0{row['target_hash']}\n".encode())
    return digest.hexdigest()[:16]


def _window(model: Any, metadata: Mapping[str, Any]) -> int:
    """The model's window, or what our own tasks need."""
    own = int(model.config.get_text_config().max_position_embeddings)
    lengths = metadata.get("lengths")
    return max(own, room(lengths)) if lengths else own


def _check(tasks: Sequence[str], **numbers: int | None) -> None:
    if not tasks:
        raise OptionError("at least one task of lm-eval must be named; got none. An example: lm-eval:hellaswag.")
    for name, number in numbers.items():
        least = 0 if name == "shots" else 1
        if number is not None and number < least:
            raise OptionError(f"{name} must be at least {least}; got {number}. Leave it out for the default.")
