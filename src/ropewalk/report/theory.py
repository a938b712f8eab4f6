"""Position Interpolation's bounds, recomputed for a page: what is printed, what is right, and where it ends."""

from __future__ import annotations

import numpy as np

from ropewalk.analysis import theory
from ropewalk.report.markdown import markdown_table
from ropewalk.rope import Rope

PAPER = Rope(head_dim=128, base=10_000.0, trained_length=2048)
PLOTTED = 4095  # tokens: the paper's figure ends there
FAR = (2048, 16_383)
SMALL_HEADS = (16, 32, 64)


def theory_section() -> str:
    """The section, as Markdown."""
    distances = np.arange(1, PLOTTED + 1, dtype=np.float64)
    share = theory.partial_sums(PAPER, distances) / PAPER.head_dim
    kindest = int(distances[share.argmin()])
    error = theory.interpolation_error(theory.counter_example(PAPER), PAPER.frequencies, 0.5)
    printed, right = theory.printed_interpolation_bound(PAPER), theory.interpolation_bound(PAPER)
    far = np.arange(FAR[0], FAR[1] + 1, dtype=np.float64)
    below = int((theory.partial_sums(PAPER, far) < PAPER.head_dim).sum())
    rows = [
        ("bound on the interpolation error over max abs(h), as printed: d / (32 ln base)", f"{printed:.5f}"),
        ("the same with the sum of squared frequencies, which the proof needs", f"{right:.5f}"),
        ("error of the counter-example at distance 1/2, above the printed bound", f"{error:.6f}"),
        (f"smallest B(s) / d for s = 1 to {PLOTTED:,} (paper: at least 1, found numerically)", f"{share.min():.4f}"),
        ("where that is", f"s = {kindest:,}"),
        (
            "extrapolation bound over the printed interpolation bound there (paper: about 600)",
            _ratio(printed),
        ),
        ("extrapolation bound over the right interpolation bound", _ratio(right)),
        (f"whole distances from {FAR[0]:,} to {FAR[1]:,} at which B(s) < d", f"{below:,}"),
    ]
    for head_dim in SMALL_HEADS:
        rope = Rope(head_dim=head_dim, base=PAPER.base, trained_length=PAPER.trained_length)
        smallest = float((theory.partial_sums(rope, distances) / head_dim).min())
        rows.append((f"smallest B(s) / d up to {PLOTTED:,} with heads of {head_dim}", f"{smallest:.2f}"))
    words = (
        f"Heads of {PAPER.head_dim}, base {PAPER.base:,.0f}. The printed interpolation bound rests on "
        "base^x <= 1 + x ln base, which has the wrong sign, and a score can exceed it; the second row is right. "
        '"About 600" survives as an order of magnitude on the plotted range, not beyond it, and not for small heads.'
    )
    return f"## Theory\n\n{words}\n\n" + markdown_table(("quantity", ">value"), rows)


def _ratio(interpolation: float) -> str:
    distances = np.arange(1, PLOTTED + 1, dtype=np.float64)
    return f"{float(theory.extrapolation_bound(PAPER, distances).min()) / interpolation:.1f}"
