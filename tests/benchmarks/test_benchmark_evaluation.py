"""The benchmark of evaluation runs, agrees with its peers, and gives no ratio for two ways that disagree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LINES = ["3", "3r", "4", "5", "6", "6c", "6w", "7k", "7", "7l"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_every_line_agrees_with_its_peer_on_a_tiny_shape(tmp_path):
    output = tmp_path / "benchmark.json"
    done = run(str(BENCHMARKS / "evaluation.py"), "--shape", "tiny", "--repeats", "1", "--output", str(output))
    assert done.returncode == 0, done.stderr
    lines = json.loads(output.read_text("utf-8"))["lines"]
    assert [line["number"] for line in lines] == LINES
    for line in lines:
        assert line["agreement"]
        assert line["time_ratio"] > 0
        assert line["time_limit"] > 0


def test_two_ways_that_disagree_have_no_ratio():
    """Bite: a window mean that is wrong by 2e-5 nats."""
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "from likelihood import assert_near\n"
        "from side_by_side import by_turns\n"
        "by_turns(lambda: [1.0], lambda: [1.0 + 2e-5], assert_near, repeats=1)\n"
    )
    assert "the two ways differ by 2e-05 nats per token" in run("-c", code).stderr
