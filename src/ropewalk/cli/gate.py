"""The short-context gate on the terminal: its flags, its table, its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ropewalk.cli.settings import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ropewalk.result import GateResult
    from ropewalk.run.gate import GateSettings

UNMET = 1  # the work is done, and a demand on its result is not met; 2 is what cannot be done


def gate_settings(
    files: Sequence[str],
    *,
    control: bool,
    tasks: bool,
    limit: int | None,
    include: Sequence[str],
    required: bool,
    left_out: bool,
) -> GateSettings | None:
    """The flags as settings; None for no gate.

    Raises:
        OptionError: The gate, or its tasks, are left out and asked for at once; a limit below 1.
    """
    about_tasks = {"--gate-limit": limit, "--gate-include": include}
    if left_out:
        flags = {"--gate-data": files, "--gate-control": control, "--gate-tasks": tasks, **about_tasks}
        refuse_unread("--no-gate leaves the gate out", {**flags, "--require-gate": required}, "drop --no-gate")
        return None
    if not tasks:
        refuse_unread("the gate asks no tasks", about_tasks, "add --gate-tasks")
    from ropewalk.run.gate import GateSettings, GateTasks

    asked = GateTasks(limit=limit, include=tuple(include)) if tasks else None
    return GateSettings(files=tuple(files), control=control, tasks=asked)


def show_gate(result: GateResult | None) -> None:
    """Prints the table, the verdict and what it does not show; nothing without a gate."""
    from ropewalk.cli.output import note, show
    from ropewalk.report.gate import gate_table, gate_verdict

    if result is None:
        return
    table = gate_table(result)
    show(*([table] if table else []), gate_verdict(result))
    note("Note", result.notes)


def require_pass(result: GateResult | None, output: Path) -> None:
    """Ends with exit code 1 unless the gate passed; the checkpoint stands all the same.

    Raises:
        typer.Exit: With code 1.
    """
    from ropewalk.cli.output import console

    if result is not None and result.verdict == "PASS":
        return
    verdict = f"is {result.verdict}" if result else "did not run in the earlier, finished run"
    console(error=True).print(
        f"The short-context gate must pass (--require-gate); it {verdict}. The checkpoint stands in {output}.",
        soft_wrap=True,
    )
    raise typer.Exit(UNMET)
