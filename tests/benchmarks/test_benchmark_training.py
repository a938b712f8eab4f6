"""The benchmarks of training run, agree with their peer, and give no ratio for steps that disagree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GPU_PARTS = ["longest context", "training speed", "needle sweep, tiny", "scoring in one forward", "search"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_step_agrees_with_every_peer_on_a_tiny_shape(tmp_path):
    output = tmp_path / "training.json"
    done = run(str(BENCHMARKS / "training.py"), "--shape", "tiny", "--repeats", "1", "--output", str(output))
    assert done.returncode == 0, done.stderr
    lines = json.loads(output.read_text("utf-8"))["lines"]
    assert [line["number"] for line in lines] == ["1, 2", "1a", "1d"]
    for line in lines:
        assert line["agreement"]
        assert line["time_ratio"] > 0
        assert line["memory_ratio"] > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{'a': torch.ones(3) * 1.001}", "the gradients of a differ by 0.001"),
        ("{}", "only one way has gradients of ['a']"),
    ],
)
def test_two_steps_that_disagree_have_no_ratio(wrong, said):
    """Bite: a gradient that is wrong by a thousandth, and one that is missing."""
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "import torch\n"
        "from training import assert_same\n"
        f"assert_same({wrong}, {{'a': torch.ones(3)}})\n"
    )
    assert said in run("-c", code).stderr


def test_every_part_for_a_gpu_runs_on_tiny_shapes(tmp_path):
    output = tmp_path / "gpu.json"
    done = run(str(BENCHMARKS / "gpu.py"), "--tiny", "--output", str(output))
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text("utf-8"))
    assert record["tiny"]
    assert list(dict.fromkeys(figure["part"] for figure in record["figures"])) == GPU_PARTS
    for figure in record["figures"]:
        assert figure["value"] is not None, figure["words"]


def test_without_a_gpu_the_full_shapes_are_refused_in_words(tmp_path):
    done = run(
        "-c",
        f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); sys.argv = ['gpu.py']\n"
        "import torch; torch.cuda.is_available = lambda: False\n"
        "import gpu; gpu.main()",
    )
    assert "this benchmark needs a CUDA device; --tiny shows on any machine that its parts run" in done.stderr
