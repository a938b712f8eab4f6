"""Training examples from files, folders, data sets of the hub and the built-in corpus, one at a time.

What is broken in a file of many examples never stops a run: it is left out, and counted with its reason and place. A
file that is one document must be whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.data.conversations import Turn, UnusableError, is_missing, is_unicode, turns_of
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import files_below
from ropewalk.data.readers import (
    LINES,
    LISTS,
    TABLES,
    hub_parts,
    read_hub,
    read_lines,
    read_list,
    read_table,
    text_pieces,
)
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ropewalk.data.readers import Reading
    from ropewalk.data.tally import Tally

BUILT_IN = "builtin"
HUB = "hub:"
CONVERSATION_KEYS = ("conversations", "messages")
TEXT_KEYS = ("text", "content")
SYSTEM_KEY = "system"  # where some ShareGPT-shaped files keep the system turn, beside the conversation


@dataclass(frozen=True)
class Example:
    """One document or one conversation.

    Attributes:
        name: Where it stands: `chats.jsonl:17`, a text file's path, a module of the built-in corpus.
        text: A document, or a piece of a long one; None for a conversation.
        turns: A conversation; None for a document.
        continues: The text goes on where the text of the example before it ended: one document.
    """

    name: str
    text: str | None = None
    turns: tuple[Turn, ...] | None = None
    continues: bool = False


def lies_on_the_hub(path: str) -> bool:
    """Whether a source must be fetched: `hub:` and a name that no folder has."""
    return path.startswith(HUB) and not Path(local_path(path)).exists()


def local_path(path: str) -> str:
    """Where a source lies, if it lies here."""
    return hub_parts(path.removeprefix(HUB))[0] if path.startswith(HUB) else path


def source_files(path: str) -> list[Path]:
    """The files that a source consists of: one file, or those below a folder, in order; none for `builtin` and `hub:`.

    Raises:
        DataError: The path does not exist, or is a folder without files.
    """
    if path == BUILT_IN or path.startswith(HUB):
        return []
    given = Path(path)
    if not given.exists():
        raise DataError(
            f"training data must be a file, a folder, '{HUB}NAME' or '{BUILT_IN}'; '{path}' does not exist. "
            "Check the path."
        )
    return files_below(given) if given.is_dir() else [given]


def read_examples(path: str, tally: Tally, *, column: str | None = None) -> Iterator[Example]:
    """Reads the examples of a source, in order and in bounded memory.

    Args:
        path: A file, a folder (the files below it, sorted, hidden ones aside), `hub:NAME[:CONFIG][@SPLIT]`, or
            `builtin`. Files that end in .jsonl, .ndjson, .json (one object a line, or one list) and .parquet hold many
            examples, also with .gz behind; any other file is one document.
        tally: Counts what was read and left out.
        column: The key that holds a text or a conversation; by default the first that holds something of
            `conversations`, `messages`, `text` and `content`.

    Raises:
        DataError: The source does not exist or cannot be read, or nothing of it can be used.
    """
    none_left = True
    for example in _examples(path, tally, column):
        none_left = False
        yield example
    if none_left:
        raise tally.nothing_used(path)


def _examples(path: str, tally: Tally, column: str | None) -> Iterator[Example]:
    if path == BUILT_IN:
        for name, text in standard_library(held_out=False).documents.items():
            tally.read()
            yield Example(name, text=text)
        return
    if path.startswith(HUB):
        yield from _good(read_hub(path.removeprefix(HUB)), tally, column)
        return
    for file in source_files(path):
        name = str(file.relative_to(path)) if Path(path).is_dir() else file.name
        readings = _readings(file, name, column)
        if readings is not None:
            yield from _good(readings, tally, column)
            continue
        tally.read()
        for index, piece in enumerate(text_pieces(file)):
            yield Example(str(file), text=piece, continues=index > 0)


def _readings(file: Path, name: str, column: str | None) -> Iterator[Reading] | None:
    """The records of a file of many examples; None for a file that is one document."""
    ending = (file.with_suffix("").suffix if file.suffix.lower() == ".gz" else file.suffix).lower()
    if ending in TABLES:
        keys = (column,) if column else (*CONVERSATION_KEYS, *TEXT_KEYS)
        return read_table(file, name, (*keys, SYSTEM_KEY))
    if ending in LISTS:
        return read_list(file, name)
    return read_lines(file, name) if ending in LINES else None


def _good(readings: Iterator[Reading], tally: Tally, column: str | None) -> Iterator[Example]:
    """The examples that can be used; the tally counts the others."""
    for where, record in readings:
        tally.read()
        notes: list[str] = []
        try:
            example = _example(where, record, notes, column)
        except UnusableError as reason:
            tally.dropped(str(reason), where)
            continue
        for note in notes:
            tally.noted(note, where)
        yield example


def _example(where: str, record: Any, notes: list[str], column: str | None) -> Example:
    """One record as an example.

    Raises:
        UnusableError: It holds neither a text nor a conversation that can be trained on.
    """
    if isinstance(record, UnusableError):
        raise record
    if not isinstance(record, dict):
        raise UnusableError("not an object")
    keys = (column,) if column else (*CONVERSATION_KEYS, *TEXT_KEYS)
    key = next((key for key in keys if not is_missing(record.get(key))), None)
    if key is None:
        raise UnusableError(f"no '{column}'" if column else "no text and no conversation")
    value = record[key]
    if key in CONVERSATION_KEYS or isinstance(value, list | dict):
        return Example(where, turns=_with_system(record.get(SYSTEM_KEY), turns_of(value, notes.append)))
    if not isinstance(value, str):
        raise UnusableError("a text that is not text")
    if not value.strip():
        raise UnusableError("an empty text")
    if not is_unicode(value):
        raise UnusableError("text that is not Unicode")
    return Example(where, text=value)


def _with_system(system: Any, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The conversation with the system turn that stands beside it, if one does and it has none of its own."""
    beside = isinstance(system, str) and system.strip() and is_unicode(system) and turns[0].role != "system"
    return (Turn("system", system), *turns) if beside else turns
