"""Nothing stands under the final name before it is whole, and nothing of the user's is thrown away unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropewalk.errors import OutputError
from ropewalk.run.output import OutputFolder, keep_data


@pytest.fixture
def folder(tmp_path):
    return OutputFolder(tmp_path / "long")


def finish(folder: OutputFolder, run: str = "a = 1") -> None:
    folder.prepare(run, resume=False, overwrite=False)
    folder.complete()


def test_work_stands_beside_the_final_name_until_it_is_complete(folder):
    folder.prepare("a = 1", resume=False, overwrite=False)
    assert not folder.final.exists()
    assert folder.partial_run_file.read_text() == "a = 1"
    folder.complete()
    assert folder.is_finished()
    assert not folder.partial.exists()


def test_an_existing_folder_is_refused_and_kept(folder):
    folder.final.mkdir()
    (folder.final / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"must not exist, so that nothing is lost; '.*long' does"):
        folder.prepare("a = 1", resume=False, overwrite=False)
    with pytest.raises(OutputError, match="--overwrite replaces only what ropewalk made"):
        folder.prepare("a = 1", resume=False, overwrite=True)
    assert (folder.final / "thesis.txt").read_text() == "mine"


def test_an_empty_folder_may_be_filled(folder):
    folder.final.mkdir()
    finish(folder)
    assert folder.is_finished()


def test_a_finished_folder_is_replaced_only_with_overwrite_and_only_at_the_end(folder):
    finish(folder)
    with pytest.raises(OutputError, match="must not exist"):
        folder.prepare("b = 2", resume=False, overwrite=False)
    folder.prepare("b = 2", resume=False, overwrite=True)
    assert folder.run_file.read_text() == "a = 1"
    folder.complete()
    assert folder.run_file.read_text() == "b = 2"


def test_unfinished_work_is_neither_lost_nor_mixed(folder):
    folder.prepare("a = 1", resume=False, overwrite=False)
    (folder.partial / "work").write_text("half")
    with pytest.raises(OutputError, match=r"holds the work of an unfinished run\. Go on with it: --resume"):
        folder.prepare("a = 1", resume=False, overwrite=False)
    with pytest.raises(OutputError, match="--resume goes on with the same run, but"):
        folder.prepare("b = 2", resume=True, overwrite=False)
    folder.prepare("a = 1", resume=True, overwrite=False)
    assert (folder.partial / "work").read_text() == "half"
    folder.prepare("b = 2", resume=False, overwrite=True)
    assert not (folder.partial / "work").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"must be writable; creating 'long\.partial' in it failed"):
        OutputFolder(tmp_path / "file" / "long").prepare("a = 1", resume=False, overwrite=False)


def test_a_link_to_a_folder_is_followed_and_a_mount_point_refused(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folder = OutputFolder(tmp_path / "link")
    folder.prepare("a = 1\n", resume=False, overwrite=False)
    folder.complete()
    assert (tmp_path / "real" / "ropewalk" / "run.toml").is_file()
    monkeypatch.setattr(Path, "is_mount", lambda path: True)
    with pytest.raises(OutputError, match=r"is a mount point.*Choose a folder inside it"):
        OutputFolder(tmp_path / "mounted").prepare("a = 1\n", resume=False, overwrite=False)


def test_what_is_replaced_goes_only_when_the_new_folder_is_in_its_place(tmp_path, monkeypatch):
    first = OutputFolder(tmp_path / "out")
    first.prepare("a = 1\n", resume=False, overwrite=False)
    first.complete()
    second = OutputFolder(tmp_path / "out")
    second.prepare("a = 2\n", resume=False, overwrite=True)

    def refused(path, target):
        if path.name.endswith(".partial"):
            raise OSError("busy")
        return rename(path, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="busy"):
        second.complete()
    assert "a = 1" in (tmp_path / "out" / "ropewalk" / "run.toml").read_text()
    assert "a = 2" in (tmp_path / "out.partial" / "ropewalk" / "run.toml").read_text()


def test_training_data_that_changed_is_not_resumed_with(tmp_path):
    keep_data(tmp_path, "one")
    keep_data(tmp_path, "one")
    with pytest.raises(OutputError, match=r"it has changed.*fingerprint one then, two now.*--overwrite"):
        keep_data(tmp_path, "two")


def test_how_a_run_is_prepared_and_shown_may_change_between_its_parts(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    folder.prepare("[train]\nsteps = 3\nworkers = 0\n", resume=False, overwrite=False)
    folder.prepare('[train]\nsteps = 3\nworkers = 2\nreport_to = ["tensorboard"]\n', resume=True, overwrite=False)
    with pytest.raises(OutputError, match="differs from what is asked now"):
        folder.prepare("[train]\nsteps = 4\n", resume=True, overwrite=False)
