"""The explanation of one method or sampler for people: the paper's idea, then the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.cli.output import facts as fact_table
from ropewalk.cli.output import plain_table
from ropewalk.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from ropewalk.cli.register_tables import Entry
    from ropewalk.rope import Rope

MOST_ROWS = 24
EDGE_ROWS = 3
SHOWN_RUNS = 6
VERBATIM = ("Equation", "Symbols")  # set in lines and columns by their author


def explanation(
    chosen: Sequence[Entry], rope: Rope, target_length: int, numbers: dict[str, Any]
) -> list[RenderableType]:
    """The parts to print, from top to bottom.

    Args:
        chosen: The method, the sampler, or both of a name.
        rope: The trained geometry.
        target_length: Tokens of the extended window.
        numbers: What `ropewalk.analysis.explain` says.
    """
    parts: list[RenderableType] = []
    for entry in chosen:
        parts += [_heading(entry), *_sections(entry), ""]
    geometry = f"head_dim {rope.head_dim}, base {rope.base:,.10g}, {rope.trained_length:,} to {target_length:,} tokens"
    parts += [f"Numbers for {geometry}", ""]
    if not all(issubclass(entry, Sampler) for entry in chosen):
        parts += [pair_table(rope, numbers), scale_table(numbers)]
    if "examples" in numbers:
        parts += [position_table(numbers)]
    return parts


def _heading(entry: Entry) -> RenderableType:
    from rich.text import Text

    kind = "training positions" if issubclass(entry, Sampler) else "method"
    aliases = f", also called {', '.join(entry.aliases)}" if entry.aliases else ""
    return Text.assemble((entry.name, "bold"), f" ({kind}{aliases})")


def _sections(entry: Entry) -> list[RenderableType]:
    sections = {label: text if label in VERBATIM else reflowed(text) for label, text in entry.sections().items()}
    return [sections.pop("Summary"), "", fact_table(list(sections.items()))]


def reflowed(text: str) -> str:
    """The paragraphs of a docstring without its line breaks, so that the terminal can set its own."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def pair_table(rope: Rope, numbers: dict[str, Any]) -> Table:
    """Wavelengths before and after, turns and stretch of each pair, or of a fair choice of them."""
    stretch = np.asarray(numbers["stretch"])
    shown = chosen_pairs(stretch, rope.turns)
    count = f"{len(shown)} of {rope.pairs} pairs; --json has all" if len(shown) < rope.pairs else f"{rope.pairs} pairs"
    table = plain_table(
        ">pair",
        ">wavelength",
        ">turns in window",
        ">stretch",
        ">new wavelength",
        ">new rad/token",
        title=f"Pairs ({count})",
    )
    for pair in shown:
        table.add_row(
            str(pair),
            f"{rope.wavelengths[pair]:,.1f}",
            f"{rope.turns[pair]:,.2f}",
            f"{stretch[pair]:.4f}",
            f"{numbers['wavelengths'][pair]:,.1f}",
            f"{numbers['frequencies'][pair]:.4e}",
        )
    return table


def chosen_pairs(
    stretch: np.ndarray[Any, np.dtype[np.float64]], turns: np.ndarray[Any, np.dtype[np.float64]]
) -> list[int]:
    """At most about `MOST_ROWS` pairs that tell the story.

    All where they are few; else both ends, the pairs where the stretch begins and stops to change, the last pair
    that completes a turn, and evenly spaced ones between.
    """
    pairs = len(stretch)
    if pairs <= MOST_ROWS:
        return list(range(pairs))
    ends = [*range(EDGE_ROWS), *range(pairs - EDGE_ROWS, pairs)]
    bends = np.flatnonzero(np.diff(stretch) > 1e-9)
    turning = [int(bends[0]), int(bends[-1]) + 1] if bends.size else []
    complete = [int(np.sum(turns >= 1)) - 1] if turns[0] >= 1 else []
    spaced = np.linspace(0, pairs - 1, MOST_ROWS - len(ends) - len(turning) - len(complete)).round().astype(int)
    return sorted({*ends, *turning, *complete, *spaced.tolist()})


def scale_table(numbers: dict[str, Any]) -> Table:
    """What logits are multiplied by at some positions, in the first and in the last layer."""
    table = plain_table(">query position", ">first layer", ">last layer", title="Attention scale (times the logits)")
    for row in numbers["attention_scale"]:
        table.add_row(f"{row['position']:,}", f"{row['first_layer']:.4f}", f"{row['last_layer']:.4f}")
    return table


def position_table(numbers: dict[str, Any]) -> Table:
    """Some drawn windows as runs of consecutive positions."""
    table = plain_table(">window", "positions", title="Training positions (examples)")
    for number, example in enumerate(numbers["examples"]):
        table.add_row(str(number), run_text(example))
    return table


def run_text(values: Sequence[int]) -> str:
    """Positions as runs, such as `0-31, 8000-12031`; many runs are cut in the middle and counted."""
    array = np.asarray(values)
    runs = [
        f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}"
        for run in np.split(array, np.flatnonzero(np.diff(array) != 1) + 1)
    ]
    if len(runs) <= SHOWN_RUNS:
        return ", ".join(runs)
    half = SHOWN_RUNS // 2
    return f"{', '.join(runs[:half])}, ... {', '.join(runs[-half:])} ({len(runs)} runs)"
