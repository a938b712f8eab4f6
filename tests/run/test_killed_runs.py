"""A run that is killed at any moment, again and again, ends with the very weights of one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import tomli_w

KILLS = 10
WINDOW = 64  # of the checkpoints


def test_ten_kills_change_no_bit_of_the_weights(checkpoints, text_file, tmp_path):
    run = {
        "model": str(checkpoints["qwen3"]),
        "target_length": 2 * WINDOW,
        "positions": {"name": "cream"},
        "train": {"steps": 40, "batch": 2, "micro_batch": 1, "learning_rate": 1e-3, "save_every": 1, "workers": 1},
        "data": {"files": [str(text_file)]},
    }
    (tmp_path / "run.toml").write_text(tomli_w.dumps(run))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_runs.py")), tmp_path / "run.toml", tmp_path, str(KILLS)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= KILLS // 2  # the last of them may find the run finished
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    for file in whole.glob("*.safetensors"):
        assert (killed / file.name).read_bytes() == file.read_bytes()
    results = [json.loads((folder / "ropewalk" / "result.json").read_text()) for folder in (whole, killed)]
    assert results[0]["losses"] == results[1]["losses"]
    assert results[0]["tokens"] == results[1]["tokens"]
    assert not (tmp_path / "killed.partial").exists()
