"""Measures the built-in model inside its trained window, with many samples; the output is committed.

python scripts/measure_builtin.py --output results/builtin
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ropewalk.cli.output import show
from ropewalk.cli.progress import LiveReporter
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.report.tables import evaluation_tables
from ropewalk.run.evaluation import measure

PLAN = EvaluationPlan(lengths=(144, 192, 256), tasks=("paired", "passkey", "key-value"), trials=30, contexts=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="Where result.json goes.")
    output = parser.parse_args().output
    with LiveReporter() as reporter:
        result, _ = measure("builtin", PLAN, progress=reporter.advance)
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
    show(*evaluation_tables(result))


if __name__ == "__main__":
    main()
