"""The benchmark of merging runs, holds the weights that peft merges, and finds out a merge that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_both_merges_agree_on_a_tiny_shape(tmp_path):
    output = tmp_path / "merging.json"
    arguments = [str(BENCHMARKS / "merging.py"), "--shape", "tiny", "--repeats", "1", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    lines = json.loads(output.read_text("utf-8"))["lines"]
    assert [line["targets"] for line in lines] == ["q, k, v, o", "all"]
    for line in lines:
        assert "others unchanged" in line["agreement"]
        assert set(line["costs"]) == {"copy", "link", "ours", "peft"}
        assert line["costs"]["ours"]["peak_memory_bytes"] < line["memory_target_bytes"]


@pytest.mark.parametrize(
    ("merged", "untouched", "message"),
    [(1.01, 0.0, "the two merges differ by"), (0.0, 0.0, "q was not merged"), (1.0, 1.0, "n was changed without")],
)
def test_a_merge_that_is_wrong_has_no_cost(tmp_path, monkeypatch, merged, untouched, message):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from merging import compared

    folders = [tmp_path / name for name in ("source", "ours", "peft")]
    for folder, q, n in zip(folders, (0.0, merged, 1.0), (0.0, untouched, 0.0), strict=True):
        folder.mkdir()
        save_file({"q": torch.full((2, 2), q), "n": torch.full((2,), n)}, folder / "model.safetensors")
    with pytest.raises(AssertionError, match=message):
        compared(*folders, {"q": None})
