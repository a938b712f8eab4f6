"""A training step that does not fit is explained, with what would make it fit."""

from __future__ import annotations

import resource
import subprocess
import sys


def test_a_step_that_does_not_fit_is_explained_and_leaves_nothing_behind(tmp_path):
    limit = 6 * 10**9
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ropewalk", "extend", "builtin", "--to", "8192", "--steps", "2", "--no-gate"),
            *("--method", "yarn"),
            *("--entry", "train.batch=16", "-o", str(tmp_path / "long")),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 2
    assert "Error: a training step must fit the memory of its device; a step of 16 x 8,192 tokens needs" in done.stderr
    assert "mask between documents 4.3 GB" in done.stderr
    assert "Enough: micro_batch = 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
