"""One study left alone, one killed again and again, one by two processes: `python killed_studies.py FOLDER KILLS`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from studies import small_cell, small_study

from ropewalk.reproduce.study import run_study
from ropewalk.run.extension import Silent


class Writing(Silent):
    """Writes what is said into a file of the process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder.with_name(f"{folder.name}-{os.getpid()}.said")

    def stage(self, text: str) -> None:
        with self.file.open("a") as file:
            file.write(text + "\n")


def attempt(folder: Path) -> int:
    """Starts the study in a process of its own, going on from what is there."""
    child = os.fork()
    if child:
        return child
    run_study(small_study(small_cell(steps=4), small_cell("none", steps=4)), folder, Writing(folder))
    os._exit(0)


def main() -> None:
    folder, kills = Path(sys.argv[1]), int(sys.argv[2])
    started = time.monotonic()
    assert os.waitpid(attempt(folder / "whole"), 0)[1] == 0
    seconds = time.monotonic() - started
    rng = np.random.default_rng(5)
    killed = 0
    for _ in range(kills):
        child = attempt(folder / "killed")
        time.sleep(seconds * rng.uniform(0.05, 0.3))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert os.waitpid(attempt(folder / "killed"), 0)[1] == 0
    both = [attempt(folder / "shared") for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in both] == [0, 0]
    print(killed)


if __name__ == "__main__":
    main()
