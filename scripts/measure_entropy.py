"""Measures the attention entropy of the built-in model, untouched and with two untrained extensions.

python scripts/measure_entropy.py --output results/entropy
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import ropewalk
from ropewalk.cli.output import show
from ropewalk.cli.progress import LiveReporter
from ropewalk.report.entropy import entropy_table, write_entropy_figure
from ropewalk.result import EntropyComparison
from ropewalk.run.entropy import measure_entropy

LENGTH, DOCUMENTS = 2048, 8
METHODS = ("abf", "entropy-abf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="Where result.json and figure.png go.")
    output = parser.parse_args().output
    with LiveReporter() as reporter, tempfile.TemporaryDirectory() as work:
        folders = [ropewalk.extend("builtin", name, LENGTH, output=Path(work) / name) for name in METHODS]
        results = [
            measure_entropy(model, [LENGTH], name="builtin", documents=DOCUMENTS, progress=reporter.advance)
            for model in ("builtin", *folders)
        ]
    output.mkdir(parents=True, exist_ok=True)
    comparison = EntropyComparison(results=tuple(results))
    (output / "result.json").write_text(comparison.model_dump_json(indent=1) + "\n", "utf-8")
    write_entropy_figure(results, output / "figure.png")
    show(entropy_table(results))


if __name__ == "__main__":
    main()
