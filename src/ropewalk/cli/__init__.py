"""The command line: typed verbs over the layers below. Heavy imports happen inside the commands."""

from __future__ import annotations

import os


def main() -> None:
    """Runs the command line on this process's arguments and exits with its status.

    Exit codes: 0 done; 2 refused (a `RopewalkError`, or an option that does not exist); 130 stopped with Ctrl-C.
    """
    # torch reads it when it is loaded: large tensors then get pages of their own, and go back to the system when they
    # are freed, where glibc's heap would keep the holes between them (a training step: 3 times the memory).
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from ropewalk.cli.app import app

    app(prog_name="ropewalk")
