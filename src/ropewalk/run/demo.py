"""The demo: the built-in model's window grows eight-fold, measured before and after on the same samples."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Protocol

from ropewalk.errors import OutputError
from ropewalk.evals.compare import compare
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.store import write_evaluation
from ropewalk.report.figures import window_figure, write_figure
from ropewalk.result import DemoResult
from ropewalk.run.evaluation import measure
from ropewalk.run.extension import run_extension
from ropewalk.run.output import RECORDS
from ropewalk.run.runfile import BUILT_IN, override, parse_run, read_run

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "demo"
MODEL = "model"


class DemoReporter(Protocol):
    """What the demo tells while it works."""

    def stage(self, text: str) -> None:
        """A new stage of the work begins."""

    def step(self, step: int, steps: int, loss: float | None) -> None:
        """A training step is done."""

    def advance(self, label: str, done: int, total: int, note: str = "") -> None:
        """A part of a measurement is done."""


def run_demo(output: Path, *, seed: int, reporter: DemoReporter) -> DemoResult:
    """Measures, extends, trains and measures again.

    Leaves `result.json`, `figure.png`, the two evaluations, and the extended checkpoint in `model/`. An earlier demo in
    the same folder is replaced when the new one is complete.

    Raises:
        OutputError: The folder holds something else.
    """
    started = time.monotonic()
    partial = output.with_name(output.name + ".partial")
    _refuse_foreign_folder(output)
    shutil.rmtree(partial, ignore_errors=True)
    run = parse_run(override(read_run(RECIPE), {"train": {"seed": seed}}), where=f"recipe '{RECIPE}'")
    plan = EvaluationPlan(seed=seed)

    reporter.stage("Measuring the built-in model as it is")
    before = measure(BUILT_IN, plan, progress=reporter.advance)
    extension = run_extension(run, partial / MODEL, overwrite=True, reporter=reporter)
    reporter.stage("Measuring the extended model on the same samples")
    after = measure(partial / MODEL, plan, name=f"{BUILT_IN}, extended", progress=reporter.advance)

    result = DemoResult(
        extension=extension,
        before=write_evaluation(partial / "before", *before),
        after=write_evaluation(partial / "after", *after),
        comparison=compare(before, after),
        wall_seconds=time.monotonic() - started,
    )
    (partial / "result.json").write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
    write_figure(window_figure([result.before, result.after]), partial / "figure.png")
    if output.exists():
        shutil.rmtree(output)
    partial.rename(output)
    return result


def _refuse_foreign_folder(output: Path) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if (output / MODEL / RECORDS / "run.toml").is_file() and (output / "result.json").is_file():
        return
    raise OutputError(
        f"the demo's folder must not exist, or hold an earlier demo; '{output}' holds something else. "
        "Choose another folder with -o."
    )
