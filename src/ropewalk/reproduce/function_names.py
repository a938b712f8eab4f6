"""Summaries in miniature: a stretch of a module, and the names of the functions that it defines.

Table 6 of Position Interpolation (arXiv:2306.15595) fine-tunes on GovReport, where a document of 15,000 tokens becomes
a summary of 1,000. Here a model that never saw an instruction learns a single one: to list, after a fixed line, the
names of all functions in the order of their definitions. The prompt is not learned.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.cells.texts import texts
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import encode
from ropewalk.data.summaries import SummaryDocument, summaries_fingerprint
from ropewalk.evals.store import write_text
from ropewalk.evals.summarization import SummaryPlan, rouge, summarize
from ropewalk.reproduce.own_exams import DOCUMENTS, OwnExam
from ropewalk.reproduce.samples import BROKEN, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ropewalk.cells.exams import Progress
    from ropewalk.result import SampleResult
    from ropewalk.run.checkpoint import Checkpoint

DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
LINE = "The functions of this text:"
ANSWER_TOKENS = 64
FRAME_TOKENS = 32  # at most, of the template and the fixed line
ROOM = ANSWER_TOKENS + FRAME_TOKENS  # tokens of a window that the text leaves
FEWEST = 2  # names of a stretch that is used
# What ropewalk's plain chat template writes around a question: the prompt of the exam is that of the training.
BEFORE, AFTER = "USER: ", f"\n{LINE}\nASSISTANT:"
_KEY = 0x4A3E5  # keeps the draw of examples apart from all others


@dataclass(frozen=True)
class Listing:
    """A stretch of a module.

    Attributes:
        name: `MODULE@NUMBER`, the same for every model and every cut.
        module: The document.
        text: The stretch, cut to what a window holds of it.
        names: Names of the functions of the whole stretch, in order, joined by blanks.
    """

    name: str
    module: str
    text: str
    names: str


def listings(tokenizer: Any, documents: Mapping[str, str], *, window: int, cut: int | None = None) -> Iterator[Listing]:
    """Every stretch that has enough names, and names that fit an answer, in the order of the modules.

    Args:
        tokenizer: The model's.
        documents: Modules by name.
        window: Tokens of a stretch, frame and answer together.
        cut: Of the text only what a window of so many tokens holds; the names stay those of the whole stretch.
    """
    size, kept = window - ROOM, (cut or window) - ROOM
    for module, text in documents.items():
        tokens = encode(tokenizer, text)
        for number, start in enumerate(range(0, len(tokens) - size + 1, size)):
            stretch = text_of(tokenizer, tokens[start : start + size])
            names = list(dict.fromkeys(DEFINITION.findall(stretch)))
            answer = " ".join(names)
            fits = len(encode(tokenizer, f" {answer}")) < ANSWER_TOKENS
            if len(names) < FEWEST or not fits or BROKEN in stretch:
                continue
            shown = stretch if kept == size else text_of(tokenizer, tokens[start : start + kept])
            if BROKEN not in shown:
                yield Listing(f"{module}@{number}", module, shown, answer)


@dataclass(frozen=True)
class ListingExamples:
    """Training examples: conversations of one question, the text with the fixed line, and its answer.

    Attributes:
        window: Tokens of a stretch, frame and answer together.
        cut: As in `listings`.
        seed: Of the order.
    """

    window: int
    cut: int | None
    seed: int

    @property
    def name(self) -> str:
        """Of the file."""
        cut = f"-cut-{self.cut}" if self.cut else ""
        return f"function-names-{self.window}{cut}-seed-{self.seed}.jsonl"

    def write(self, folder: Path, tokenizer: Any) -> Path:
        """Writes the conversations of the training modules as JSON Lines, and returns the file.

        Raises:
            OutputError: The folder cannot be written.
        """
        modules = standard_library(held_out=False).documents
        found = list(listings(tokenizer, modules, window=self.window, cut=self.cut))
        order = np.random.default_rng((self.seed, _KEY)).permutation(len(found))
        write_text(folder / self.name, "".join(_conversation(found[int(index)]) for index in order))
        return folder / self.name


def _conversation(listing: Listing) -> str:
    asked = {"role": "user", "content": f"{listing.text}\n{LINE}"}
    return json.dumps({"messages": [asked, {"role": "assistant", "content": listing.names}]}) + "\n"


@dataclass(frozen=True)
class ListingExam(OwnExam):
    """ROUGE of the names that a model lists, decoded greedily.

    Attributes:
        name: Such as `names`.
        texts: The set of modules.
        window: As in `listings`.
        cut: As in `listings`; the model then reads no more than that.
        per_document: Stretches of each module, from its beginning, at most.
        seed: Of nothing: greedy decoding draws nothing.
    """

    name: str
    texts: str
    window: int
    cut: int | None = None
    per_document: int = 4
    seed: int = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """What the model reads at most, tokens."""
        return (self.cut or self.window,)

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return DOCUMENTS * self.per_document * self.lengths[0]

    def require(self) -> None:
        """Raises OptionError where the library that scores summaries is not installed."""
        rouge()

    def conditions(self) -> dict[str, Any]:
        """The texts, and what is taken from them."""
        taken = {"window": self.window, "cut": self.cut, "per_document": self.per_document}
        return {"texts": texts(self.texts).fingerprint, **taken}

    def samples(self, checkpoint: Checkpoint, progress: Progress | None) -> tuple[str, list[SampleResult]]:
        """The fingerprint of texts and names, and the three scores of each stretch."""
        chosen: list[Listing] = []
        for module, text in texts(self.texts).documents.items():
            found = listings(checkpoint.tokenizer, {module: text}, window=self.window, cut=self.cut)
            chosen += islice(found, self.per_document)
        documents = [SummaryDocument(listing.name, listing.text, listing.names) for listing in chosen]
        plan = SummaryPlan(
            length=self.lengths[0],
            document_tokens=self.lengths[0] - ROOM,
            new_tokens=ANSWER_TOKENS,
            temperature=0.0,
            before=BEFORE,
            after=AFTER,
        )
        run = summarize(checkpoint.model, checkpoint.tokenizer, documents, plan, progress=progress)
        module_of = {listing.name: listing.module for listing in chosen}
        return summaries_fingerprint(documents), [
            sample.model_copy(update={"cluster": module_of[sample.sample]}) for sample in run.samples
        ]
