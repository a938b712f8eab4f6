"""A token store gives back what was written, from memory, from a file and in another process; a damaged one never."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest

from ropewalk.data import store as store_module
from ropewalk.data.store import SCHEMA, StoreWriter, TokenStore
from ropewalk.data.token_files import ABANDONED_SECONDS, ABOUT, TOKENS, cache_folder, find_store, keep_store
from ropewalk.errors import OutputError

FACTS = {"who": "a test"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of this test's own, and batches small enough that a store has many."""
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store_module, "BATCH_TOKENS", 64)
    return tmp_path / "cache" / "tokens"


def documents(count=60, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 9999, size=int(rng.integers(1, 50))) for _ in range(count)]


def write(writer: StoreWriter, texts) -> None:
    """Every third document is a conversation whose even tokens are learnt; the others come in pieces of 7."""
    for number, tokens in enumerate(texts):
        if number % 3 == 0:
            writer.add(f"chat {number}", tokens, tokens % 2 == 0, example=number)
            continue
        for start in range(0, len(tokens), 7):
            writer.add(f"text {number}", tokens[start : start + 7], example=number, continues=start > 0)


def kept(name="name", texts=None) -> TokenStore:
    def fill(writer: StoreWriter):
        write(writer, documents() if texts is None else texts)
        return name, FACTS

    return keep_store(fill)[0]


def in_memory() -> TokenStore:
    batches: list[pa.RecordBatch] = []
    with StoreWriter(batches.append) as writer:
        write(writer, documents())
    assert len(batches) > 10
    return TokenStore(pa.Table.from_batches(batches, SCHEMA))


@pytest.mark.parametrize("make", [kept, in_memory, lambda: pickle.loads(pickle.dumps(kept()))])
def test_a_store_gives_back_every_token_mask_and_name(make):
    store, texts = make(), documents()
    assert len(store) == len(texts)
    assert store.lengths.tolist() == [len(tokens) for tokens in texts]
    assert store.examples.tolist() == list(range(len(texts)))
    assert store.has_conversations
    for number, tokens in enumerate(texts):
        assert store[number].dtype == np.int64
        assert store[number].tolist() == tokens.tolist()
        assert store.read(number, 3, 20).tolist() == tokens[3:20].tolist()
        mask = store.supervised(number, 3, 20)
        if number % 3:
            assert mask is None
            assert store.name(number) == f"text {number}"
            assert store.learnt[number] == len(tokens)
        else:
            assert mask.tolist() == (tokens[3:20] % 2 == 0).tolist()
            assert store.name(number) == f"chat {number}"
            assert store.learnt[number] == (tokens % 2 == 0).sum()


def test_a_store_of_arrays_is_a_store():
    store = TokenStore.of([[1, 2, 3], [], [4]])
    assert [store[number].tolist() for number in range(3)] == [[1, 2, 3], [], [4]]
    assert not store.has_conversations
    assert len(TokenStore.of([])) == 0


def test_the_file_is_one_that_datasets_reads():
    rows = datasets.Dataset.from_file(str(kept().path))
    assert rows[0]["tokens"] == documents()[0].tolist()


def test_a_kept_store_is_mapped_and_goes_to_another_process_by_its_name():
    store = kept()
    assert len(pickle.dumps(store)) < 1000
    assert find_store("name")[1] == FACTS


def test_a_store_that_does_not_exist_is_not_found():
    assert find_store("absent") is None


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / TOKENS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / TOKENS).write_bytes(data)


def cut_in_half(folder: Path) -> None:
    os.truncate(folder / TOKENS, (folder / TOKENS).stat().st_size // 2)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        cut_in_half,
        lambda folder: (folder / ABOUT).write_text("{"),
        lambda folder: (folder / ABOUT).write_text("[]"),
        lambda folder: (folder / ABOUT).write_text(json.dumps({"sha256": "0"})),
        lambda folder: (folder / TOKENS).unlink(),
    ],
)
def test_a_damaged_store_is_never_read_and_makes_room_for_a_new_one(damage, cache):
    kept()
    damage(cache / "name")
    assert find_store("name") is None
    assert kept()[5].tolist() == documents()[5].tolist()
    assert [folder.name for folder in cache.iterdir()] == ["name"]


def test_a_store_whose_writing_fails_leaves_nothing(cache):
    def fail(writer: StoreWriter):
        write(writer, documents())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_store(fail)
    assert list(cache.iterdir()) == []


def make_slowly(start, number) -> int:
    """In a process of its own: writes the store that others write at the same time."""

    def fill(writer: StoreWriter):
        start.wait()
        write(writer, documents())
        return "name", FACTS

    return int(sum(keep_store(fill)[0][5]))


def test_two_processes_that_make_one_store_at_once_both_get_it_whole(cache):
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager, context.Pool(2) as pool:
        barrier = manager.Barrier(2)
        sums = pool.starmap(make_slowly, [(barrier, 0), (barrier, 1)])
    assert sums == [documents()[5].sum()] * 2
    assert [folder.name for folder in cache.iterdir()] == ["name"]
    assert find_store("name") is not None


def test_what_a_killed_process_left_is_cleared_after_a_day_and_not_before(cache):
    for name, age in (("partial-old", 2 * ABANDONED_SECONDS), ("partial-new", 60)):
        (cache / name).mkdir(parents=True)
        then = (cache / name).stat().st_mtime - age
        os.utime(cache / name, (then, then))
    kept()
    assert sorted(folder.name for folder in cache.iterdir()) == ["name", "partial-new"]


def test_a_place_that_cannot_be_written_is_refused_with_the_way_to_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"'.*file/tokens' cannot be written: .* set ROPEWALK_CACHE to a folder"):
        kept()


def test_a_full_disk_is_refused_and_leaves_nothing(cache):
    def fill(writer: StoreWriter):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot be written: No space left on device\. Make room there"):
        keep_store(fill)
    assert list(cache.iterdir()) == []


def test_the_cache_is_in_the_home_folder_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("ROPEWALK_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ropewalk" / "tokens"


def test_an_open_store_outlives_its_removal(cache):
    store = kept()
    shutil.rmtree(cache)
    assert store[5].tolist() == documents()[5].tolist()
