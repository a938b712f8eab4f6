"""Behind a launcher the command does what it does alone: one run, one result, one refusal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ropewalk.cli.app import REFUSED

TEXT = Path(__file__).parents[1] / "reproduce" / "small.txt"  # the built-in modules take seconds to read
RUN = [
    *("extend", "builtin", "--to", "512", "--method", "yarn", "--steps", "2", "--no-gate"),
    *("--entry", "data.window=64", "--data", str(TEXT)),
    *("--entry", "train.batch=4", "--entry", "train.micro_batch=2", "--entry", "train.trainable=embeddings-norms"),
]


def run(*arguments: str, processes: int = 1):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), "-m", "ropewalk", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_processes_make_the_run_of_one_and_speak_once(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run(*RUN, "-o", str(one))
    assert alone.returncode == 0, alone.stderr
    together = run(*RUN, "-o", str(two), processes=2)
    assert together.returncode == 0, together.stderr
    assert together.stdout.replace(str(two), "DIR") == alone.stdout.replace(str(one), "DIR")
    assert together.stderr.count("training 2 of 2") == 1
    results = [json.loads((folder / "ropewalk" / "result.json").read_text()) for folder in (one, two)]
    for first, second in zip(*(result["losses"] for result in results), strict=True):
        assert abs(first - second) < 1e-5
    assert results[0]["tokens"] == results[1]["tokens"]
    assert not (tmp_path / "two.partial").exists()

    refused = run(*RUN, "-o", str(two), processes=2)
    assert refused.stderr.count("Error: the output folder must not exist") == 1
    assert f"exitcode  : {REFUSED}" in refused.stderr
    assert "ropewalk/cli" not in refused.stderr  # torchrun prints a traceback of its own
