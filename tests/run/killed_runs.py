"""One run killed again and again, and one left alone: `python killed_runs.py RUN.toml FOLDER KILLS`.

Everything is imported once; each attempt is a fork of that, so that a kill meets a run at work and not an import.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import tomllib
from pathlib import Path

import numpy as np

from ropewalk.errors import RopewalkError
from ropewalk.run.extension import run_extension
from ropewalk.run.runfile import parse_run


def attempt(run, output: Path) -> int:
    """Starts the run in a process of its own, going on from what is there."""
    child = os.fork()
    if child:
        return child
    try:
        run_extension(run, output, resume=True)
    except RopewalkError as error:
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)


def main() -> None:
    run = parse_run(tomllib.loads(Path(sys.argv[1]).read_text()), where="test")
    folder, kills = Path(sys.argv[2]), int(sys.argv[3])
    started = time.monotonic()
    assert os.waitpid(attempt(run, folder / "whole"), 0)[1] == 0
    whole_seconds = time.monotonic() - started
    rng = np.random.default_rng(11)
    killed = 0
    for _ in range(kills):
        child = attempt(run, folder / "killed")
        time.sleep(whole_seconds * rng.uniform(0.05, 0.4))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert os.waitpid(attempt(run, folder / "killed"), 0)[1] == 0
    print(killed)


if __name__ == "__main__":
    main()
