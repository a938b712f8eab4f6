"""The short-context gate of an extension: its text, its references, its verdict.

The gate reads the checkpoint as it was saved. It is no part of the run file, because it changes nothing in the
checkpoint: a run that was stopped inside its gate resumes with other settings of the gate, or without it.

Whatever keeps the gate from measuring once the extension is done makes it SKIPPED, with the reason, and the extension
stands. What is wrong with text that the user gave is refused before any work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import read_texts
from ropewalk.errors import DataError, MeasurementError, ModelError, OptionError
from ropewalk.evals.gate import LABEL, GatePlan, check_text, gate_text, overall
from ropewalk.evals.tasks import encoder
from ropewalk.result import GateResult
from ropewalk.run.control import MODEL, train_control
from ropewalk.run.device import default_device
from ropewalk.run.plan import has_tokenizer
from ropewalk.run.runfile import BUILT_IN
from ropewalk.run.training import CHECKPOINTS, PRECISIONS, training_corpus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ropewalk.evals.gate import GateText
    from ropewalk.result import GateCheck
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan

HELD_OUT = "held-out modules of the built-in corpus"
NO_TEXT = "no text that the model was not trained on; give some with --gate-data FILE"
NO_CONTROL = (
    "the original model is the only reference. Where it was under-trained, any training makes it better and hides what "
    "the extension cost. The same tokens trained at the old window would show it: --gate-control, which takes about as "
    "long as the run itself"
)


@dataclass(frozen=True)
class GateSettings:
    """What a user chooses.

    Attributes:
        files: Text files and folders that the model is not trained on; `builtin` stands for the held-out modules.
        control: Train the control, too, and compare with it.
        sizes: Margin and numbers of windows.
    """

    files: tuple[str, ...] = ()
    control: bool = False
    sizes: GatePlan = field(default_factory=GatePlan)


@dataclass(frozen=True)
class Gate:
    """A gate whose text is chosen, or that will be skipped.

    Attributes:
        plan: The run.
        settings: What the user chose.
        text: What is read, or None.
        words: Which text that is, or why there is none.
    """

    plan: Plan
    settings: GateSettings
    text: GateText | None
    words: str

    def run(self, checkpoint: Path, tell: Reporter) -> GateResult:
        """Measures the saved checkpoint against the original and, if asked, against the control.

        Args:
            checkpoint: The folder of the extended model; the control works in its `checkpoints` folder.
            tell: Hears of stages, steps and windows.

        Raises:
            InterruptedRunError: Ctrl-C while the control trains.
            OutputError: The disk refused the control.
        """
        if self.text is None:
            return GateResult(verdict="SKIPPED", reason=self.words)
        tell.stage(f"{LABEL}: {self.words}")
        try:
            return self._measured(checkpoint, self.text, tell)
        except (DataError, MeasurementError, ModelError) as error:
            return GateResult(verdict="SKIPPED", reason=f"it could not be measured: {error}", text=self.words)
        except torch.OutOfMemoryError:
            reason = "the device must hold the original and the extended model together, and ran out of memory"
            return GateResult(verdict="SKIPPED", reason=reason, text=self.words)

    def _measured(self, checkpoint: Path, text: GateText, tell: Reporter) -> GateResult:
        checks = [self._check(self.plan.source, checkpoint, text, "original", tell)]
        control = None
        if self.settings.control:
            work = checkpoint / CHECKPOINTS / "control"
            control = train_control(self.plan, work, tell)
            checks.append(self._check(work / MODEL, checkpoint, text, "control", tell))
        verdict, reason = overall(checks)
        trained_alone = self.plan.run.train.steps > 0 and control is None
        return GateResult(
            verdict=verdict,
            reason=reason,
            notes=(NO_CONTROL,) if trained_alone else (),
            text=self.words,
            data=text.fingerprint,
            checks=tuple(checks),
            control=control,
        )

    def _check(
        self, reference: Path, checkpoint: Path, text: GateText, name: Literal["original", "control"], tell: Reporter
    ) -> GateCheck:
        """Loads both models for this one check, so that no more than two are in memory at a time."""
        dtype, device = PRECISIONS[self.plan.run.train.precision], default_device()
        first, second = (adapters.load_model(path, dtype=dtype, device=device) for path in (reference, checkpoint))
        return check_text(first, second, text, self.settings.sizes, name=name, progress=tell.advance)


def prepare_gate(plan: Plan, settings: GateSettings) -> Gate:
    """Chooses the text, before any work.

    Text that was given; else the held-out modules of the built-in corpus, for the built-in model and for runs that
    train on that corpus; else none, and the gate is skipped. Documents that the run trains on are left out.

    Raises:
        OptionError: A control of a run that trains nothing.
        DataError: Text was given that cannot be read, is trained on, or is too short.
    """
    if settings.control and not plan.run.train.steps:
        raise OptionError(
            "the control of the gate is the same training at the old window, so the run must train; got 0 steps. "
            "Leave --gate-control out: untrained, the original model is the whole comparison."
        )
    found = _documents(plan, settings)
    if not found:
        return Gate(plan, settings, None, NO_TEXT)
    if not has_tokenizer(plan.source):
        return Gate(plan, settings, None, f"no tokenizer in '{plan.source}', so text cannot become tokens")
    try:
        documents = _never_trained_on(plan, found)
        text = gate_text(
            documents,
            encoder(adapters.load_tokenizer(plan.source)),
            trained_length=plan.config.rope.trained_length,
            plan=settings.sizes,
        )
    except (DataError, ModelError) as error:
        if settings.files:
            raise
        return Gate(plan, settings, None, str(error))
    windows, length = text.windows.shape
    words = f"{windows} windows of {length:,} tokens from {'the text given' if settings.files else HELD_OUT}"
    trained_on = len(found) - len(documents)
    if trained_on:
        words += f", {trained_on} of {len(found)} documents left out because the run trains on them"
    return Gate(plan, settings, text, words)


def _documents(plan: Plan, settings: GateSettings) -> Mapping[str, str]:
    run = plan.run
    reads_built_in = run.model == BUILT_IN or (run.train.steps > 0 and BUILT_IN in run.data.files)
    files = settings.files or ((BUILT_IN,) if reads_built_in else ())
    documents: dict[str, str] = {}
    for file in files:
        documents.update((standard_library(held_out=True) if file == BUILT_IN else read_texts([file])).documents)
    return documents


def _never_trained_on(plan: Plan, documents: Mapping[str, str]) -> Mapping[str, str]:
    """The documents without those whose whole text the run trains on.

    Raises:
        DataError: None is left.
    """
    if not plan.run.train.steps:
        return documents
    trained_on = set(training_corpus(plan.run.data.files).documents.values())
    fresh = {name: text for name, text in documents.items() if text not in trained_on}
    if not fresh:
        raise DataError(
            "the gate's text must not be trained on, because memorised text hides damage; the run trains on every "
            "document given. Give others with --gate-data FILE."
        )
    return fresh
