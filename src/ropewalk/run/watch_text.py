"""Which text is read while a model trains: nothing that the run trains on, chosen before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.errors import DataError, OptionError
from ropewalk.evals.tasks import encoder, text_data
from ropewalk.run.gate_text import held_out_documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.evals.tasks import TextData
    from ropewalk.run.plan import Plan

DOCUMENTS = 8
SEED = 1_000_003  # added to the run's, so that no evaluation of the saved model asks the same questions
NO_TEXT = "recall only, because there is no text that the run does not train on (--gate-data FILE)"
TOO_SHORT = "recall only, because no text that the run does not train on holds {:,} tokens (--gate-data FILE)"


@dataclass(frozen=True)
class WatchText:
    """What a watch reads, chosen before any work.

    Attributes:
        words: Which text that is, or why there is none.
        documents: Texts by name that hold the target length, for a certificate.
        data: A few of them as tokens, or None without text.
    """

    words: str
    documents: Mapping[str, str] = field(default_factory=dict)
    data: TextData | None = None


def prepare_watch(plan: Plan, files: Sequence[str] = ()) -> WatchText | None:
    """Chooses the text of a run that is measured on its way; None for a run that is not.

    Args:
        plan: The run.
        files: Text files and folders that the run does not train on, as for the gate.

    Raises:
        OptionError: The run stops when it is certified, and there is no text for a certificate.
        DataError: Text was given that cannot be read, or is all trained on.
        ModelError: The tokenizer does not load.
    """
    settings = plan.run.train
    if not (settings.steps and settings.evaluate_every):
        return None
    text = _text(plan, files)
    if settings.stop_when and text.data is None:
        raise OptionError(
            "a run that stops when it is certified needs text that it does not train on, because a certificate "
            f"compares the loss at the target length with that at the trained one; got {text.words}. Give longer text "
            "with --gate-data FILE, or leave stop_when out."
        )
    return text


def _text(plan: Plan, files: Sequence[str]) -> WatchText:
    found = held_out_documents(plan, files)
    if not found:
        return WatchText(NO_TEXT)
    try:
        data = text_data(found, encoder(adapters.load_tokenizer(plan.source)), longest=plan.target_length)
    except DataError:
        return WatchText(TOO_SHORT.format(plan.target_length))
    documents = {name: found[name] for name in data.streams}
    chosen = data.chosen(DOCUMENTS, seed_of(plan))
    return WatchText(f"{len(chosen.streams)} of {len(documents)} held-out documents", documents, chosen)


def seed_of(plan: Plan) -> int:
    """The seed of a run's measurements."""
    return plan.run.train.seed + SEED
