"""Which text the short-context gate reads: nothing that the run trains on, chosen before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import read_texts
from ropewalk.errors import DataError, ModelError
from ropewalk.evals.gate import gate_text
from ropewalk.evals.tasks import encoder
from ropewalk.run.plan import has_tokenizer
from ropewalk.run.runfile import BUILT_IN
from ropewalk.run.training_data import paths_of, texts_trained_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.evals.gate import GatePlan, GateText
    from ropewalk.run.plan import Plan

HELD_OUT = "held-out modules of the built-in corpus"
NO_TEXT = "no text that the model was not trained on; give some with --gate-data FILE"
NO_TOKENIZER = "no tokenizer in '{}', so text cannot become tokens"


def choose_text(plan: Plan, files: Sequence[str], sizes: GatePlan) -> tuple[GateText | None, str]:
    """The text, and which it is; or None, and why there is none.

    Text that was given; else the held-out modules of the built-in corpus, for the built-in model and for runs that
    train on that corpus; else none. Documents that the run trains on are left out.

    Args:
        plan: The run.
        files: Text files and folders; `builtin` stands for the held-out modules.
        sizes: Numbers of windows.

    Raises:
        DataError: Text was given that cannot be read, is trained on, or is too short.
        ModelError: Text was given, and the tokenizer does not load.
    """
    found = _documents(plan, files)
    if not found:
        return None, NO_TEXT
    if not has_tokenizer(plan.source):
        return None, NO_TOKENIZER.format(plan.source)
    try:
        documents = _never_trained_on(plan, found)
        encode = encoder(adapters.load_tokenizer(plan.source))
        text = gate_text(documents, encode, trained_length=plan.config.rope.trained_length, plan=sizes)
    except (DataError, ModelError) as error:
        if files:
            raise
        return None, str(error)
    windows, length = text.windows.shape
    words = f"{windows} windows of {length:,} tokens from {'the text given' if files else HELD_OUT}"
    trained_on = len(found) - len(documents)
    if trained_on:
        words += f", {trained_on} of {len(found)} documents left out because the run trains on them"
    return text, words


def held_out_documents(plan: Plan, files: Sequence[str]) -> Mapping[str, str]:
    """The documents of `choose_text`, whole; none where there is no text.

    Raises:
        DataError: Text was given that cannot be read, or all of it is trained on.
    """
    found = _documents(plan, files)
    return _never_trained_on(plan, found) if found else {}


def _documents(plan: Plan, files: Sequence[str]) -> Mapping[str, str]:
    run = plan.run
    reads_built_in = run.model == BUILT_IN or (run.train.steps > 0 and BUILT_IN in paths_of(run.data))
    documents: dict[str, str] = {}
    for file in files or ((BUILT_IN,) if reads_built_in else ()):
        documents.update((standard_library(held_out=True) if file == BUILT_IN else read_texts([file])).documents)
    return documents


def _never_trained_on(plan: Plan, documents: Mapping[str, str]) -> Mapping[str, str]:
    """The documents without those whose whole text the run trains on.

    Raises:
        DataError: None is left.
    """
    if not plan.run.train.steps:
        return documents
    known = texts_trained_on(plan.run.data, documents.values())
    fresh = {name: text for name, text in documents.items() if text not in known}
    if not fresh:
        raise DataError(
            "the gate's text must not be trained on, because memorised text hides damage; the run trains on every "
            "document given. Give others with --gate-data FILE."
        )
    return fresh
