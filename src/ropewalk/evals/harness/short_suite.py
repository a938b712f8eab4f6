"""The short-context suite: eight public tasks of lm-eval, two models on the same documents, and a verdict.

Which tasks, and with how many examples: BoolQ, PIQA, WinoGrande without (PI, arXiv:2306.15595; PoSE, 2309.10400; CREAM,
2406.07138), RACE-high without (PI; lm-eval has no RACE-middle), ARC-challenge 25, HellaSwag 10, MMLU 5, TruthfulQA none
(YaRN, 2309.00071). Their prompts are shorter than 3,000 tokens: they see what an extension did to near
positions and nothing else.

The decision is about the macro-average (every task weighs the same): non-inferiority within one point, one-sided at
95 %. Single tasks are for information: with 1,200 to 14,000 documents each is too noisy to decide on one point.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import MeasurementError, OptionError
from ropewalk.evals.estimates import pair_up, values_of
from ropewalk.evals.gate import judge
from ropewalk.evals.harness.evaluation import run_harness
from ropewalk.result import Estimate, GateCheck
from ropewalk.statistics import DRAWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from ropewalk.evals.harness.evaluation import HarnessRun, Progress
    from ropewalk.result import SampleResult
    from ropewalk.rope import Floats

MARGIN = 1.0
POINTS = "points of accuracy"
LEVEL = 0.95


@dataclass(frozen=True)
class ShortTask:
    """One task of the suite.

    Attributes:
        name: In lm-eval; a group's documents are pooled, as lm-eval weighs MMLU's subjects by size.
        metric: What counts.
        shots: Examples before each document.
    """

    name: str
    metric: str
    shots: int


SHORT_SUITE = (
    ShortTask("boolq", "acc", 0),
    ShortTask("piqa", "acc_norm", 0),
    ShortTask("winogrande", "acc", 0),
    ShortTask("arc_challenge", "acc_norm", 25),
    ShortTask("hellaswag", "acc_norm", 10),
    ShortTask("mmlu", "acc", 5),
    ShortTask("truthfulqa_mc2", "acc", 0),
    ShortTask("race", "acc", 0),
)


@dataclass(frozen=True)
class ShortSuiteRun:
    """One model's answers.

    Attributes:
        samples: Task name to its samples, one a document.
        shots: Task name to the number of examples.
        data: Fingerprints of all prompts and answers, in order.
        max_length: Tokens that the model could see.
    """

    samples: Mapping[str, tuple[SampleResult, ...]]
    shots: Mapping[str, int]
    data: tuple[str, ...]
    max_length: int


def run_short_suite(
    model: Any,
    tokenizer: Any,
    *,
    max_length: int,
    suite: Sequence[ShortTask] = SHORT_SUITE,
    limit: int | None = None,
    include: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> ShortSuiteRun:
    """Measures one model on the suite.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        max_length: The trained length: the same window for both models, or their prompts would differ.
        suite: Tasks.
        limit: The first so many documents of each task (of each subject of MMLU).
        include: Folders with task files of one's own.
        settings: Metadata for tasks that make their documents.
        batch_size: Rows of one forward.
        seed: Seed of the choice of examples.
        progress: Called with (task, answers so far, answers in total).

    Raises:
        RopewalkError: See `run_harness`.
        OptionError: A metric that a task does not have.
    """
    samples, shots, data = {}, {}, []
    for task in suite:
        (run,) = run_harness(
            model,
            tokenizer,
            [task.name],
            limit=limit,
            max_length=max_length,
            shots=task.shots,
            include=include,
            settings=settings,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
        samples[task.name] = _scored(run, task)
        shots[task.name] = max(run.shots.values())
        data.append(run.data)
    return ShortSuiteRun(samples, shots, tuple(data), max_length)


def compare_short_suites(
    before: ShortSuiteRun,
    after: ShortSuiteRun,
    *,
    reference: Literal["original", "control"] = "original",
    margin: float = MARGIN,
    seed: int = 0,
) -> GateCheck:
    """Judges the fall of the macro-average from one model to the other, document by document.

    Args:
        before: The reference.
        after: The extended model.
        reference: What the reference is.
        margin: How many points worse still pass.
        seed: Seed of the bootstrap.

    Returns:
        A check of the short-context gate; its change, and that of each task in its details, is above 0 for worse.

    Raises:
        MeasurementError: The two did not answer the same prompts, or a task has no document that both answered.
    """
    _check_comparable(before, after)
    falls: dict[str, Floats] = {}
    failed: dict[str, int] = {}
    for name in before.samples:
        pairs, failed[name] = pair_up(before.samples[name], after.samples[name])
        if not pairs:
            raise MeasurementError(
                f"a comparison of two models on '{name}' needs a document that both answered; all {failed[name]} "
                "failed, because the logits of one of them are not finite. Leave the task out, or mend the model."
            )
        first, second = (np.asarray(values_of(pair[i] for pair in pairs)) for i in (0, 1))
        falls[name] = 100 * (first - second)
    change = _estimate("macro_average_fall", falls, before, failed, seed)
    details = tuple(_estimate(name, {name: fall}, before, failed, seed) for name, fall in falls.items())
    verdict, reason = judge(change, margin, more="documents")
    answered, lost = change.samples, change.failed
    if lost > 0.01 * (answered + lost):
        verdict, reason = "FAIL", f"{lost} of {answered + lost} documents gave no finite number"
    return GateCheck(
        subject="tasks",
        reference=reference,
        verdict=verdict,
        reason=reason,
        margin=margin,
        change=change,
        details=details,
        data=hashlib.sha256("".join(before.data).encode()).hexdigest()[:16],
    )


def bootstrap_macro_average(tasks: Sequence[Floats], rng: np.random.Generator, *, draws: int = DRAWS) -> Floats:
    """Draws of the macro-average: documents with replacement within each task, then the mean of the tasks' means.

    A stratified bootstrap (Davison and Hinkley 1997, section 3.2). Two documents are added to each task's pool, one
    that fell by 100 points and one that rose by as much: where two models agree on ten documents out of ten, the plain
    bootstrap has no width at all and would prove anything. It is the adjustment of Bonett and Price (2012, Journal of
    Educational and Behavioral Statistics 37:479) for paired proportions; at 1,000 documents it is hardly felt.

    Differences take few different values, so a draw counts how often each value comes up, which is the same
    distribution as drawing documents one by one.

    Args:
        tasks: For each task the change of each document, in points.
        rng: Source of the draws.
        draws: Number of resamples.

    Returns:
        `[draws]`, centred on the macro-average of the documents themselves.
    """
    total = np.zeros(draws)
    for changes in tasks:
        pool = np.concatenate([changes, [-100.0, 100.0]])
        values, counts = np.unique(pool, return_counts=True)
        drawn = rng.multinomial(len(pool), counts / len(pool), size=draws) @ values / len(pool)
        total += drawn - pool.mean() + changes.mean()
    return total / len(tasks)


def _estimate(
    measure: str, falls: Mapping[str, Floats], run: ShortSuiteRun, failed: Mapping[str, int], seed: int
) -> Estimate:
    """The mean fall over tasks; both ends are one-sided 95 % bounds, together an interval at 90 %."""
    drawn = bootstrap_macro_average(list(falls.values()), np.random.default_rng(seed))
    low, high = (float(q) for q in np.quantile(drawn, [1 - LEVEL, LEVEL]))
    documents = sum(len(fall) for fall in falls.values())
    examples = ", ".join(f"{name} {run.shots[name]}" for name in falls)
    return Estimate(
        measure=measure,
        protocol=f"accuracy of the reference minus that of the extended model on the same prompts; shots: {examples}",
        unit=POINTS,
        length=run.max_length,
        value=math.fsum(float(fall.mean()) for fall in falls.values()) / len(falls),
        low=low,
        high=high,
        level=2 * LEVEL - 1,
        interval=f"one-sided 95 % bounds, bootstrap over documents within {len(falls)} tasks",
        samples=documents,
        failed=sum(failed[name] for name in falls),
        clusters=documents,
    )


def _scored(run: HarnessRun, task: ShortTask) -> tuple[SampleResult, ...]:
    samples = tuple(run.of(task.metric))
    if not samples:
        known = sorted({sample.measure.rpartition("/")[2] for sample in run.samples})
        raise OptionError(
            f"the suite counts '{task.metric}' of '{task.name}', which that task does not give; it gives "
            f"{', '.join(known) or 'nothing that is a mean over documents'}. Name another metric."
        )
    return samples


def _check_comparable(before: ShortSuiteRun, after: ShortSuiteRun) -> None:
    if tuple(before.samples) == tuple(after.samples) and before.data == after.data:
        return
    differing = sorted(set(before.samples) ^ set(after.samples)) or [
        name for name, one, other in zip(before.samples, before.data, after.data, strict=True) if one != other
    ]
    raise MeasurementError(
        f"two models compare on the same prompts alone; theirs differ for {', '.join(differing)}. Run both with the "
        "same tasks, limit, seed and task files."
    )
