"""The tasks of the short-context gate: public short tasks, asked by lm-eval, the same of each model.

Every model reads with the original's tokenizer in the original's window, in the number format of the run, so that their
prompts are the same. Tasks are loaded once before any work: that is where data is downloaded, and where a network that
is missing is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ropewalk import adapters
from ropewalk.errors import MeasurementError, OptionError, RopewalkError
from ropewalk.evals.gate import LABEL
from ropewalk.evals.harness import library
from ropewalk.evals.harness.short_suite import SHORT_SUITE, run_short_suite
from ropewalk.run.device import default_device
from ropewalk.run.precision import precision_of

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.evals.harness.short_suite import ShortSuiteRun, ShortTask
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan


@dataclass(frozen=True)
class GateTasks:
    """Which tasks the gate asks.

    Attributes:
        limit: The first so many documents of each task (of each subject of MMLU); all by default.
        include: Folders with task files; a task there stands in for lm-eval's own of that name.
        suite: Tasks, each with its metric and number of examples.

    Raises:
        OptionError: Less than one document of each task.
    """

    limit: int | None = None
    include: tuple[str, ...] = ()
    suite: tuple[ShortTask, ...] = SHORT_SUITE

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise OptionError(
                f"the gate must ask at least 1 document of each task; got --gate-limit {self.limit}. Leave it out to "
                "ask all."
            )

    def prepare(self) -> str:
        """Loads every task, which downloads its data if need be, and says which tasks are asked.

        Raises:
            OptionError: lm-eval is not installed, or a task file does not give what the suite counts.
            UnknownNameError: lm-eval has no task of that name.
            DataError: A task's documents cannot be read, or a folder of task files does not exist.
        """
        version = library.require_harness()
        manager = library.task_manager([task.name for task in self.suite], self.include, {})
        for task in self.suite:
            _require_metric(task, library.load_task(manager, task.name)["tasks"].values())
        words = f"{', '.join(task.name for task in self.suite)} of lm-eval {version}"
        if self.limit is not None:
            words += f", first {self.limit:,} documents of each"
        if self.include:
            words += f", with the task files in {', '.join(self.include)}"
        return words

    def ask(self, folder: Path, name: str, plan: Plan, tell: Reporter) -> ShortSuiteRun:
        """One model's answers.

        Args:
            folder: The model.
            name: Which it is: original, control or extended.
            plan: The run.
            tell: Hears of the stage and of every answer.

        Raises:
            RopewalkError: See `run_short_suite`.
            OutOfMemoryError: The device does not hold the model.
        """
        tell.stage(f"{LABEL}: asking the {name} model {len(self.suite)} tasks")
        dtype, device = precision_of(plan), default_device()
        model, tokenizer = adapters.load_model(folder, dtype=dtype, device=device), adapters.load_tokenizer(plan.source)
        try:
            return run_short_suite(
                model,
                tokenizer,
                max_length=plan.config.rope.trained_length,
                suite=self.suite,
                limit=self.limit,
                include=self.include,
                progress=tell.advance,
            )
        except (RopewalkError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # a task runs code of its own, over three libraries with unrelated exceptions
            raise MeasurementError(
                f"lm-eval must be able to ask and to score its tasks; it failed ({type(error).__name__}: {error}). "
                "Mend the task files, or leave --gate-tasks out."
            ) from error


def _require_metric(wanted: ShortTask, loaded: Any) -> None:
    given = sorted({metric for task in loaded for metric in task.aggregation()})
    if wanted.metric not in given:
        raise OptionError(
            f"the gate counts '{wanted.metric}' of the task '{wanted.name}', so its task file must give that; it gives "
            f"{', '.join(given)}. Add it to the metric_list there."
        )
