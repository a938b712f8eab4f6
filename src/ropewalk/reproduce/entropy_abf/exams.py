"""What is measured of the cells of Entropy-ABF's study, and on how much."""

from __future__ import annotations

import dataclasses

from ropewalk.cells.exams import EvaluationExam
from ropewalk.cells.texts import MODULES
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.attention_exams import EntropyExam, SlopeExam
from ropewalk.reproduce.recall_exams import BatteryExam, ChatExam

TRAINED, TARGET, BEYOND = 256, 1024, 2048  # tokens
LENGTHS = (256, 512, 1024, 2048)
POSITIONS = (64, 128, *LENGTHS)
NLL, RECALL = "paired_nll", "recall"
ENTROPY, SLOPES_OF, TASKS, CHAT = "entropy", "slopes", "battery", "chat"

TEXT_EXAM = EvaluationExam(MODULES, EvaluationPlan(lengths=LENGTHS, windows_per_document=4, tasks=("paired",)), MODULES)
RECALL_EXAM = EvaluationExam(RECALL, EvaluationPlan(lengths=LENGTHS, contexts=16, tasks=("key-value",)))
QUICK_EXAM = dataclasses.replace(TEXT_EXAM, plan=dataclasses.replace(TEXT_EXAM.plan, windows_per_document=2))
ENTROPY_EXAM = EntropyExam(ENTROPY, MODULES, positions=POSITIONS)
SLOPE_EXAM = SlopeExam(SLOPES_OF, MODULES, contexts=(TARGET, BEYOND))
BATTERY_EXAM = BatteryExam(TASKS, MODULES, sizes=LENGTHS)
CHAT_EXAM = ChatExam(CHAT, MODULES, sizes=LENGTHS)

EXAMS = (TEXT_EXAM, RECALL_EXAM)
UNTRAINED_EXAMS = (*EXAMS, ENTROPY_EXAM)
FIVE_EXAMS = (*EXAMS, ENTROPY_EXAM, BATTERY_EXAM)
SCALE_EXAMS = (*FIVE_EXAMS, SLOPE_EXAM, CHAT_EXAM)  # of ABF and Entropy-ABF, which differ in the scale alone
TALK_EXAMS = (*EXAMS, CHAT_EXAM)
