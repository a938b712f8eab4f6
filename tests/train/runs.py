"""Tiny training runs for the tests of the trainer."""

from __future__ import annotations

import numpy as np

from ropewalk import positions
from ropewalk.data.store import TokenStore
from ropewalk.data.windows import TextStretches, TrainingWindows
from ropewalk.train.settings import TrainSettings

WINDOW = 32


def tiny_windows(*, size: int, seed: int = 0, vocabulary: int = 64) -> TrainingWindows:
    """Windows of random tokens from three documents."""
    documents = [np.random.default_rng((seed, n)).integers(0, vocabulary, 200 + 40 * n) for n in range(3)]
    text = TextStretches(TokenStore.of(documents), window=WINDOW, reach=WINDOW, seed=seed)
    sampler = positions.get("contiguous").with_options({})
    return TrainingWindows([text], sampler, target_length=WINDOW, size=size, seed=seed)


def tiny_settings(**changes: object) -> TrainSettings:
    """Eight steps of four windows."""
    values = {"steps": 8, "batch": 4, "micro_batch": 2, "learning_rate": 3e-3, "save_every": 3}
    return TrainSettings.model_validate({**values, **changes})
