"""The output folder of a run: `DIR.partial` while it works, `DIR` when it is whole."""

from __future__ import annotations

import shutil
import tomllib
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.files import RECORDS as RECORDS
from ropewalk.adapters.files import put_in_place
from ropewalk.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

CHANGES_NO_NUMBER = ("workers", "save_every", "report_to")  # of the settings of a training
CHECKPOINTS = "checkpoints"  # of a training that is not finished
# RECORDS is the folder inside the checkpoint that holds run.toml and result.json.


class OutputFolder:
    """Where a run writes. Nothing stands under the final name before it is complete."""

    def __init__(self, final: Path) -> None:
        self.final = final.resolve() if final.is_symlink() else final
        self.partial = self.final.with_name(self.final.name + ".partial")

    @property
    def run_file(self) -> Path:
        """The resolved run of the finished folder."""
        return self.final / RECORDS / "run.toml"

    @property
    def partial_run_file(self) -> Path:
        """The resolved run of the unfinished folder."""
        return self.partial / RECORDS / "run.toml"

    def is_finished(self) -> bool:
        """Whether an earlier run has completed here."""
        return self.run_file.is_file()

    def prepare(self, run: str, *, resume: bool, overwrite: bool) -> None:
        """Makes the partial folder, or finds the one to go on with.

        Args:
            run: The resolved run, as TOML; a resumed run must be the same.
            resume: Go on with partial work.
            overwrite: Throw partial work away, and replace a finished folder at the end.

        Raises:
            OutputError: Something is in the way, or the partial work belongs to another run.
        """
        self.refuse_what_stands_there(resume=resume, overwrite=overwrite)
        if self.partial.exists():
            if resume:
                self.check_same_run(run)
                return
            shutil.rmtree(self.partial)
        try:
            self.partial_run_file.parent.mkdir(parents=True)
            self.partial_run_file.write_text(run, "utf-8")
        except OSError as error:
            raise OutputError(
                f"the folder '{self.final.parent}' must be writable; creating '{self.partial.name}' in it failed: "
                f"{error.strerror}. Choose another place with -o."
            ) from error

    def complete(self, *, keep_checkpoints: bool = False) -> None:
        """Gives the partial folder its final name; nothing that can be done again is thrown away before."""
        put_in_place(self.partial, self.final)
        if not keep_checkpoints:
            shutil.rmtree(self.final / CHECKPOINTS, ignore_errors=True)

    def check_same_run(self, run: str) -> None:
        """Raises OutputError where a finished or unfinished run was another one."""
        if not self.is_same_run(run):
            file = self.run_file if self.is_finished() else self.partial_run_file
            raise OutputError(
                f"--resume goes on with the same run, but '{file}' differs from what is asked now. "
                "Repeat the earlier options (or pass that file as --recipe), or start anew with --overwrite."
            )

    def is_same_run(self, run: str) -> bool:
        """Whether the finished or unfinished run has the numbers of this one, given as TOML."""
        file = self.run_file if self.is_finished() else self.partial_run_file
        return _that_matters(_text(file)) == _that_matters(run)

    def earlier_precision(self) -> str | None:
        """The number format that an earlier start of the run chose for itself."""
        file = self.run_file if self.is_finished() else self.partial_run_file
        precision = _that_matters(_text(file)).get("train", {}).get("precision")
        return str(precision) if precision else None

    def refuse_what_stands_there(self, *, resume: bool, overwrite: bool) -> None:
        """Raises OutputError where the folder, or the work of another run, is in the way."""
        if self.final.is_mount():
            raise OutputError(
                f"the output folder must be made at the end of the run, by a rename; '{self.final}' is a mount point, "
                "which cannot be. Choose a folder inside it with -o."
            )
        if self.final.exists() and not self._is_empty_folder():
            if not overwrite:
                raise OutputError(
                    f"the output folder must not exist, so that nothing is lost; '{self.final}' does. "
                    "Choose another with -o, or replace it with --overwrite."
                )
            if not self.is_finished():
                raise OutputError(
                    f"--overwrite replaces only what ropewalk made; '{self.final}' has no {RECORDS}/run.toml. "
                    "Move it away, or choose another folder with -o."
                )
        if self.partial.exists() and not (resume or overwrite):
            raise OutputError(
                f"'{self.partial}' holds the work of an unfinished run. Go on with it: --resume. "
                "Throw it away: --overwrite."
            )

    def _is_empty_folder(self) -> bool:
        return self.final.is_dir() and not any(self.final.iterdir())


def _text(file: Path) -> str:
    return file.read_text("utf-8") if file.is_file() else ""


def _that_matters(run: str) -> dict[str, Any]:
    """The entries of a run that decide its numbers, and not only how it is prepared, stored or shown."""
    try:
        entries = tomllib.loads(run)
    except tomllib.TOMLDecodeError:
        return {}
    for name in CHANGES_NO_NUMBER:
        entries.get("train", {}).pop(name, None)
    return entries


def keep_data(folder: Path, fingerprint: str) -> None:
    """Notes what a training in a folder reads, or compares it with what it read when it began.

    Raises:
        OutputError: The data has changed since then.
    """
    file = folder / CHECKPOINTS / "data.txt"
    earlier = _text(file)
    if earlier and earlier != fingerprint:
        raise OutputError(
            f"--resume goes on with the same training data, but it has changed since '{folder}' was begun (fingerprint "
            f"{earlier} then, {fingerprint} now). Bring the earlier data back, or start anew with --overwrite."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(fingerprint, "utf-8")
