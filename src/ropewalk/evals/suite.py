"""Measures a model by a plan: the one entry for `evaluate`, for the demo before and after, for every comparison."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ropewalk.errors import MeasurementError
from ropewalk.evals import estimates, nll, retrieval, tasks
from ropewalk.evals.environment import environment
from ropewalk.evals.plan import TEXT_TASKS, EvaluationPlan
from ropewalk.evals.static_rope import rope_parameters
from ropewalk.result import EvaluationResult, ModelRecord, SampleResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ropewalk.evals.tasks import RecallSample, TextData, Window

    Progress = Callable[[str, int, int], None]


def evaluate_model(
    model: Any,
    tokenizer: Any,
    plan: EvaluationPlan,
    documents: Mapping[str, str],
    *,
    name: str,
    method: str,
    trained_length: int | None = None,
    target_length: int | None = None,
    weights: str | None = None,
    progress: Progress | None = None,
) -> tuple[EvaluationResult, list[SampleResult]]:
    """Measures everything that the plan asks for.

    Args:
        model: A causal language model of transformers, on any device.
        tokenizer: Its tokenizer.
        plan: What to measure.
        documents: Texts by name, which the model was not trained on; may be empty if the plan asks for no text.
        name: What the user calls the model.
        method: Phrase such as `yarn, factor 8`, or `untouched`.
        trained_length: Tokens of the original window; read from the config if not given.
        target_length: Tokens of the extended window; read from the config if not given.
        weights: Fingerprint of the weight files.
        progress: Called with (what is measured, samples done, samples in total).

    Returns:
        The result with all estimates, and the samples behind them.

    Raises:
        DataError: No document holds a window.
        OptionError: A length that a task cannot have.
        MeasurementError: The device's memory does not hold one sample.
    """
    started = time.monotonic()
    encode = tasks.encoder(tokenizer)
    data = _text(documents, encode, plan)
    report = progress or _silent
    samples: list[SampleResult] = []
    with _measuring(model):
        for measure, windows, lengths in _window_tasks(data, encode, plan):
            samples += _score_windows(model, plan, measure, windows, lengths, report)
        for measure, recalls in _recall_tasks(encode, plan):
            samples += _ask(model, tokenizer, plan, measure, recalls, report)
    result = EvaluationResult(
        status=estimates.status_of(samples),
        model=_model_record(model, name, method, trained_length, target_length, weights),
        data=data.fingerprint if data else "none",
        seed=plan.seed,
        estimates=estimates.summarize(samples, plan, left_out=len(data.too_short) if data else 0),
        environment=environment(model.device),
        wall_seconds=time.monotonic() - started,
    )
    return result, samples


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _text(documents: Mapping[str, str], encode: Any, plan: EvaluationPlan) -> TextData | None:
    if not any(task in TEXT_TASKS for task in plan.tasks):
        return None
    return tasks.text_data(documents, encode, longest=plan.longest)


def _window_tasks(
    data: TextData | None, encode: Any, plan: EvaluationPlan
) -> Iterator[tuple[str, list[Window], tuple[int, ...]]]:
    far = (plan.near, plan.longest)
    if data and "paired" in plan.tasks:
        yield "paired_nll", tasks.text_windows(data, plan), plan.lengths
    if data and "repeated" in plan.tasks and plan.measures_far:
        yield "repeated_nll", tasks.repeated_windows(data, plan), far
    if "streams" in plan.tasks and plan.measures_far:
        yield "stream_nll", tasks.far_streams(encode, plan), far


def _recall_tasks(encode: Any, plan: EvaluationPlan) -> Iterator[tuple[str, list[RecallSample]]]:
    if "passkey" in plan.tasks:
        yield "passkey", tasks.passkey_samples(encode, plan)
    if "key-value" in plan.tasks:
        yield "key_value", tasks.key_value_samples(encode, plan)


def _score_windows(
    model: Any, plan: EvaluationPlan, measure: str, windows: Sequence[Window], lengths: Sequence[int], report: Progress
) -> Iterator[SampleResult]:
    total, done = len(windows) * len(lengths), 0
    for length in lengths:
        step = max(1, plan.batch_tokens // length)
        for start in range(0, len(windows), step):
            batch = windows[start : start + step]
            with _memory(measure, length):
                losses = nll.paired_nll(model, np.stack([w.tokens for w in batch]), length, scored=plan.scored)
            for window, loss in zip(batch, losses, strict=True):
                yield _sample(measure, window.sample, window.cluster, length, float(loss[window.counted].mean()))
            done += len(batch)
            report(measure, done, total)


def _ask(
    model: Any, tokenizer: Any, plan: EvaluationPlan, measure: str, recalls: Sequence[RecallSample], report: Progress
) -> Iterator[SampleResult]:
    done = 0
    for length in plan.lengths:
        chosen = [recall for recall in recalls if recall.length == length]
        step = max(1, plan.batch_tokens // length)
        for start in range(0, len(chosen), step):
            batch = chosen[start : start + step]
            with _memory(measure, length):
                answers = retrieval.answer_all(
                    model,
                    tokenizer,
                    [r.context for r in batch],
                    new_tokens=plan.new_tokens,
                    at_once=measure == "key_value",
                    batch_tokens=plan.batch_tokens,
                )
            for recall, row in zip(batch, answers, strict=True):
                yield from _answered(tokenizer, measure, recall, row)
            done += len(batch)
            report(measure, done, len(recalls))


def _answered(
    tokenizer: Any, measure: str, recall: RecallSample, answers: Sequence[retrieval.Answer]
) -> Iterator[SampleResult]:
    for answer, depth in zip(answers, recall.depths, strict=True):
        value = math.nan if answer.failed else float(bool(answer.correct))
        detail = None
        if answer.correct is False:
            said = tokenizer.decode(answer.tokens, skip_special_tokens=True)
            detail = f"expected {answer.question.answer_text}; began {said!r}"
        sample = f"{recall.sample}/{answer.number}"
        yield _sample(measure, sample, recall.sample, recall.length, value, depth=depth, detail=detail)


def _sample(
    measure: str,
    sample: str,
    cluster: str,
    length: int,
    value: float,
    *,
    depth: float | None = None,
    detail: str | None = None,
) -> SampleResult:
    good = math.isfinite(value)
    return SampleResult(
        measure=measure,
        sample=sample,
        cluster=cluster,
        length=length,
        depth=depth,
        status="ok" if good else "failed",
        value=value if good else None,
        detail=detail if good else "the model's logits are not finite",
    )


@contextmanager
def _measuring(model: Any) -> Iterator[None]:
    """Without dropout, and as it was afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _memory(measure: str, length: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MeasurementError(
            f"the device must hold one batch of '{measure}' at {length:,} tokens; it ran out of memory. "
            "Lower batch_tokens, measure shorter lengths, or use a larger device."
        ) from error


def _model_record(
    model: Any, name: str, method: str, trained_length: int | None, target_length: int | None, weights: str | None
) -> ModelRecord:
    sets = [dict(parameters) for parameters in rope_parameters(model)]
    window = int(model.config.get_text_config().max_position_embeddings)
    declared = next(
        (p["original_max_position_embeddings"] for p in sets if "original_max_position_embeddings" in p), window
    )
    return ModelRecord(
        name=name,
        method=method,
        trained_length=trained_length or declared,
        target_length=target_length or window,
        rope=sets[0] if len(sets) == 1 else {str(i): parameters for i, parameters in enumerate(sets)},
        weights=weights,
    )
