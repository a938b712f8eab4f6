"""The text of a bridge: what is trained on and what is held out, disjoint by document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.data.corpus import Corpus, standard_library
from ropewalk.data.documents import encode, encode_all
from ropewalk.data.examples import read_examples
from ropewalk.data.tally import Tally
from ropewalk.errors import DataError
from ropewalk.evals.store import write_text
from ropewalk.reproduce.samples import BROKEN, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.reproduce.bridge.order import Frame

HELD_OUT_SHARE = 0.2  # of the documents that hold the target length
_SPLIT_KEY, _STRETCH_KEY = 0xB21D, 0xB21E  # keep these draws apart from all others


@dataclass(frozen=True)
class BridgeTexts:
    """Text that models are trained on, and text that they are measured on.

    Attributes:
        training, held_out: Documents by name; none is in both.
        chats: A file of conversations for Entropy-ABF's samples, or None.
    """

    training: Corpus
    held_out: Corpus
    chats: str | None = None


NO_TEXTS = BridgeTexts(Corpus({}), Corpus({}))


@dataclass(frozen=True)
class TrainingText:
    """All documents that are trained on, as the one file that a run reads.

    Attributes:
        documents: By name.
    """

    documents: Corpus

    @property
    def name(self) -> str:
        """Of the file."""
        return f"training-{self.documents.fingerprint}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the documents as JSON Lines with the key `text`, and returns the file.

        Raises:
            OutputError: The folder cannot be written.
        """
        del tokenizer  # documents stay whole
        write_text(folder / self.name, _lines(list(self.documents.documents.values())))
        return folder / self.name


@dataclass(frozen=True)
class Stretches:
    """Disjoint stretches of the documents that are trained on, which stand one after another in a random order.

    Attributes:
        documents: By name.
        count: Stretches.
        window: Tokens in each.
        seed: The order of the documents, and which stretches are drawn.
    """

    documents: Corpus
    count: int
    window: int
    seed: int

    @property
    def name(self) -> str:
        """Of the file."""
        return f"stretches-{self.count}x{self.window}-seed-{self.seed}-{self.documents.fingerprint}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the stretches as JSON Lines with the key `text`, and returns the file.

        Raises:
            DataError: The documents do not hold so many.
            OutputError: The folder cannot be written.
        """
        write_text(folder / self.name, _lines(self.texts(tokenizer)))
        return folder / self.name

    def texts(self, tokenizer: Any) -> list[str]:
        """The stretches as text; read again, each has `window` tokens or a few less, never more."""
        rng = np.random.default_rng((self.seed, _STRETCH_KEY))
        documents = list(self.documents.documents.values())
        order = rng.permutation(len(documents))
        tokens = np.concatenate([np.zeros(0, np.int64), *encode_all(tokenizer, [documents[int(n)] for n in order])])
        places = rng.permutation(len(tokens) // self.window)
        require_stretches(len(places), self.count, self.window)
        found: list[str] = []
        for place in places:
            text = text_of(tokenizer, tokens[place * self.window : (place + 1) * self.window])
            if BROKEN not in text:
                found.append(text)
            if len(found) == self.count:
                break
        return found


def bridge_texts(paths: Sequence[str], chats: str | None, frame: Frame, tokenizer: Any) -> BridgeTexts:
    """Splits the user's documents, or takes the built-in modules with their own split.

    Args:
        paths: Files and folders of text; `builtin` or none for the built-in modules.
        chats: A file of conversations, or None.
        frame: The target length, which a held-out document must hold.
        tokenizer: The model's.

    Raises:
        DataError: Too few documents, too short ones, or too few conversations.
    """
    if chats is not None:
        _require_chats(chats, frame.sizes.samples)
    if list(paths) in ([], ["builtin"]):
        training = standard_library(held_out=False).documents
        held_out = dict(_long_enough(standard_library(held_out=True).documents, frame.target_length, tokenizer))
        _require_held_out(len(held_out), frame)
    else:
        training, held_out = _split(_documents(paths), frame, tokenizer)
    texts = BridgeTexts(Corpus(training), Corpus(_drawn(held_out, frame.sizes.documents)), chats)
    if chats is None:
        size = sum(len(tokens) for tokens in encode_all(tokenizer, list(training.values())))
        require_stretches(size // frame.target_length, frame.sizes.samples, frame.target_length)
    return texts


def require_stretches(found: int, wanted: int, window: int) -> None:
    """Raises DataError where the training documents hold too few stretches."""
    if found < wanted:
        raise DataError(
            f"Entropy-ABF's {wanted} samples are disjoint stretches of {window:,} tokens of the text that is trained "
            f"on; it holds {found}. Give more text with --data, conversations with --chats, or a shorter --target."
        )


def _split(documents: Mapping[str, str], frame: Frame, tokenizer: Any) -> tuple[dict[str, str], dict[str, str]]:
    """A fifth of the documents that hold the target length, drawn by a fixed seed, and all others."""
    long = [name for name, _ in _long_enough(documents, frame.target_length, tokenizer)]
    fewest = frame.sizes.fewest_documents
    _require_held_out(len(long) - fewest, frame, found=len(long))
    rng = np.random.default_rng(_SPLIT_KEY)
    count = max(fewest, round(HELD_OUT_SHARE * len(long)))
    chosen = {long[int(place)] for place in rng.permutation(len(long))[:count]}
    held_out = {name: text for name, text in documents.items() if name in chosen}
    return {name: text for name, text in documents.items() if name not in chosen}, held_out


def _require_held_out(count: int, frame: Frame, *, found: int | None = None) -> None:
    if count < frame.sizes.fewest_documents:
        fewest = frame.sizes.fewest_documents
        given = count if found is None else found
        raise DataError(
            f"losses are measured on at least {fewest} documents of {frame.target_length:,} tokens that are not "
            f"trained on, and a split leaves as many to training; the text holds {given} that long. Give more or "
            "longer documents with --data, or a shorter --target."
        )


def _long_enough(documents: Mapping[str, str], length: int, tokenizer: Any) -> list[tuple[str, str]]:
    # A token is a byte at least, so that shorter texts need not be read by the tokenizer.
    wanted = [(name, text) for name, text in documents.items() if len(text.encode()) >= length]
    return [(name, text) for name, text in wanted if len(encode(tokenizer, text)) >= length]


def _drawn(documents: Mapping[str, str], most: int) -> dict[str, str]:
    """At most so many, evenly spread over their names."""
    names = sorted(documents)
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return {names[int(place)]: documents[names[int(place)]] for place in places}


def _documents(paths: Sequence[str]) -> dict[str, str]:
    """The documents of all paths by name, each text once.

    Raises:
        DataError: A path cannot be read, or holds conversations.
    """
    pieces: dict[str, list[str]] = {}
    for number, path in enumerate(paths):
        for example in read_examples(path, Tally()):
            if example.text is None:
                raise DataError(
                    f"the bridge's text is documents; '{path}' holds conversations (at {example.name}). Give them with "
                    "--chats, and documents with --data."
                )
            # Names go into records, which are read on other machines, so where the data lies is no part of them.
            own = example.name.removeprefix(path).lstrip("/") or Path(path).name
            name = own if len(paths) == 1 else f"{number}/{own}"
            pieces.setdefault(name, []).append(example.text)
    names: dict[str, str] = {}
    for name, parts in pieces.items():
        names.setdefault("".join(parts), name)
    return {name: text for text, name in names.items()}


def _require_chats(path: str, wanted: int) -> None:
    if not Path(path).is_file():
        raise DataError(f"conversations are given as one file; there is no file '{path}'. Check the path of --chats.")
    found = sum(example.turns is not None for example in read_examples(path, Tally()))
    if found < wanted:
        raise DataError(
            f"Entropy-ABF is tuned on {wanted} conversations; '{path}' holds {found}. Give a file with more, or leave "
            "--chats out to take stretches of the text."
        )


def _lines(texts: Sequence[str]) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)
