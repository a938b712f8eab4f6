"""The output folder of a run: `DIR.partial` while it works, `DIR` when it is whole."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ropewalk.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = "ropewalk"  # the folder inside the checkpoint that holds run.toml and result.json


class OutputFolder:
    """Where a run writes. Nothing stands under the final name before it is complete."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.partial = final.with_name(final.name + ".partial")

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
        self._refuse_what_stands_there(resume=resume, overwrite=overwrite)
        if self.partial.exists():
            if resume:
                self._check_same_run(run)
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

    def complete(self) -> None:
        """Gives the partial folder its final name."""
        if self.final.exists():
            shutil.rmtree(self.final)
        self.partial.rename(self.final)

    def _refuse_what_stands_there(self, *, resume: bool, overwrite: bool) -> None:
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

    def _check_same_run(self, run: str) -> None:
        earlier = self.partial_run_file.read_text("utf-8") if self.partial_run_file.is_file() else None
        if earlier != run:
            raise OutputError(
                f"--resume goes on with the same run, but '{self.partial_run_file}' differs from what is asked now. "
                "Repeat the earlier options (or pass that file as --recipe), or start anew with --overwrite."
            )
