"""What a model was measured to do while it trained."""

from __future__ import annotations

from ropewalk.result.certificate import Certificate
from ropewalk.result.records import Estimate, Record


class Measurement(Record):
    """A model after some of its training, at the target length.

    Attributes:
        step: Optimizer steps made.
        gain: NLL of the same tokens given the trained length minus given the target, or None without text.
        recall: Share of right answers of each task.
        certificate: What a certificate said, or None where none was tried.
        wall_seconds: What the measurement took.
    """

    step: int
    gain: Estimate | None
    recall: tuple[Estimate, ...]
    certificate: Certificate | None = None
    wall_seconds: float


class WatchResult(Record):
    """Measurements at intervals of a training.

    Attributes:
        every: Steps between them.
        text: Which text was read, or why none was.
        seed: Of everything that was drawn; no evaluation draws the same.
        measurements: In the order of their steps.
        certified_step: Step whose certificate reached the target and ended the training, or None. It was the first of
            several that were tried on the same questions; an evaluation of the saved model asks others.
    """

    every: int
    text: str
    seed: int
    measurements: tuple[Measurement, ...] = ()
    certified_step: int | None = None
