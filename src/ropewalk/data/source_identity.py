"""Fingerprints of training data: of the texts that were read, and of everything that their tokens depend on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ropewalk.data.corpus import standard_library
from ropewalk.data.examples import BUILT_IN, HUB, lies_on_the_hub, local_path, source_files
from ropewalk.data.readers import hub_parts
from ropewalk.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ropewalk.data.examples import Example

STORE_VERSION = 1  # of the reading, the splitting and the file: what an older one wrote is not read
DIGITS = 16


class TextDigest:
    """SHA-256 over the names and texts of documents while they pass, as in `Corpus.fingerprint`.

    Attributes:
        bytes: Of the texts so far, in UTF-8.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._all = hashlib.sha256()
        self._name: str | None = None
        self._text = hashlib.sha256()

    def through(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The same examples; each is counted in when it passes."""
        for example in examples:
            self._add(example)
            yield example

    def hex(self) -> str:
        """The first 16 hex digits."""
        self._end_document()
        return self._all.hexdigest()[:DIGITS]

    def _add(self, example: Example) -> None:
        if not example.continues:
            self._end_document()
            self._name = example.name
        if example.turns is None:
            text = example.text or ""
        else:
            text = json.dumps([[turn.role, turn.content] for turn in example.turns], ensure_ascii=False)
        data = text.encode()
        self.bytes += len(data)
        self._text.update(data)

    def _end_document(self) -> None:
        if self._name is not None:
            self._all.update(f"{self._name}\0{self._text.hexdigest()}\n".encode())
        self._name, self._text = None, hashlib.sha256()


def identity(paths: Sequence[str], tokenizer: Any, column: str | None) -> str:
    """A name for the tokens of a source: equal when files, tokenizer, chat template and reading are.

    Raises:
        DataError: A path does not exist, or the hub does not answer.
    """
    facts = [STORE_VERSION, [content for path in paths for content in contents(path)], column, _tokenizer(tokenizer)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:DIGITS]


def contents(path: str) -> Iterator[tuple[str, str]]:
    """Names of the parts of a source, each with what tells its content.

    Raises:
        DataError: The path does not exist, or the hub does not answer.
    """
    if path == BUILT_IN:
        yield path, standard_library(held_out=False).fingerprint
        return
    if lies_on_the_hub(path):
        yield path, _revision(path.removeprefix(HUB))
        return
    for file in source_files(local_path(path)):
        with file.open("rb") as stream:
            yield path + "\0" + str(file), hashlib.file_digest(stream, "sha256").hexdigest()


def _revision(spec: str) -> str:
    """The commit of a data set on the hub."""
    import huggingface_hub

    try:
        return str(huggingface_hub.dataset_info(hub_parts(spec)[0]).sha)
    except Exception as error:  # the hub's client and the network below it have errors of their own
        raise DataError(
            f"a data set must be a folder or be found on the Hugging Face hub; '{HUB}{spec}' is no folder, and the hub "
            f"says: {str(error).splitlines()[0]} Check the name and the network, or give a folder."
        ) from error


def _tokenizer(tokenizer: Any) -> str:
    """What decides which tokens a text becomes."""
    if tokenizer.is_fast:
        backend = json.loads(tokenizer.backend_tokenizer.to_str())
        rules = {key: value for key, value in backend.items() if key not in ("truncation", "padding")}
    else:
        rules = {"class": type(tokenizer).__name__, "vocabulary": sorted(tokenizer.get_vocab().items())}
    facts = [rules, tokenizer.chat_template, tokenizer.special_tokens_map]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
