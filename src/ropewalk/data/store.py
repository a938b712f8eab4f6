"""Documents as tokens: Arrow batches in memory, or in a file that is mapped and not read.

A row is a document, or a piece of a long one; the columns are those of `SCHEMA`. The file is an Arrow stream, the form
in which `datasets` keeps its own: `Dataset.from_file` opens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from ropewalk.rope import Integers

BATCH_TOKENS = 2**20  # of a batch of rows: what is held in memory while a store is written
SCHEMA = pa.schema(
    [
        ("tokens", pa.list_(pa.int32())),
        ("supervised", pa.list_(pa.bool_())),  # null in plain text: everything is learnt
        ("name", pa.string()),
        ("example", pa.int64()),  # rows of one example have one number
        ("continues", pa.bool_()),  # the document of the row before goes on
        ("learnt", pa.int64()),  # tokens
    ]
)


class TokenStore:
    """A sequence of token documents that are read in parts.

    Attributes:
        lengths: Tokens of each document, int64 `[documents]`.
        learnt: Those of them that are learnt, int64 `[documents]`.
        examples: Number of the example that each document came from; one may give several.
        has_conversations: Whether any document has a mask of its own.
    """

    def __init__(self, table: pa.Table, path: Path | None = None) -> None:
        """Makes the index; the tokens stay where they are.

        Args:
            table: Rows as in `SCHEMA`.
            path: The file that the table is mapped from, if any.
        """
        self.path, self._table = path, table
        chunks = table.column("tokens").chunks
        self._offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        self._tokens = [chunk.values.to_numpy() for chunk in chunks]
        self._masks = [(chunk.offsets.to_numpy(), chunk.values) for chunk in table.column("supervised").chunks]
        self._has_mask = _flat(table.column("supervised").is_valid())
        rows = np.concatenate([np.zeros(0, np.int64), *(np.diff(offsets) for offsets in self._offsets)])
        self._chunk_start = _starts(np.array([len(chunk) for chunk in chunks], dtype=np.int64))
        self._row_start = _starts(rows.astype(np.int64))
        self._first_row = np.flatnonzero(~_flat(table.column("continues")))
        self.lengths = _sums(np.diff(self._row_start), self._first_row)
        self.learnt = _sums(_flat(table.column("learnt")), self._first_row)
        self.examples = _flat(table.column("example"))[self._first_row]
        self.has_conversations = bool(self._has_mask.any())

    @classmethod
    def of(cls, documents: Iterable[Sequence[int] | Integers]) -> TokenStore:
        """A store in memory of plain documents, named by their numbers."""
        batches: list[pa.RecordBatch] = []
        with StoreWriter(batches.append) as writer:
            for number, tokens in enumerate(documents):
                writer.add(f"document {number}", np.asarray(tokens), example=number)
        return cls(pa.Table.from_batches(batches, SCHEMA))

    @classmethod
    def open(cls, path: Path) -> TokenStore:
        """Maps a file.

        Raises:
            OSError, pyarrow.ArrowInvalid: It is not there, or not a whole Arrow stream.
        """
        with pa.ipc.open_stream(pa.memory_map(str(path))) as stream:
            return cls(stream.read_all(), path)

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process gets: the file's name, not its content."""
        return (TokenStore.open, (self.path,)) if self.path else (TokenStore, (self._table,))

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.lengths)

    def __getitem__(self, document: int) -> Integers:
        """All tokens of a document."""
        return self.read(document, 0, int(self.lengths[document]))

    def read(self, document: int, start: int, stop: int) -> Integers:
        """Tokens `start` to `stop` of a document, int64."""
        parts = [self._tokens[c][begin:end] for c, _, begin, end in self._places(document, start, stop)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def supervised(self, document: int, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Which of these tokens are learnt, or None for plain text, where all are."""
        if not self._has_mask[self._first_row[document]]:
            return None
        parts = []
        for chunk, row, begin, end in self._places(document, start, stop):
            offsets, values = self._masks[chunk]
            shift = int(offsets[row]) - int(self._offsets[chunk][row])
            parts.append(values.slice(begin + shift, end - begin).to_numpy(zero_copy_only=False))
        return np.concatenate([np.zeros(0, dtype=bool), *parts])

    def name(self, document: int) -> str:
        """Where the document stood, such as `chats.jsonl:17`."""
        return str(self._table.column("name")[int(self._first_row[document])].as_py())

    def _places(self, document: int, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """Chunk, row in it, and the range of its values, for each row that the tokens lie in."""
        base = int(self._row_start[self._first_row[document]])
        begin, end = base + start, base + min(stop, int(self.lengths[document]))
        row = int(np.searchsorted(self._row_start, begin, side="right")) - 1
        while begin < end:
            until = min(end, int(self._row_start[row + 1]))
            chunk = int(np.searchsorted(self._chunk_start, row, side="right")) - 1
            place = row - int(self._chunk_start[chunk])
            shift = int(self._offsets[chunk][place]) - int(self._row_start[row])
            yield chunk, place, begin + shift, until + shift
            begin, row = until, row + 1


class StoreWriter:
    """Gathers rows into batches and hands each on; a context manager that hands on the last at its end."""

    def __init__(self, write: Callable[[pa.RecordBatch], object]) -> None:
        self._write = write
        self._rows: list[tuple[str, Integers, NDArray[np.bool_] | None, int, bool]] = []
        self._waiting = 0

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._hand_on()

    def add(
        self,
        name: str,
        tokens: Integers,
        supervised: NDArray[np.bool_] | None = None,
        *,
        example: int,
        continues: bool = False,
    ) -> None:
        """One more row; an empty one is kept only to begin a document."""
        self._rows.append((name, tokens, supervised, example, continues))
        self._waiting += len(tokens)
        if self._waiting >= BATCH_TOKENS or len(self._rows) >= BATCH_TOKENS // 16:
            self._hand_on()

    def _hand_on(self) -> None:
        if not self._rows:
            return
        names, tokens, masks, examples, continues = zip(*self._rows, strict=True)
        none = np.array([mask is None for mask in masks])
        learnt = [len(row) if mask is None else int(mask.sum()) for row, mask in zip(tokens, masks, strict=True)]
        columns = [
            _lists(tokens, np.dtype(np.int32)),
            _lists([[] if mask is None else mask for mask in masks], np.dtype(bool), none),
            pa.array(names, pa.string()),
            pa.array(examples, pa.int64()),
            pa.array(continues, pa.bool_()),
            pa.array(learnt, pa.int64()),
        ]
        self._write(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        self._rows, self._waiting = [], 0


def _lists(rows: Sequence[Any], kind: np.dtype[Any], null: NDArray[np.bool_] | None = None) -> pa.ListArray:
    offsets = _starts(np.array([len(row) for row in rows])).astype(np.int32)
    values = pa.array(np.concatenate([np.zeros(0, kind), *rows]).astype(kind))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=None if null is None else pa.array(null))


def _flat(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.asarray(column.to_numpy())


def _starts(lengths: Integers) -> Integers:
    """Where each of several things begins that stand one after another, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _sums(values: Integers, first: Integers) -> Integers:
    """Sums over groups of rows, each from its first row to the next group's."""
    ends = _starts(values)
    bounds = np.concatenate([first, [len(values)]]).astype(np.int64)
    return np.array(ends[bounds[1:]] - ends[bounds[:-1]], dtype=np.int64)
