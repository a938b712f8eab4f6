"""What an engine must say about itself, and the choice of a form for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ropewalk.adapters.export.form import STAIRCASE
from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.export.form import Form, Subject


class Reader(Protocol):
    """A program that computes something from what is written for it."""

    @property
    def name(self) -> str:
        """As people call it after --to."""

    def forms(self, subject: Subject) -> Iterator[Form]:
        """Ways to write a subject, the best one first; approximations last, each with what it loses."""

    def complaint(self, form: Form, subject: Subject) -> str | None:
        """How the engine would compute something else from a form than it says, or None."""


class Engine(Reader, Protocol):
    """A program that loads checkpoint folders."""

    def write(self, form: Form, subject: Subject, folder: Path, *, copy: bool) -> str:
        """Writes a form into an empty folder, and says what became of the weights: linked, copied or changed."""

    def reread(self, form: Form, subject: Subject, config: ModelConfig) -> str | None:
        """As `complaint`, from the config that was written."""

    def serve(self, folder: Path, subject: Subject) -> str:
        """The command that serves the written folder."""

    def serve_source(self, form: Form, subject: Subject) -> str | None:
        """The command that serves the subject's own weights with the form's settings, if that is possible."""


def choose(engine: Reader, subject: Subject, *, carrier: str | None = None, approximate: bool = False) -> Form:
    """The best form of a subject for an engine.

    Args:
        engine: For which program.
        subject: What is exported.
        carrier: Only forms of this name; None for any.
        approximate: Allow a form that is not exact.

    Raises:
        CarrierError: No form is exact (the message names the nearest one and what it loses), or none is left at all.
    """
    complaints: dict[str, str] = {}
    near: Form | None = None
    try:
        for form in engine.forms(subject):
            if carrier not in (None, form.carrier):
                continue
            complaint = engine.complaint(form, subject)
            if complaint is not None:
                complaints.setdefault(form.carrier, complaint)
            elif form.loses and not approximate:
                near = near or form
            else:
                return form
    except CarrierError as error:  # a form that cannot be made for this model, and so the last one
        complaints.setdefault(STAIRCASE, str(error))
    if near is not None:
        raise CarrierError(_only_near(engine, subject, near))
    tried = "; ".join(f"'{name}': {words}" for name, words in complaints.items()) or "there is none to try"
    raise CarrierError(
        f"an export must compute the method, because a model that is silently off is worse than none; no form of "
        f"'{subject.method.name}' for this {subject.config.model_type} does in {engine.name} ({tried}). "
        "Use another method or engine, or load the checkpoint with ropewalk.load."
    )


def _only_near(engine: Reader, subject: Subject, form: Form) -> str:
    return (
        f"an export is exact unless told otherwise; {engine.name} cannot compute '{subject.method.name}' exactly. The "
        f"nearest form is '{form.carrier}': {form.loses}. Write it with --approximate, or use ropewalk.load, which "
        "computes the whole method."
    )
