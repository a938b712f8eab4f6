"""Records out of files: lines of JSON, a list in JSON, tables, data sets of the hub; and long texts in pieces.

Each reader gives (place, record) for every record, in order, and holds a bounded part of the file. A record that
cannot be read is an `UnusableError` that says why, in its place.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from ropewalk.data.conversations import UnusableError
from ropewalk.data.documents import not_utf8, read_text
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Reading = tuple[str, Any]

LINES = (".jsonl", ".ndjson")
LISTS = (".json",)  # or lines: both are in use under this name
TABLES = (".parquet",)
BYTE_ORDER_MARK = "\ufeff"
ROWS = 256  # of a table that are held at a time
HEAD = 4096  # bytes of a file, in which it shows whether it is a list
BLOCK = 1 << 20  # characters of a list that are read at a time
MARGIN = 64  # an error this near to the end of what was read may be the end's doing
PIECE = 1 << 20  # bytes of a text that are held at a time


def read_lines(file: Path, name: str) -> Iterator[Reading]:
    """The object in each line that is not blank, numbered from 1 as editors do."""
    with _opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield f"{name}:{number}", _parsed(line)


def read_list(file: Path, name: str) -> Iterator[Reading]:
    """The items of a file that holds one JSON list, ShareGPT's own form; a file that holds none is read by lines."""
    with _opened(file) as stream:
        head = stream.read(HEAD).removeprefix(codecs.BOM_UTF8)
    if not head.lstrip().startswith(b"["):
        yield from read_lines(file, name)
        return
    with _opened(file) as raw:
        # A byte that is not UTF-8 spoils its item only: it comes through as half a surrogate pair.
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape")
        for number, item in enumerate(_items(text), start=1):
            yield f"{name}, item {number}", item


def read_table(file: Path, name: str, columns: tuple[str, ...]) -> Iterator[Reading]:
    """The rows of a Parquet file, numbered from 1, with those of the columns that it has.

    Raises:
        DataError: The file is not Parquet, or damaged.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            present = [column for column in columns if column in table.schema_arrow.names]
            number = 0
            for batch in table.iter_batches(batch_size=ROWS, columns=present):
                for row in _rows(batch):
                    number += 1
                    yield f"{name}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"a file that ends in .parquet must be a whole Parquet file; '{file}' is not ({_first_line(error)}). "
            "Write or copy it again."
        ) from error


def hub_parts(spec: str) -> tuple[str, str | None, str]:
    """Name, configuration and split of `NAME[:CONFIG][@SPLIT]`."""
    name, _, split = spec.partition("@")
    name, _, config = name.partition(":")
    return name, config or None, split or "train"


def read_hub(spec: str) -> Iterator[Reading]:
    """The rows of a data set of the Hugging Face hub, streamed: nothing but what is read is downloaded.

    Args:
        spec: `NAME[:CONFIG][@SPLIT]`; the split is `train` by default, and a folder will do as a name.

    Raises:
        DataError: The hub, the data set, its configuration or its split cannot be had.
    """
    import datasets

    name, config, split = hub_parts(spec)
    try:
        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield f"{name}, row {number}", row
    except Exception as error:  # a data set fails in as many ways as there are readers and networks behind it
        raise DataError(
            f"'hub:NAME:CONFIG@SPLIT' must be a data set that the Hugging Face hub serves, with the configuration and "
            f"split if it has several; 'hub:{spec}' cannot be read: {_first_line(error)}. Check the name and the "
            "network, or download the data set and give its folder."
        ) from error


def text_pieces(file: Path) -> Iterator[str]:
    """One UTF-8 text file, in pieces that end at line ends where it is long.

    Raises:
        DataError: The file is empty, not UTF-8, or cannot be read.
    """
    if file.stat().st_size <= PIECE and file.suffix.lower() != ".gz":
        yield read_text(file).removeprefix(BYTE_ORDER_MARK)
        return
    rest = ""
    for block in _decoded(file):
        cut = block.rfind("\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:  # a line longer than a block is cut where the block ends
            if rest:
                yield rest
            rest = block
    if rest:
        yield rest


def _decoded(file: Path) -> Iterator[str]:
    """The text of a file block by block, line ends as in `read_text`."""
    newlines = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    with _opened(file) as stream:
        end, block = 0, b"start"
        while block:
            block = stream.read(PIECE)
            end += len(block)
            try:
                yield newlines.decode(block, final=not block)
            except UnicodeDecodeError as error:
                offset = end - len(error.object) + error.start
                raise not_utf8(file, error.object[error.start], offset) from error


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    """A file, unpacked if it ends in .gz.

    Raises:
        DataError: It cannot be opened, or not be read to its end.
    """
    try:
        with file.open("rb") as stream:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if file.suffix == ".gz" else stream
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"a file of training data must be readable to its end; '{file}' is not: {_first_line(error)}. "
            "Check its permissions, or write or copy it again."
        ) from error


def _items(stream: IO[str]) -> Iterator[Any]:
    """The items of a JSON list, which are held one at a time."""
    decoder = json.JSONDecoder()
    text = ""
    while "[" not in text:
        text = stream.read(BLOCK)
    place = text.index("[") + 1
    while True:
        place = _between(text, place)
        if text.startswith("]", place):
            return
        broken = False
        try:
            item, end = decoder.raw_decode(text, place)
            if end < len(text):  # a number at the end of what was read may go on behind it
                yield item
                place = end
                continue
        except json.JSONDecodeError as error:
            broken = len(text) - error.pos > MARGIN and not error.msg.startswith("Unterminated string")
        except (ValueError, RecursionError):
            broken = True
        block = "" if broken else stream.read(max(BLOCK, len(text) - place))
        if not block:
            yield UnusableError("not JSON, and nothing behind it in the list can be read")
            return
        text, place = text[place:] + block, 0


def _between(text: str, place: int) -> int:
    """Index of what follows white space and commas."""
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place


def _rows(batch: Any) -> Iterator[Any]:
    """The rows of a batch of a table; texts of a table need not be UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for row in range(batch.num_rows):
            try:
                yield batch.slice(row, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield UnusableError("not UTF-8")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return UnusableError("not UTF-8")
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError, a thousand brackets the other
        return UnusableError("not JSON")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
