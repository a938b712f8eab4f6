"""The explanation of one method or sampler for people: the paper's idea, then the numbers."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.cli.output import console, plain_table, titled
from ropewalk.cli.output import facts as fact_table
from ropewalk.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from ropewalk.cli.register_tables import Entry
    from ropewalk.rope import Floats, Rope

MOST_ROWS = 32  # of these many pairs all are shown
THINNED_ROWS = 24
EDGE_ROWS = 3
SHOWN_RUNS = 6
LABEL_COLUMNS = 12
VERBATIM = ("Equation", "Symbols")  # set in lines and columns by their author


def explanation(chosen: Sequence[Entry], rope: Rope, numbers: dict[str, Any]) -> list[RenderableType]:
    """The parts to print, from top to bottom.

    Args:
        chosen: The method, the sampler, or both of a name.
        rope: The trained geometry.
        numbers: What `ropewalk.analysis.explain` says.
    """
    parts: list[RenderableType] = []
    for entry in chosen:
        parts += [_heading(entry), *_sections(entry), ""]
    reach = f"{rope.trained_length:,} to {numbers['target_length']:,} tokens"
    if numbers["kind"] == "method":
        geometry = f"head_dim {rope.head_dim}, base {rope.base:,.10g}"
        parts += [f"Numbers for {numbers['describe']}: {geometry}, {reach}", "", *pair_parts(rope, numbers)]
        parts += scale_parts(numbers["attention_scale"])
    else:
        parts += [f"Numbers for positions {numbers['describe']}: {reach}", ""]
    if "examples" in numbers:
        parts += [*position_parts(numbers), *coverage_parts(numbers)]
    return parts


def map_explanation(numbers: dict[str, Any]) -> list[RenderableType]:
    """An inference map: what it says of itself, and which distances the last query of a text is told."""
    from rich.text import Text

    paper, rope, reach = numbers["paper"], numbers["rope"], numbers["reach"]
    source = f"arXiv:{paper['arxiv']}" if paper["arxiv"] else paper["url"]
    words = [
        ("Paper", f"{paper['authors'].replace(' and ', ', ')} ({paper['year']}), {source}"),
        ("Equation", numbers["equation"]),
        ("Disagrees", numbers["disagrees"]),
        ("Needs", "Nothing but ropewalk.load(..., inference_map=...): never exported, never trained."),
        ("Reach", "endless" if reach is None else f"{reach:,.0f} tokens"),
    ]
    told = plain_table(">distance", ">told")
    for row in numbers["told"]:
        told.add_row(f"{row['distance']:,}", f"{row['told']:,.2f}")
    scales = plain_table(">query position", ">logits x")
    for row in numbers["attention_scale"]:
        scales.add_row(f"{row['position']:,}", f"{row['scale']:.4f}")
    lengths = f"{rope['trained_length']:,} to {numbers['target_length']:,} tokens"
    return [
        Text.assemble((numbers["name"], "bold"), " (inference map, inference only)"),
        f"{numbers['idea'][0].upper()}{numbers['idea'][1:]}.",
        "",
        fact_table(words),
        "",
        f"Numbers for {numbers['describe']}: {lengths}",
        "",
        *titled("Distances that the last query is told", told),
        *titled("Attention scale", scales),
    ]


def _heading(entry: Entry) -> RenderableType:
    from rich.text import Text

    kind = "training positions" if issubclass(entry, Sampler) else "method"
    aliases = f", also called {', '.join(entry.aliases)}" if entry.aliases else ""
    return Text.assemble((entry.name, "bold"), f" ({kind}{aliases})")


def _sections(entry: Entry) -> list[RenderableType]:
    width = console().width - LABEL_COLUMNS
    sections = {
        label: hanging(text, width) if label in VERBATIM else reflowed(text) for label, text in entry.sections().items()
    }
    return [sections.pop("Summary"), "", fact_table(list(sections.items()))]


def reflowed(text: str) -> str:
    """The paragraphs of a docstring without its line breaks, so that the terminal can set its own."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def hanging(text: str, width: int) -> str:
    """Lines that keep their breaks and columns; what is too long goes on below the start of its last column."""
    lines: list[str] = []
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        # A line that is broken here swallows the author's own continuation, which would else stand in mid-sentence.
        if len(before) > width and _indent(line) > _indent(before):
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(part for line in lines for part in _broken(line, width))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _broken(line: str, width: int) -> list[str]:
    columns = [match.end() for match in re.finditer(r"(?<=\S) {2,}|= ", line) if match.end() <= width // 2]
    below = columns[-1] if columns else _indent(line) + 2
    parts = textwrap.wrap(line, width, subsequent_indent=" " * below, break_long_words=False, break_on_hyphens=False)
    return parts or [""]


def pair_parts(rope: Rope, numbers: dict[str, Any]) -> list[RenderableType]:
    """Wavelengths before and after, turns and stretch of each pair, or of a fair choice of them."""
    stretch = np.array([np.inf if value is None else value for value in numbers["stretch"]])
    beyond = set(numbers["pairs"]["beyond_trained_angles"])
    shown = chosen_pairs(stretch, rope.turns)
    count = f"{len(shown)} of {rope.pairs}, --json has all" if len(shown) < rope.pairs else "all"
    table = plain_table(">pair", ">turns", ">wavelength", ">stretch", ">becomes", ">rad/token", "")
    for pair in shown:
        table.add_row(
            str(pair),
            f"{rope.turns[pair]:,.2f}",
            f"{rope.wavelengths[pair]:,.1f}",
            f"{stretch[pair]:.4f}",
            _number(numbers["wavelengths"][pair]),
            f"{numbers['frequencies'][pair]:.4e}",
            "new angles" if pair in beyond else "",
        )
    title = f"Rotary pairs ({count}): turns in the trained window; wavelength in tokens, before and after"
    return titled(title, table)


def _number(value: float | None) -> str:
    return "inf" if value is None else f"{value:,.1f}"


def chosen_pairs(stretch: Floats, turns: Floats) -> list[int]:
    """The pairs that tell the story: at most `MOST_ROWS`, or `THINNED_ROWS` of more.

    All where they are few; else both ends, the pairs where the stretch begins and stops to change, the last pair
    that completes a turn, and evenly spaced ones between.
    """
    pairs = len(stretch)
    if pairs <= MOST_ROWS:
        return list(range(pairs))
    ends = [*range(EDGE_ROWS), *range(pairs - EDGE_ROWS, pairs)]
    bends = np.flatnonzero(stretch[1:] > stretch[:-1] * (1 + 1e-9))
    turning = [int(bends[0]), int(bends[-1]) + 1] if bends.size else []
    complete = [int(np.sum(turns >= 1)) - 1] if turns[0] >= 1 else []
    spaced = np.linspace(0, pairs - 1, THINNED_ROWS - len(ends) - len(turning) - len(complete)).round().astype(int)
    return sorted({*ends, *turning, *complete, *spaced.tolist()})


def scale_parts(rows: Sequence[dict[str, Any]]) -> list[RenderableType]:
    """What logits are multiplied by: one sentence where it is one number, else a table."""
    values = {value for row in rows for value in (row["first_layer"], row["last_layer"])}
    if len(values) == 1:
        where = ", ".join(f"{row['position']:,}" for row in rows)
        sentence = f"Logits are multiplied by {values.pop():.4f} at query positions {where}, in first and last layer."
        return [sentence, ""]
    table = plain_table(">query position", ">first layer", ">last layer")
    for row in rows:
        table.add_row(f"{row['position']:,}", f"{row['first_layer']:.4f}", f"{row['last_layer']:.4f}")
    return titled("Attention scale (logits are multiplied by)", table)


def position_parts(numbers: dict[str, Any]) -> list[RenderableType]:
    """Some drawn windows as runs of consecutive positions."""
    table = plain_table(">sample", "positions")
    for number, example in enumerate(numbers["examples"]):
        table.add_row(str(number), run_text(example))
    return titled(f"Training positions, windows of {numbers['sampler']['window']:,} tokens (examples)", table)


def run_text(values: Sequence[int]) -> str:
    """Positions as runs, such as `0-31, 8000-12031`; many runs are cut in the middle and counted."""
    array = np.asarray(values)
    parts = np.split(array, np.flatnonzero(np.diff(array) != 1) + 1)
    runs = [f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in parts]
    if len(runs) <= SHOWN_RUNS:
        return ", ".join(runs)
    half = SHOWN_RUNS // 2
    return f"{', '.join(runs[:half])}, ... {', '.join(runs[-half:])} ({len(runs):,} runs)"


def coverage_parts(numbers: dict[str, Any]) -> list[RenderableType]:
    """How likely a window holds two tokens at a distance, by bands of distances."""
    found = numbers["coverage"]
    table = plain_table(">from distance", ">to", ">covered by one window")
    for band in found["bands"]:
        table.add_row(f"{band['from']:,}", f"{band['to']:,}", f"{band['covered']:.3f}")
    sentence = (
        f"One window covers {found['mean']:.3f} of all distances on average, and the farthest one with probability "
        f"{found['farthest']:.4f}; all windows together cover {found['ever']:.3f}."
    )
    drawn = f"{found['draws']:,} windows drawn, seed {found['seed']}"
    return [*titled(f"Distances that training shows ({drawn})", table), sentence]
