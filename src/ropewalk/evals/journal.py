"""The journal of an unfinished evaluation: a killed one, run again, goes on where it stopped.

`DIR.partial/journal.jsonl` holds a line of conditions, then a line for each batch of samples, written as soon as the
batch is measured. A batch is kept as a whole or not at all: it is measured again in the same company, so the numbers
of a continued evaluation are those of an uninterrupted one, to the last digit. No torch.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.errors import OutputError
from ropewalk.result import Record, SampleResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

FILE = "journal.jsonl"


class Conditions(Record):
    """The first line: everything that the numbers depend on."""

    conditions: dict[str, Any]


class MeasuredBatch(Record):
    """Any other line: a batch, by the name that it has in every run of the same plan."""

    batch: str
    samples: tuple[SampleResult, ...]


class Journal:
    """Batches that are measured already, and a place for the next ones; a context manager that closes the file.

    Without a folder it keeps nothing and knows nothing.
    """

    def __init__(
        self, folder: Path | None = None, conditions: Mapping[str, Any] | None = None, *, replace: bool = False
    ) -> None:
        """Goes on with the journal in a folder, or begins one.

        Args:
            folder: `DIR.partial` of the evaluation; made if it does not exist.
            conditions: What the numbers depend on, as JSON knows it.
            replace: Throw a journal of other conditions away, instead of refusing it.

        Raises:
            OutputError: The folder holds a journal of other conditions, something else, or cannot be written.
        """
        self.folder = folder
        self._known: dict[str, tuple[SampleResult, ...]] = {}
        self._file: BinaryIO | None = None
        if folder is not None:
            _refuse_foreign_folder(folder)
            self._open(folder, dict(conditions or {}), replace=replace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self._known:  # nothing was measured, so nothing is lost and nothing need stay
            self.remove()
        if self._file is not None:
            self._file.close()

    @property
    def samples(self) -> int:
        """Number of samples that are kept so far."""
        return sum(len(samples) for samples in self._known.values())

    def find(self, batch: str) -> tuple[SampleResult, ...] | None:
        """The samples of a batch, or None if it has not been measured."""
        return self._known.get(batch)

    def add(self, batch: str, samples: Sequence[SampleResult]) -> None:
        """Keeps a batch that has just been measured.

        Raises:
            OutputError: It cannot be written; what was kept before stays.
        """
        if self._file is None:
            return
        self._known[batch] = tuple(samples)
        self._write(MeasuredBatch(batch=batch, samples=tuple(samples)))

    def remove(self) -> None:
        """Removes the file, and the folder if nothing else is in it: the evaluation is written elsewhere by now."""
        if self._file is not None and self.folder is not None:
            self._file.close()
            (self.folder / FILE).unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()

    def _open(self, folder: Path, conditions: dict[str, Any], *, replace: bool) -> None:
        path = folder / FILE
        wanted = Conditions(conditions=json.loads(json.dumps(conditions)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            whole = self._read(path, wanted, replace=replace) if path.exists() else 0
            self._file = path.open("ab")
            self._file.truncate(whole)  # half a line, left by a crash, is dropped
        except OSError as error:
            raise OutputError(
                f"an evaluation keeps its samples in '{folder}' until it is whole; that folder cannot be written: "
                f"{error.strerror}. Choose another place with -o."
            ) from error
        if whole == 0:
            self._write(wanted)

    def _read(self, path: Path, wanted: Conditions, *, replace: bool) -> int:
        """Reads what is whole, and returns how many bytes that is."""
        whole = 0
        for number, line in enumerate(_whole_lines(path)):
            try:
                if number == 0:
                    found = Conditions.model_validate_json(line)
                    if replace and found != wanted:
                        return 0
                    _check_same(found, wanted, path)
                else:
                    known = MeasuredBatch.model_validate_json(line)
                    self._known[known.batch] = known.samples
            except ValidationError:
                break  # what stands after a broken line is not trusted either
            whole += len(line)
        return whole

    def _write(self, record: Record) -> None:
        assert self._file is not None
        try:
            self._file.write(record.model_dump_json().encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"samples must be kept as they are measured; '{self._file.name}' cannot be written: {error.strerror}. "
                "Free some space, then run the same command again: it goes on where it stopped."
            ) from error


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def _refuse_foreign_folder(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise OutputError(
            f"an evaluation keeps its samples in '{folder}' until it is whole, but that folder holds something else. "
            "Move it away, or choose another place with -o."
        )


def _check_same(found: Conditions, wanted: Conditions, path: Path) -> None:
    differing = sorted(differences(found.conditions, wanted.conditions))
    if differing:
        raise OutputError(
            f"an unfinished evaluation is continued only under the same conditions; '{path}' differs from what is "
            f"asked now in: {', '.join(differing)}. Repeat the earlier command, throw its samples away with "
            "--overwrite, or choose another place with -o."
        )


def differences(found: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Names of the entries in which two nested mappings differ, such as `plan.seed`."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            yield from differences(found.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
    elif found != wanted:
        yield name
