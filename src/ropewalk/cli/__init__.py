"""The command line: typed verbs over the layers below. Heavy imports happen inside the commands."""

from __future__ import annotations


def main() -> None:
    """Runs the command line on this process's arguments and exits with its status.

    Exit codes: 0 done; 2 refused (a `RopewalkError`, or an option that does not exist); 130 stopped with Ctrl-C.
    """
    from ropewalk.cli.app import app

    app(prog_name="ropewalk")
