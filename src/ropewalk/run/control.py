"""The control of a run: the same tokens trained at the old window, nothing extended.

An under-trained model gets better by any training, which hides what an extension cost it. The control got the same
training without the extension, so the difference to it is the extension's own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ropewalk import positions
from ropewalk.result import ControlRecord
from ropewalk.run.plan import build_method
from ropewalk.run.runfile import Choice
from ropewalk.run.training import train_and_save

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.run.extension import Reporter
    from ropewalk.run.plan import Plan

MODEL = "model"


def control_plan(plan: Plan) -> Plan:
    """The plan of the control: method `none`, contiguous windows of the trained length, as many tokens in each step.

    Steps, learning rate, data and seed stay; nothing has moved, so nothing is restored. Where the tokens of a step do
    not divide into windows of the trained length, the last of them is filled up, so that the control never gets less.
    """
    train, trained_length = plan.run.train, plan.config.rope.trained_length
    micro = min(train.micro_batch or train.batch, train.batch)
    rows = math.ceil(micro * plan.window / trained_length)
    sampler = positions.get("contiguous").with_options({})
    run = plan.run.model_copy(
        update={
            "target_length": trained_length,
            "method": Choice(name="none"),
            "positions": Choice(name=sampler.name),
            "train": train.model_copy(
                update={"micro_batch": rows, "batch": rows * max(1, train.batch // micro), "restoration": 0.0}
            ),
            "data": plan.run.data.model_copy(update={"window": trained_length}),
        }
    )
    method = build_method(Choice(name="none"), plan.config.rope, trained_length)
    return replace(plan, run=run, method=method, target_length=trained_length, sampler=sampler, window=trained_length)


def train_control(plan: Plan, folder: Path, tell: Reporter) -> ControlRecord:
    """Trains the control of a plan and saves it in `folder/model`; goes on from a checkpoint in `folder`, if any.

    Raises:
        InterruptedRunError: Ctrl-C; a checkpoint of the last whole step has been written.
    """
    control = control_plan(plan)
    settings = control.run.train
    tell.stage("control of the gate: the same tokens at the old window, nothing extended")
    record = train_and_save(control, folder / MODEL, tell).record
    return ControlRecord(
        steps=record.steps, batch=settings.batch, window=control.window, tokens=record.tokens, losses=record.losses
    )
