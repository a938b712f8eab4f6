"""The demo: the built-in model's window grows eight-fold, measured before and after on the same samples."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from ropewalk.errors import OutputError
from ropewalk.evals.compare import compare
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.store import write_evaluation
from ropewalk.report.figures import window_figure, write_figure
from ropewalk.result import DemoResult
from ropewalk.run.evaluation import measure
from ropewalk.run.extension import run_extension
from ropewalk.run.output import RECORDS
from ropewalk.run.runfile import override, parse_run, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

RECIPE = "demo"
MODEL = "model"
# As much as six minutes hold: 16 of the held-out modules, chosen by the seed, and 192 key-value answers at each length.
PLAN = EvaluationPlan(documents=16, repeats_per_document=1, contexts=12)


def run_demo(
    output: Path, reporter: Reporter, *, run: RunFile | None = None, plan: EvaluationPlan | None = None
) -> DemoResult:
    """Measures, extends, trains and measures again.

    Leaves `result.json`, `figure.png`, the two evaluations, and the extended checkpoint in `model/`. An earlier demo in
    the same folder is replaced when the new one is complete.

    Args:
        output: The demo's folder.
        reporter: Hears of stages, steps and samples.
        run: What is done; the recipe `demo` by default.
        plan: What is measured; 16 held-out modules, and recall, by default.

    Raises:
        OutputError: The folder holds something else.
    """
    started = time.monotonic()
    partial = output.with_name(output.name + ".partial")
    _refuse_foreign_folder(output)
    shutil.rmtree(partial, ignore_errors=True)
    run = run or demo_run()
    plan = plan or PLAN

    reporter.stage(f"Measuring the model '{run.model}' as it is")
    before = measure(run.model, plan, progress=reporter.advance)
    extension = run_extension(run, partial / MODEL, overwrite=True, reporter=reporter)
    reporter.stage("Measuring the extended model on the same samples")
    after = measure(partial / MODEL, plan, name=f"{run.model} (extended)", progress=reporter.advance)

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


def demo_run(seed: int = 0) -> RunFile:
    """The demo's recipe with a seed of one's own."""
    return parse_run(override(read_run(RECIPE), {"train": {"seed": seed}}), where=f"recipe '{RECIPE}'")


def _refuse_foreign_folder(output: Path) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if (output / MODEL / RECORDS / "run.toml").is_file() and (output / "result.json").is_file():
        return
    raise OutputError(
        f"the demo's folder must not exist, or hold an earlier demo; '{output}' holds something else. "
        "Choose another folder with -o."
    )
