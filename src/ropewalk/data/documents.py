"""Text files become named documents, and documents become token arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.corpus import Corpus
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ropewalk.rope import Integers


def read_texts(paths: Iterable[str | Path]) -> Corpus:
    """Reads text files; a folder stands for the files below it, hidden ones aside. One file is one document.

    Raises:
        DataError: A path that does not exist, a file that is empty or not UTF-8, a folder without files.
    """
    documents: dict[str, str] = {}
    for given in paths:
        path = Path(given)
        if not path.exists():
            raise DataError(f"training text must be a file or a folder; '{path}' does not exist. Check the path.")
        for file in files_below(path) if path.is_dir() else [path]:
            documents[str(file)] = read_text(file)
    return Corpus(documents)


def files_below(folder: Path) -> list[Path]:
    """The files below a folder, in order, without those that programs hide there: `.git`, `.cache`, `.DS_Store`.

    Raises:
        DataError: There are none.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    files = sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))
    if not files:
        raise DataError(
            f"a folder of texts must hold at least one file; '{folder}' holds none (what begins with a dot is not "
            "read). Check the path."
        )
    return files


def read_text(path: Path) -> str:
    """One UTF-8 text file that holds something.

    Raises:
        DataError: The file is empty, not UTF-8, or cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error.object[error.start], error.start) from error
    except OSError as error:
        raise DataError(f"the text file '{path}' cannot be read: {error.strerror}.") from error
    if not text.strip():
        raise DataError(f"a text file must hold text; '{path}' is empty. Remove it from the list or give another.")
    return text


def not_utf8(path: Path, byte: int, offset: int) -> DataError:
    """The error for a text file with a byte that no UTF-8 text has there."""
    return DataError(
        f"text must be UTF-8; '{path}' has the byte 0x{byte:02x} at offset {offset}. "
        f"Convert it, for instance with: iconv -f latin1 -t utf-8 '{path}'"
    )


def encode_all(tokenizer: Any, texts: list[str]) -> list[Integers]:
    """Tokens of several texts, each as `encode` gives them. A fast tokenizer uses all threads, for memory of about
    a hundred bytes a token.
    """
    if not tokenizer.is_fast:
        return [encode(tokenizer, text) for text in texts]
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # Half the time of a call of `tokenizer`, which makes offsets, masks and lists besides.
    return [np.array(found.ids, dtype=np.int64) for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def encode(tokenizer: Any, text: str) -> Integers:
    """Tokens of a text, without special tokens and without the tokenizer's remark on long texts."""
    return np.asarray(tokenizer.encode(text, add_special_tokens=False, verbose=False), dtype=np.int64)
