"""The short-context gate of an extension: its text, its tasks, its references, its verdict.

The gate reads the checkpoint as it was saved. It is no part of the run file, because it changes nothing in the
checkpoint: a run that was stopped inside its gate resumes with other settings of the gate, or without it.

Text and tasks that the user asked for and that cannot serve are refused before any work. Whatever keeps the gate from
measuring once the extension is done makes it SKIPPED, with the reason, and the extension stands; a check that failed
before that is a FAIL all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

from ropewalk import adapters
from ropewalk.errors import InterruptedRunError, OptionError, OutputError, RopewalkError
from ropewalk.evals.gate import LABEL, GatePlan, check_text, overall
from ropewalk.evals.harness.short_suite import compare_short_suites
from ropewalk.result import GateResult
from ropewalk.run.device import default_device
from ropewalk.run.gate_tasks import GateTasks
from ropewalk.run.gate_text import NO_TOKENIZER, choose_text
from ropewalk.run.output import CHECKPOINTS
from ropewalk.run.plan import has_tokenizer
from ropewalk.run.precision import precision_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ropewalk.evals.gate import GateText
    from ropewalk.evals.harness.short_suite import ShortSuiteRun
    from ropewalk.result import ControlRecord, GateCheck
    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan

__all__ = ["Gate", "GateSettings", "GateTasks", "prepare_gate"]

NO_CONTROL = (
    "the original model is the only reference. Where it was under-trained, any training makes it better and hides what "
    "the extension cost. The same tokens trained at the old window would show it: --gate-control, which takes about as "
    "long as the run itself"
)
TASKS_ALONE = "the tasks alone were measured, which says nothing about context longer than their prompts"
MEMORY = "the device ran out of memory; text needs room for two models at a time, tasks for one"


@dataclass(frozen=True)
class GateSettings:
    """What a user chooses.

    Attributes:
        files: Text files and folders that the model is not trained on; `builtin` stands for the held-out modules.
        control: Train the control, too, and compare with it.
        tasks: Tasks of lm-eval that are asked besides the text, or None.
        sizes: Margin and numbers of windows of the text.
    """

    files: tuple[str, ...] = ()
    control: bool = False
    tasks: GateTasks | None = None
    sizes: GatePlan = field(default_factory=GatePlan)


@dataclass(frozen=True)
class Gate:
    """A gate whose text and tasks are chosen, or that will be skipped.

    Attributes:
        plan: The run.
        settings: What the user chose.
        text: What is read, or None.
        words: Which text that is, or why there is none.
        asked: Which tasks are asked, or None.
    """

    plan: Plan
    settings: GateSettings
    text: GateText | None
    words: str
    asked: str | None = None

    def run(self, checkpoint: Path, tell: Reporter) -> GateResult:
        """Measures the saved checkpoint against the original and, if asked, against the control.

        Args:
            checkpoint: The folder of the extended model; the control works in its `checkpoints` folder.
            tell: Hears of stages, steps, windows and answers.

        Raises:
            InterruptedRunError: Ctrl-C while the control trains.
            OutputError: The disk refused the control.
        """
        if self.text is None and self.asked is None:
            return GateResult(verdict="SKIPPED", reason=self.words)
        tell.stage(f"{LABEL}: {self.words}" if self.text else f"{LABEL}: tasks alone; {self.words}")
        measurement = _Measurement(self, checkpoint, tell)
        missing = measurement.run()
        verdict, reason = overall(measurement.checks, missing)
        return GateResult(
            verdict=verdict,
            reason=reason,
            notes=tuple(self._notes(missing if verdict == "FAIL" else None)) if measurement.checks else (),
            text=self.words if self.text else None,
            tasks=self.asked,
            data=self.text.fingerprint if self.text else None,
            checks=tuple(measurement.checks),
            control=measurement.control,
        )

    def _notes(self, missing: str | None) -> Iterator[str]:
        if missing:
            yield missing
        if self.text is None:
            yield f"{TASKS_ALONE}: {self.words}"
        if self.plan.run.train.steps and not self.settings.control:
            yield NO_CONTROL


class _Measurement:
    """The checks of one run of a gate, in the order of their making, so that none is lost to a failure after it."""

    def __init__(self, gate: Gate, checkpoint: Path, tell: Reporter) -> None:
        self.gate, self.plan, self.checkpoint, self.tell = gate, gate.plan, checkpoint, tell
        self.checks: list[GateCheck] = []
        self.control: ControlRecord | None = None
        self.current = ""
        self._answers = cache(self._ask)  # the extended model's serve both references

    def run(self) -> str | None:
        """Makes all checks, or as many as can be made; then says what was in the way."""
        try:
            self._against(self.plan.source, "original")
            if self.gate.settings.control:
                self.current = "the control"
                from ropewalk.run.control import MODEL, train_control

                work = self.checkpoint / CHECKPOINTS / "control"
                self.control = train_control(self.plan, work, self.tell)
                self._against(work / MODEL, "control")
        except (InterruptedRunError, OutputError):
            raise
        except RopewalkError as error:
            return f"{self.current} could not be measured: {error}"
        except torch.OutOfMemoryError:
            return f"{self.current} could not be measured: {MEMORY}"
        return None

    def _against(self, reference: Path, name: Literal["original", "control"]) -> None:
        if self.gate.text is not None:
            self.current = f"text against the {name}"
            self.checks.append(self._text(self.gate.text, reference, name))
        if self.gate.asked is not None:
            self.current = f"tasks against the {name}"
            before, after = self._answers(reference, name), self._answers(self.checkpoint, "extended")
            self.checks.append(compare_short_suites(before, after, reference=name))

    def _text(self, text: GateText, reference: Path, name: Literal["original", "control"]) -> GateCheck:
        """Loads both models for this one check, so that no more than two are in memory at a time."""
        dtype, device = precision_of(self.plan), default_device()
        first, second = (adapters.load_model(path, dtype=dtype, device=device) for path in (reference, self.checkpoint))
        return check_text(first, second, text, self.gate.settings.sizes, name=name, progress=self.tell.advance)

    def _ask(self, folder: Path, name: str) -> ShortSuiteRun:
        assert self.gate.settings.tasks is not None
        return self.gate.settings.tasks.ask(folder, name, self.plan, self.tell)


def prepare_gate(plan: Plan, settings: GateSettings) -> Gate:
    """Chooses the text and loads the tasks, before any work. With neither the gate is skipped.

    Raises:
        OptionError: A control of a run that trains nothing; tasks without lm-eval, or other than the suite needs.
        UnknownNameError: lm-eval has no task of that name.
        DataError: Text was given that cannot be read, is trained on, or is too short; or tasks cannot be read.
        ModelError: Text was given, and the tokenizer does not load.
    """
    if settings.control and not plan.run.train.steps:
        raise OptionError(
            "the control of the gate is the same training at the old window, so the run must train; got 0 steps. "
            "Leave --gate-control out: untrained, the original model is the whole comparison."
        )
    if settings.control and plan.run.train.stop_when:
        raise OptionError(
            "the control of the gate gets as many tokens as the run, and a run that stops when it is certified does "
            "not know how many beforehand; got --gate-control with stop_when. Leave one of them out."
        )
    text, words = choose_text(plan, settings.files, settings.sizes)
    asked = settings.tasks.prepare() if settings.tasks else None
    if asked and not has_tokenizer(plan.source):
        asked, words = None, NO_TOKENIZER.format(plan.source)
    return Gate(plan, settings, text, words, asked)
