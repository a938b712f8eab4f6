"""The texts that cells are measured on, by name. None was ever trained on.

The test split of the held-out modules is measured once, by the cells of a study; learning rates are chosen on the
validation split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.data.corpus import Corpus, language_reference, standard_library
from ropewalk.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES, VALIDATION, PROSE = "modules", "validation", "prose"
# Every fourth of the 21 held-out modules in the order of their names, the last one left to the test split.
VALIDATION_MODULES = (
    "concurrent/futures/process.py",
    "fractions.py",
    "logging/handlers.py",
    "socketserver.py",
    "urllib/parse.py",
)
# They hold other topics whole, and two documents of one sample must not share text.
COMPOSITE_TOPICS = ("topics/compound", "topics/specialnames")


def texts(name: str) -> Corpus:
    """Held-out documents by the name of their set: `modules`, `validation` or `prose`.

    Raises:
        UnknownNameError: No set of texts has that name.
    """
    makers: dict[str, Callable[[], Corpus]] = {
        MODULES: lambda: _modules(validation=False),
        VALIDATION: lambda: _modules(validation=True),
        PROSE: _prose,
    }
    if name not in makers:
        raise unknown_name("set of texts", name, makers)
    return makers[name]()


def _modules(*, validation: bool) -> Corpus:
    held_out = standard_library(held_out=True)
    documents = {n: text for n, text in held_out.documents.items() if (n in VALIDATION_MODULES) == validation}
    return Corpus(documents, held_out.missing)


def _prose() -> Corpus:
    topics = language_reference(as_source=False).documents
    return Corpus({name: text for name, text in topics.items() if name not in COMPOSITE_TOPICS})
