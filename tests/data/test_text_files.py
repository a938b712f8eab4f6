"""Text files: every refusal names the file, what must hold, and what to do."""

from __future__ import annotations

import pytest

from ropewalk import adapters
from ropewalk.data.documents import encode, encode_all, read_texts
from ropewalk.data.examples import source_files
from ropewalk.errors import DataError


def test_a_folder_stands_for_its_files_in_order(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    assert list(read_texts([tmp_path]).documents.values()) == ["first", "second"]


def test_hidden_files_and_folders_below_a_folder_are_not_read(tmp_path):
    """They are those of other programs; a folder may itself lie in a hidden one."""
    folder = tmp_path / ".data"
    for name in (".DS_Store", ".git/index", "sub/.cache/huggingface/a.lock", "sub/a.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"text" if name == "sub/a.txt" else b"\xff")
    assert list(read_texts([folder]).documents) == [str(folder / "sub" / "a.txt")]
    assert source_files(str(folder)) == [folder / "sub" / "a.txt"]
    assert list(read_texts([folder / "sub" / "a.txt"]).documents.values()) == ["text"]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'.*absent.txt' does not exist"):
        read_texts([tmp_path / "absent.txt"])


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"'.*empty.txt' is empty"):
        read_texts([tmp_path / "empty.txt"])


def test_a_file_that_is_not_utf8_is_refused_with_the_place_of_the_byte(tmp_path):
    (tmp_path / "latin.txt").write_bytes("garçon".encode("latin-1"))
    with pytest.raises(DataError, match=r"must be UTF-8; '.*latin.txt' has the byte 0xe7 at offset 3"):
        read_texts([tmp_path / "latin.txt"])


def test_a_folder_without_files_is_refused(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"holds none \(what begins with a dot is not read\)\. Check"):
        read_texts([tmp_path])


@pytest.mark.parametrize("is_fast", [True, False])
def test_texts_tokenized_together_are_those_tokenized_alone(is_fast):
    tokenizer = adapters.load_tokenizer(adapters.resolve_source("builtin"))
    texts = ["def f(x):\n    return x + 1\n" * (i + 1) + "<|endoftext|> ç" for i in range(67)]
    expected = [encode(tokenizer, text).tolist() for text in texts]
    given = tokenizer if is_fast else Slow(tokenizer)
    tokens = encode_all(given, texts)
    assert [row.tolist() for row in tokens] == expected
    assert tokens[0].dtype == "int64"


class Slow:
    """A tokenizer without a backend."""

    is_fast = False

    def __init__(self, tokenizer) -> None:
        self.encode = tokenizer.encode
