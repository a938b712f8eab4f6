"""What a plan leaves on disk: its record, its figures, and one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.evals.store import RESULT, write_record
from ropewalk.report import pairs, probe_figure
from ropewalk.report.html import html_page, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.result import ExtensionPlan, Probe

PROBE, PAGE = "probe.json", "report.html"


def keep_plan(plan: ExtensionPlan, probe: Probe | None, folder: Path) -> None:
    """Writes `result.json`, `pairs.png` and `report.html`; with a probe `probe.json` and `probe.png`, too.

    Args:
        plan: The plan.
        probe: What was measured for it, if anything.
        folder: Is made; files of an earlier plan are replaced.

    Raises:
        OutputError: A file cannot be written.
    """
    write_record(folder / RESULT, plan)
    pairs.write_pairs_figure(plan, folder / pairs.FIGURE)
    if probe is not None:
        write_record(folder / PROBE, probe)
        probe_figure.write_probe_figure(probe, folder / probe_figure.FIGURE)
    write_page(html_page([plan] if probe is None else [plan, probe]), folder / PAGE)
