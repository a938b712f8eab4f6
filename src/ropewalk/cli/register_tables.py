"""The registers of methods and samplers as a table for people and as a list for JSON. Nothing is named by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ropewalk import methods, positions
from ropewalk.analysis import relative_maps
from ropewalk.cli.output import plain_table, titled
from ropewalk.errors import unknown_name
from ropewalk.method import METHODS, Method, OverlayMethod
from ropewalk.sampler import SAMPLERS, Sampler

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ropewalk.analysis.relative_maps import RelativeMap
    from ropewalk.register import Paper

# Width, or share of what is left: the same in both tables, so that their columns stand below one another.
COLUMN_SHAPES = ((12, None), (None, 4), (11, None), (None, 3), (16, None))
LONGEST_NAME = 30  # a summary begins with the method's full name and a colon

Entry: TypeAlias = "type[Method] | type[Sampler]"


def entries(name: str | None) -> list[Entry]:
    """The method of a name or alias with the sampler it brings, or the sampler of that name, or all of both.

    Raises:
        UnknownNameError: Neither a method nor a sampler has that name.
    """
    if name is None:
        return [*map(methods.get, methods.names()), *map(positions.get, positions.names())]
    registers: tuple[dict[str, Any], ...] = (METHODS, SAMPLERS)
    found = [register[name] for register in registers if name in register]
    if not found:
        raise unknown_name("method or sampler", name, {*METHODS, *SAMPLERS, *relative_maps.MAPS})
    brought = getattr(found[0], "sampler", None)
    if brought is not None and SAMPLERS[brought] not in found:
        found.append(SAMPLERS[brought])
    return found


def changes(entry: Entry) -> list[str]:
    """Which of the three choices an entry answers, read off its class."""
    if issubclass(entry, Sampler):
        return ["positions"]
    answered = []
    # What an overlay does not answer itself belongs to the method below it.
    if entry.frequencies not in (Method.frequencies, OverlayMethod.frequencies) or entry.depends_on_length:
        answered.append("frequencies")
    if entry.attention_scale not in (Method.attention_scale, OverlayMethod.attention_scale):
        answered.append("scale")
    if entry.sampler is not None:
        answered.append("positions")
    return answered


def idea(entry: Entry) -> str:
    """The first sentence of the module's docstring, without the name in front of it."""
    first = entry.sections()["Summary"].split("\n\n")[0].replace("\n", " ")
    head, colon, rest = first.partition(": ")
    phrase = rest if colon and len(head) <= LONGEST_NAME else first
    return phrase.removesuffix(".")


def listing() -> dict[str, list[dict[str, Any]]]:
    """Both registers, and the inference maps, ready for JSON."""
    return {
        "methods": [_record(methods.get(name)) for name in methods.names()],
        "samplers": [_record(positions.get(name)) for name in positions.names()],
        "inference_maps": [_map_record(relative_maps.get(name)) for name in relative_maps.names()],
    }


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "aliases": list(entry.aliases),
        "idea": idea(entry),
        "paper": {"title": entry.paper.title, "year": entry.paper.year, "arxiv": entry.paper.arxiv},
        "changes": changes(entry),
        "options": list(entry.option_names()),
        "needs": _needs(entry),
    }


def _map_record(entry: type[RelativeMap]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "idea": entry.idea,
        "paper": {"title": entry.paper.title, "year": entry.paper.year, "arxiv": entry.paper.arxiv},
        "options": list(entry.option_names()),
        "exported": False,
    }


def overview() -> list[RenderableType]:
    """The table of methods, the table of samplers, that of inference maps, and where to read on."""
    return [
        *titled("Methods", _table([methods.get(name) for name in methods.names()])),
        *titled("Training positions", _table([positions.get(name) for name in positions.names()])),
        *titled("Inference maps (inference only: for comparison, never exported)", _map_table()),
        "More about one: ropewalk explain NAME. Any training positions go with any method.",
    ]


def _table(chosen: list[Entry]) -> Table:
    table = plain_table("name", "idea", "changes", "needs", "paper")
    table.expand = True
    for column, (width, ratio) in zip(table.columns, COLUMN_SHAPES, strict=True):
        column.width, column.ratio = width, ratio
    for entry in chosen:
        names = "\n".join([entry.name, *(f"({alias})" for alias in entry.aliases)])
        changed = "\n".join(changes(entry)) or "nothing"
        table.add_row(names, idea(entry), changed, _needs(entry), _reference(entry.paper))
        table.add_section()
    return table


def _map_table() -> Table:
    table = plain_table("name", "idea", "options", "paper")
    table.expand = True
    for column, (width, ratio) in zip(table.columns, (COLUMN_SHAPES[i] for i in (0, 1, 3, 4)), strict=True):
        column.width, column.ratio = width, ratio
    for name in relative_maps.names():
        entry = relative_maps.get(name)
        table.add_row(name, entry.idea, ", ".join(entry.option_names()), _reference(entry.paper))
        table.add_section()
    return table


def _needs(entry: Entry) -> str:
    """The first sentence of what the docstring says under `Needs`."""
    return entry.sections().get("Needs", "").replace("\n", " ").split(". ")[0].rstrip(".")


def _reference(paper: Paper) -> str:
    family = paper.authors.split(",")[0].split(" and ")[0].split()[-1]
    return f"{family} {paper.year}" + (f"\n{paper.arxiv}" if paper.arxiv else "")
