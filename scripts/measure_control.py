"""Measures the demo's control: the same tokens of further training at the old window, without any extension.

    make demo
    python scripts/measure_control.py --demo demo --output results/control

A model that is not trained out improves with any training, and that gain hides the damage that an extension does. So
the extended model is compared with the untouched model and with this control, on the same held-out windows.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ropewalk.cli.progress import LiveReporter
from ropewalk.evals.compare import compare
from ropewalk.evals.store import read_evaluation
from ropewalk.run.demo import PLAN
from ropewalk.run.evaluation import measure
from ropewalk.run.extension import run_extension
from ropewalk.run.runfile import parse_run, read_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="A finished demo, whose windows are used.")
    parser.add_argument("--output", type=Path, required=True, help="Where the comparisons go.")
    arguments = parser.parse_args()
    untouched, extended = (read_evaluation(arguments.demo / name) for name in ("before", "after"))
    run = parse_run(read_run("control"), where="recipe 'control'")
    with LiveReporter() as reporter, tempfile.TemporaryDirectory() as work:
        training = run_extension(run, Path(work) / "control", reporter=reporter)
        plan = replace(PLAN, tasks=("paired",), seed=untouched[0].seed)
        control = measure(Path(work) / "control", plan, name="builtin, control", progress=reporter.advance)
    records = {
        "training": training,
        "control": control[0],
        "control_against_untouched": compare(untouched, control),
        "extended_against_untouched": compare(untouched, extended),
        "extended_against_control": compare(control, extended),
    }
    shutil.rmtree(arguments.output, ignore_errors=True)
    arguments.output.mkdir(parents=True)
    for name, record in records.items():
        (arguments.output / f"{name}.json").write_text(record.model_dump_json(indent=1) + "\n", "utf-8")
        change = getattr(record, "find", lambda *_: None)("paired_nll_change", 256)
        if change is not None:
            print(f"{name}: {change}")


if __name__ == "__main__":
    main()
