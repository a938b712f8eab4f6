"""What a run trains on: its texts and its windows. The extension and the control of the gate share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk import adapters
from ropewalk.data.corpus import Corpus, standard_library
from ropewalk.data.documents import encode, read_texts, tokenize
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.data.windows import TextStretches, TrainingWindows
from ropewalk.run.device import default_device
from ropewalk.run.precision import precision_of
from ropewalk.run.runfile import BUILT_IN
from ropewalk.train.restoration import Restoration

if TYPE_CHECKING:
    from ropewalk.run.plan import Plan

CHECKPOINTS = "checkpoints"
REPEATS = 0.4  # of the recall windows; the others hold pass keys, key-value records and streams


def training_corpus(files: tuple[str, ...]) -> Corpus:
    """The training texts of a run: files, folders, and the built-in corpus by its name."""
    documents: dict[str, str] = {}
    for file in files:
        part = standard_library(held_out=False) if file == BUILT_IN else read_texts([file])
        documents.update(part.documents)
    return Corpus(documents)


def training_windows(plan: Plan, tokenizer: Any, corpus: Corpus) -> TrainingWindows:
    """The training set of a plan."""
    settings, data = plan.run.train, plan.run.data
    documents = list(tokenize(corpus, tokenizer).values())
    text = TextStretches(documents, window=plan.window, reach=plan.run.target_length, seed=settings.seed)
    recall = None
    if data.recall_share:
        recall = RecallWindows(
            lambda piece: encode(tokenizer, piece),
            np.concatenate(documents),
            plan.window,
            shortest_passkey=plan.window // 2,
            repeat_share=REPEATS,
        )
    return TrainingWindows(
        text,
        plan.sampler,
        target_length=plan.run.target_length,
        size=settings.steps * settings.batch,
        seed=settings.seed,
        recall=recall,
        recall_share=data.recall_share,
    )


def restoration_of(plan: Plan) -> Restoration | None:
    """What the original model teaches in a run, if the run asks for it."""
    settings = plan.run.train
    if not settings.restoration:
        return None
    teacher = adapters.load_model(plan.source, dtype=precision_of(plan), device=default_device())
    return Restoration(teacher.eval().requires_grad_(False), plan.config.rope.trained_length, settings.restoration)
