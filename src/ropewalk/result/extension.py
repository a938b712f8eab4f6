"""What an extension did, and what its short-context gate found."""

from __future__ import annotations

from typing import Literal

from ropewalk.result.data import DataReport
from ropewalk.result.records import FORMAT_VERSION, Environment, Estimate, ModelRecord, Record
from ropewalk.result.watching import WatchResult


class GateCheck(Record):
    """One decision of the short-context gate: how much worse than a reference, against a margin.

    Attributes:
        subject: What was compared: `text` (NLL), or `tasks` (short tasks of the lm-eval harness).
        reference: The `original` model, or the `control`: the same tokens trained at the old window.
        verdict: PASS when the upper bound of the change is within the margin, else FAIL.
        reason: The verdict in words, with its numbers.
        margin: How much worse still passes, in the unit of `change`.
        change: Worse by this much, above 0 for worse; both ends are one-sided bounds. None when nothing was measured.
        details: For information, not part of the decision: divergence, parts of the window, single tasks.
        data: Fingerprint of the prompts and answers of tasks; that of a text stands in the gate's result.
    """

    subject: Literal["text", "tasks"]
    reference: Literal["original", "control"]
    verdict: Literal["PASS", "FAIL"]
    reason: str
    margin: float
    change: Estimate | None
    details: tuple[Estimate, ...] = ()
    data: str | None = None


class ControlRecord(Record):
    """How the control of a gate was trained; the model itself is not kept.

    Attributes:
        window: Tokens of a training window: the trained length.
        batch: Windows per step.
        losses: Loss of each step, nats per supervised token.
    """

    steps: int
    batch: int
    window: int
    tokens: int
    losses: tuple[float, ...]


class GateResult(Record):
    """Whether an extension left text up to the trained window as it was.

    Attributes:
        verdict: FAIL when any check fails; otherwise SKIPPED when one that was asked for could not be made.
        reason: Why, in one sentence.
        notes: What the verdict does not show.
        text: Which text was read, and how; None if none was.
        tasks: Which tasks were asked, and how; None if none were.
        data: Fingerprint of the texts and of their tokens.
        checks: One for each subject and reference.
        control: How the control was trained, or None without one.
    """

    verdict: Literal["PASS", "FAIL", "SKIPPED"]
    reason: str
    notes: tuple[str, ...] = ()
    text: str | None = None
    tasks: str | None = None
    data: str | None = None
    checks: tuple[GateCheck, ...] = ()
    control: ControlRecord | None = None


class ExtensionResult(Record):
    """What an extension did: `ropewalk/result.json` inside the checkpoint.

    Attributes:
        model: The extended model.
        carrier: The rope type that the config carries.
        exact: Plain transformers computes the whole method from the config; if not, `ropewalk.load` does.
        notes: What people should know: layers left alone, what other readers will see.
        self_test: What was checked after the extension.
        data: Fingerprint of the training texts, or None without training.
        data_report: What of them was used, dropped and changed, and how it became windows.
        steps: Optimizer steps.
        tokens: Tokens read in training, supervised or not.
        losses: Loss of each step, nats per supervised token.
        wall_seconds: Time of the process that finished the run.
        gate: What the short-context gate found, or None if it was left out.
        watch: What was measured on the way, or None if nothing was.
    """

    format_version: int = FORMAT_VERSION
    model: ModelRecord
    carrier: str
    exact: bool
    notes: tuple[str, ...]
    self_test: tuple[str, ...]
    data: str | None
    data_report: DataReport | None = None
    steps: int
    tokens: int
    losses: tuple[float, ...]
    wall_seconds: float
    environment: Environment
    gate: GateResult | None = None
    watch: WatchResult | None = None
