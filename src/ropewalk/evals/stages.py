"""What an evaluation does: a plan becomes stages, one for each measure, and these are cut into batches.

The cut depends on the plan alone, so that a continued evaluation finds its batches again by name.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.data import retrieval as retrieval_tasks
from ropewalk.data.ruler_files import ruler_rule
from ropewalk.errors import OptionError
from ropewalk.evals import nll, tasks
from ropewalk.evals.batches import AnswerRule, Batch, Stage, chunks, memory, recall_stage, rule_of, sample
from ropewalk.evals.estimates import measure_of, ruler_measure
from ropewalk.evals.perplexity import perplexity_samples
from ropewalk.evals.perplexity_protocol import usable_documents
from ropewalk.evals.tasks import RecallSample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ropewalk.data.recall import Encode, Tokens
    from ropewalk.data.retrieval_task import RetrievalTask
    from ropewalk.data.ruler_files import RulerSample
    from ropewalk.evals.batches import Subject
    from ropewalk.evals.perplexity_protocol import PerplexityProtocol
    from ropewalk.evals.plan import EvaluationPlan
    from ropewalk.evals.tasks import TextData, Window
    from ropewalk.result import SampleResult


def stages(
    subject: Subject,
    plan: EvaluationPlan,
    data: TextData | None,
    ruler: Mapping[str, Sequence[RulerSample]] = MappingProxyType({}),
) -> Iterator[Stage]:
    """The stages of a plan, each built when the one before it is done.

    Args:
        subject: The model.
        plan: What to measure.
        data: Tokenised documents; None if the plan asks for no text.
        ruler: Lines of files in RULER's format, by the task's name.

    Raises:
        OptionError: A task for which every length is too short.
        UnknownNameError: A RULER task that does not exist.
    """
    far = (plan.near, plan.longest)
    if data and "paired" in plan.tasks:
        yield _window_stage(subject, plan, "paired_nll", tasks.text_windows(data, plan), plan.lengths)
    if data and "repeated" in plan.tasks and plan.measures_far:
        yield _window_stage(subject, plan, "repeated_nll", tasks.repeated_windows(data, plan), far)
    if "streams" in plan.tasks and plan.measures_far:
        yield _window_stage(subject, plan, "stream_nll", tasks.far_streams(subject.encode, plan), far)
    if data:
        for protocol in plan.protocols:
            yield _document_stage(subject, protocol, data)
    if "passkey" in plan.tasks:
        rule = AnswerRule("first-number", plan.new_tokens)
        yield recall_stage(subject, "passkey", tasks.passkey_samples(subject.encode, plan), rule, plan.batch_tokens)
    if "key-value" in plan.tasks:
        rule = AnswerRule("number-at-once", plan.new_tokens)
        yield recall_stage(subject, "key_value", tasks.key_value_samples(subject.encode, plan), rule, plan.batch_tokens)
    for name in plan.battery:
        task = retrieval_tasks.get(name)()
        recalls = _battery_samples(task, subject.encode, plan)
        yield recall_stage(subject, measure_of(name), recalls, rule_of(task), plan.batch_tokens)
    for name, lines in ruler.items():
        yield _ruler_stage(subject, plan, name, lines)


def _window_stage(
    subject: Subject, plan: EvaluationPlan, measure: str, windows: Sequence[Window], lengths: Sequence[int]
) -> Stage:
    def batch(length: int, start: int, chosen: Sequence[Window]) -> Batch:
        return Batch(f"{measure}/{length}/{start}", len(chosen), lambda: _score(subject, plan, measure, chosen, length))

    return Stage(
        measure,
        tuple(
            batch(length, start, chosen)
            for length in lengths
            for start, chosen in chunks(windows, max(1, plan.batch_tokens // length))
        ),
    )


def _document_stage(subject: Subject, protocol: PerplexityProtocol, data: TextData) -> Stage:
    """Perplexity of whole documents; a batch is a document."""
    documents, _ = usable_documents(data.streams, protocol)

    def batch(name: str, tokens: Tokens) -> Batch:
        def measure() -> list[SampleResult]:
            with memory(protocol.measure, protocol.lengths[-1]):
                return list(perplexity_samples(subject.model, {name: tokens}, protocol))

        return Batch(f"{protocol.measure}/{name}", 1, measure)

    return Stage(protocol.measure, tuple(batch(name, tokens) for name, tokens in documents.items()))


def _battery_samples(task: RetrievalTask, encode: Encode, plan: EvaluationPlan) -> list[RecallSample]:
    """Contexts at every length that holds the task; an error if none does."""
    samples: list[RecallSample] = []
    for length in plan.lengths:
        try:
            samples += tasks.retrieval_samples(task, encode, length, range(plan.battery_contexts), seed=plan.seed)
        except OptionError:
            if length == plan.longest and not samples:
                raise
    return samples


def _ruler_stage(subject: Subject, plan: EvaluationPlan, name: str, lines: Sequence[RulerSample]) -> Stage:
    """Lines of a file, whose nominal length is that of its longest line."""
    upstream = ruler_rule(name)
    contexts = [line.context(subject.encode) for line in lines]
    length = max(line.length or context.length for line, context in zip(lines, contexts, strict=True))
    recalls = [
        RecallSample(f"{name}/{line.index}", length, context, (None,))
        for line, context in zip(lines, contexts, strict=True)
    ]
    rule = AnswerRule(upstream.scoring, upstream.new_tokens)
    return recall_stage(subject, ruler_measure(name), recalls, rule, plan.batch_tokens)


def _score(
    subject: Subject, plan: EvaluationPlan, measure: str, windows: Sequence[Window], length: int
) -> list[SampleResult]:
    with memory(measure, length):
        losses = nll.paired_nll(subject.model, np.stack([w.tokens for w in windows]), length, scored=plan.scored)
    return [
        sample(measure, window.sample, window.cluster, length, float(loss[window.counted].mean()))
        for window, loss in zip(windows, losses, strict=True)
    ]
