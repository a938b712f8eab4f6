"""What is measured of the models of CREAM's study."""

from __future__ import annotations

import dataclasses

from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.readings import Reading
from ropewalk.cells.texts import MODULES
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.cream.formats import Format, FormatsExam

TRAINED, TARGET = 256, 2048  # tokens
LENGTHS = (256, 512, 1024, 2048)
NLL, RECALL, KEYS = "paired_nll", "recall", "key_value"
NEEDLE, PASSKEY = "needle", "passkey"
FORMATS = "formats"
MIDDLE = (1 / 3, 2 / 3)  # depths

RECALL_EXAM = EvaluationExam(RECALL, EvaluationPlan(lengths=LENGTHS, contexts=32, tasks=("key-value",)))
TEXT_EXAM = EvaluationExam(MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES)
EXAMS = (RECALL_EXAM, TEXT_EXAM)
QUICK_EXAMS = (
    dataclasses.replace(RECALL_EXAM, plan=dataclasses.replace(RECALL_EXAM.plan, lengths=(TRAINED, TARGET))),
    dataclasses.replace(TEXT_EXAM, plan=dataclasses.replace(TEXT_EXAM.plan, windows_per_document=2)),
)
# Pass keys at ten depths; theirs is a sentence in essays, asked at 10 lengths from 1,024 to 32,700 tokens.
NEEDLE_EXAM = EvaluationExam(NEEDLE, EvaluationPlan(lengths=LENGTHS, trials=2, tasks=("passkey",)))
HEADLINE_EXAMS = (*EXAMS, NEEDLE_EXAM)
FORMATS_EXAM = FormatsExam(
    FORMATS,
    length=TRAINED,
    contexts=40,
    formats=(Format("lines"), Format("json-kv", (("digits", 8),)), Format("niah-single-1")),
)


def recall(cell: str, depths: tuple[float, float] | None = None, *, length: int = TARGET, of: str = RECALL) -> Reading:
    """Records that a cell finds."""
    return Reading(cell, of, KEYS, length, depths)


def nll(cell: str, length: int = TARGET, *, of: str = MODULES) -> Reading:
    """Loss of a cell on held-out modules."""
    return Reading(cell, of, NLL, length)
