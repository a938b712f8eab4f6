"""Questions about names: a stretch of a Python module ends just before a name that stands in it already.

The question is which of four names of the stretch comes next. All are names of the code, as Python's own tokenizer
finds them: no keywords, and nothing from strings and comments.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ropewalk.rope import Integers

CANDIDATES = 4
LONGEST_NAME = 16  # tokens of a name at most; the context fills the rest of the window
_KEY = 0xC102E  # keeps these draws apart from all others


@dataclass(frozen=True)
class NamePlace:
    """A name of a module.

    Attributes:
        start: Its first character in the text.
        name: The name.
    """

    start: int
    name: str


@dataclass(frozen=True)
class ClozeQuestion:
    """A context and the names that may follow it.

    Attributes:
        name: `MODULE@CHARACTER`, the same for every model.
        module: The document.
        context: Tokens before the name, `[window - LONGEST_NAME]`.
        candidates: Tokens of four names; the first is what the module goes on with.
    """

    name: str
    module: str
    context: Integers
    candidates: tuple[Integers, ...]


def cloze_questions(
    tokenizer: Any, documents: Mapping[str, str], *, window: int, per_document: int, seed: int = 0
) -> list[ClozeQuestion]:
    """Questions about modules, drawn from a seed; a module that has fewer gives what it has.

    The right name stands in the context; so do the three others, which are drawn among those that neither begin with
    the right name nor are its beginning: of two such names the shorter is always the likelier. Names that begin with an
    underscore are left out, because they may share a token with what stands before them.

    Args:
        tokenizer: A fast tokenizer.
        documents: Modules by name.
        window: Tokens of context and name together, at most.
        per_document: Questions about each module, at most.
        seed: Of the draws.

    Raises:
        OptionError: The window holds nothing besides a name.
    """
    if window <= LONGEST_NAME:
        raise OptionError(
            f"a question needs a context before a name of up to {LONGEST_NAME} tokens; got a window of {window} "
            "tokens. Give a longer one."
        )
    found: list[ClozeQuestion] = []
    for number, (module, text) in enumerate(documents.items()):
        rng = np.random.default_rng((seed, _KEY, number))
        questions = _Module(tokenizer, module, text, window - LONGEST_NAME).questions(rng)
        found += [question for _, question in zip(range(per_document), questions, strict=False)]
    return found


def questions_fingerprint(questions: Sequence[ClozeQuestion]) -> str:
    """First 16 hex digits of SHA-256 over all questions."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(question.name.encode())
        for tokens in (question.context, *question.candidates):
            digest.update(np.asarray(tokens, dtype=np.int64).tobytes() + b"\n")
    return digest.hexdigest()[:16]


def names_of(text: str) -> list[NamePlace]:
    """Every name of a Python module that is no keyword and does not begin with an underscore, in order."""
    starts = np.cumsum([0, *(len(line) + 1 for line in text.split("\n"))])
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_keyword = keyword.iskeyword(token.string) or keyword.issoftkeyword(token.string)
        if token.type == tokenize.NAME and not is_keyword and not token.string.startswith("_"):
            row, column = token.start
            found.append(NamePlace(int(starts[row - 1]) + column, token.string))
    return found


class _Module:
    """A module in tokens, with the places of its names."""

    def __init__(self, tokenizer: Any, module: str, text: str, context: int) -> None:
        self.tokenizer, self.module, self.text, self.context = tokenizer, module, text, context
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        self.tokens = np.asarray(encoded["input_ids"], dtype=np.int64)
        self.starts = [start for start, _ in encoded["offset_mapping"]]
        self.token_at = {start: index for index, start in reversed(list(enumerate(self.starts)))}
        self.names = names_of(text)

    def questions(self, rng: np.random.Generator) -> Iterator[ClozeQuestion]:
        """Questions at all places that have one, in an order that is drawn."""
        for index in rng.permutation(len(self.names)):
            question = self._question(int(index), rng)
            if question is not None:
                yield question

    def _question(self, index: int, rng: np.random.Generator) -> ClozeQuestion | None:
        place = self.names[index]
        lead = " " if self.text[place.start - 1 : place.start] == " " else ""  # part of the name's first token
        first = self.token_at.get(place.start - len(lead), -1)
        if first < self.context:
            return None
        right = self._encode(lead + place.name)
        is_whole = np.array_equal(self.tokens[first : first + len(right)], right)
        if not is_whole or len(right) > LONGEST_NAME:
            return None
        seen = self._names_between(self.starts[first - self.context], index)
        related = {name for name in seen if name.startswith(place.name) or place.name.startswith(name)}
        others = [name for name in sorted(seen - related) if len(self._encode(lead + name)) <= LONGEST_NAME]
        if place.name not in seen or len(others) < CANDIDATES - 1:
            return None
        drawn = rng.choice(len(others), size=CANDIDATES - 1, replace=False)
        return ClozeQuestion(
            name=f"{self.module}@{place.start}",
            module=self.module,
            context=self.tokens[first - self.context : first],
            candidates=(right, *(self._encode(lead + others[int(number)]) for number in drawn)),
        )

    def _names_between(self, start: int, index: int) -> set[str]:
        """The names from a character on, up to name number `index`."""
        found = set()
        for place in reversed(self.names[:index]):
            if place.start < start:
                break
            found.add(place.name)
        return found

    def _encode(self, text: str) -> Integers:
        return np.asarray(self.tokenizer.encode(text, add_special_tokens=False), dtype=np.int64)
