"""Checkpoints measured by lm-eval and on summaries: `ropewalk evaluate --suite lm-eval:TASK,...`.

A task that is done is kept in `OUTPUT.partial`, so that a stopped evaluation goes on with the next one; what changes
its numbers stands beside it, and a task that was measured under other conditions is measured again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.data.summaries import read_summaries, summaries_fingerprint
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import status_of
from ropewalk.evals.harness import library
from ropewalk.evals.harness.evaluation import HarnessRun, run_harness
from ropewalk.evals.model_record import model_record
from ropewalk.evals.store import refuse_earlier, write_evaluation, write_text
from ropewalk.evals.summarization import SummaryPlan, rouge, summarize
from ropewalk.result import EvaluationResult
from ropewalk.run.evaluation import PARTIAL, Checkpoint, load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ropewalk.result import Estimate, SampleResult

    Progress = Callable[[str, int, int], None]


def evaluate_tasks(
    model: str | Path,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    max_length: int | None = None,
    shots: int | None = None,
    lengths: Sequence[int] = (),
    include: Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Measures a checkpoint on tasks of lm-eval.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        tasks: Names in lm-eval.
        limit: The first so many documents of each task.
        max_length: Tokens that the model may see; its extended window by default.
        shots: Examples before each document, for tasks that do not fix the number themselves.
        lengths: Lengths for tasks that make their documents, such as our own.
        include: Folders with task files of one's own.
        settings: More metadata for tasks that make their documents.
        batch_size: Rows of one forward.
        seed: Seed of everything that is drawn.
        output: Folder for `result.json` and `samples.jsonl`.
        overwrite: Replace an earlier result in `output`.
        progress: Called with (task, answers so far, answers in total).

    Raises:
        RopewalkError: See `run_harness`.
        OutputError: An earlier result is in the way, or the folder cannot be written.
    """
    version = library.require_harness()
    if output is not None:
        refuse_earlier(output, overwrite=overwrite)
    started = time.monotonic()
    checkpoint = load_checkpoint(model)
    options: dict[str, Any] = {"limit": limit, "max_length": max_length, "shots": shots, "batch_size": batch_size}
    metadata = {"lengths": [int(length) for length in lengths], **(settings or {})} if lengths else dict(settings or {})
    conditions = {
        **options,
        "seed": seed,
        "settings": metadata,
        "include": [str(folder) for folder in include],
        "model": [checkpoint.weights, checkpoint.settings],
        "versions": [version, *environment(checkpoint.model.device).model_dump().values()],
    }
    done = _Done(output, conditions)
    runs = []
    for task in tasks:
        run = done.find(task)
        if run is None:
            (run,) = run_harness(
                checkpoint.model,
                checkpoint.tokenizer,
                [task],
                include=include,
                settings=metadata,
                seed=seed,
                progress=progress,
                **options,
            )
            done.keep(run)
        runs.append(run)
    samples = [sample for run in runs for sample in run.samples]
    data = hashlib.sha256("".join(run.data for run in runs).encode()).hexdigest()[:16]
    result = _result(checkpoint, data, seed, (e for run in runs for e in run.estimates), samples, started)
    if output is not None:
        result = write_evaluation(output, result, samples)
        done.remove()
    return result


def evaluate_summaries(
    model: str | Path,
    data: str | Path,
    plan: SummaryPlan | None = None,
    *,
    seed: int = 0,
    output: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Measures a checkpoint on documents with summaries.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        data: JSONL file, see `read_summaries`.
        plan: How documents are read; by default the paper's way in the model's window, of which a summary takes at most
            a quarter.
        seed: Seed of the default plan.
        output: Folder for `result.json`, `samples.jsonl` and `summaries.jsonl`.
        overwrite: Replace an earlier result in `output`.
        progress: Called with (`summaries`, documents done, documents in total).

    Raises:
        RopewalkError: See `read_summaries` and `summarize`.
        OutputError: An earlier result is in the way, or the folder cannot be written.
    """
    rouge()  # before the model is loaded, so that a missing library is answered at once
    if output is not None:
        refuse_earlier(output, overwrite=overwrite)
    started = time.monotonic()
    documents = read_summaries(data)
    checkpoint = load_checkpoint(model)
    window = checkpoint.target_length
    chosen = plan or SummaryPlan(length=window, new_tokens=min(SummaryPlan.new_tokens, window // 4), seed=seed)
    run = summarize(checkpoint.model, checkpoint.tokenizer, documents, chosen, progress=progress)
    fingerprint = summaries_fingerprint(documents)
    result = _result(checkpoint, fingerprint, chosen.seed, run.estimates, run.samples, started)
    if output is not None:
        result = write_evaluation(output, result, run.samples)
        lines = (json.dumps({"sample": name, "summary": text}) for name, text in run.texts.items())
        write_text(output / "summaries.jsonl", "".join(f"{line}\n" for line in lines))
    return result


class _Done:
    """Tasks that are measured already, in `OUTPUT.partial`, one file each."""

    def __init__(self, output: Path | None, conditions: Mapping[str, Any]) -> None:
        self.folder = None if output is None else output.resolve().with_name(output.resolve().name + PARTIAL)
        self.conditions = json.loads(json.dumps(conditions, default=str))

    def find(self, task: str) -> HarnessRun | None:
        """The run of a task under the same conditions, if there is a whole one."""
        if self.folder is None:
            return None
        try:
            kept = json.loads(self._file(task).read_text("utf-8"))
            return HarnessRun.model_validate(kept["run"]) if kept["conditions"] == self.conditions else None
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return None

    def keep(self, run: HarnessRun) -> None:
        if self.folder is not None:
            kept = {"conditions": self.conditions, "run": run.model_dump(mode="json")}
            write_text(self._file(run.name), json.dumps(kept))

    def remove(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, task: str) -> Path:
        assert self.folder is not None
        return self.folder / f"lm-eval-{hashlib.sha256(task.encode()).hexdigest()[:16]}.json"


def _result(
    checkpoint: Checkpoint,
    data: str,
    seed: int,
    estimates: Iterable[Estimate],
    samples: Sequence[SampleResult],
    started: float,
) -> EvaluationResult:
    return EvaluationResult(
        status=status_of(samples),
        model=model_record(
            checkpoint.model,
            name=checkpoint.name,
            method=checkpoint.method,
            trained_length=checkpoint.trained_length,
            target_length=checkpoint.target_length,
            weights=checkpoint.weights,
        ),
        data=data,
        seed=seed,
        estimates=tuple(estimates),
        environment=environment(checkpoint.model.device),
        wall_seconds=time.monotonic() - started,
    )
