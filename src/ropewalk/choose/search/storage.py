"""Searches on disk, in optuna's journal: any number of processes may work at one search, and any of them may die."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.choose.search.objective import Objective
    from ropewalk.rope import Floats

JOURNAL = "search.log"
LOSSES, FREQUENCIES, FACTOR = "losses", "frequencies", "attention_factor"


def open_study(folder: Path, name: str, *, sampler: Any = None) -> Any:
    """The optuna study of a name in a folder; a new one if there is none.

    Args:
        folder: Where the journal lies; made if it does not exist.
        name: Of the study.
        sampler: Of optuna; its default if none is given.

    Raises:
        OptionError: optuna is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise OptionError(
            "a search keeps its trials by optuna, which is not installed here. Install it with: "
            "pip install 'ropewalk[search]'"
        )
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.create_study(study_name=name, storage=storage, sampler=sampler, load_if_exists=True)


def finished(study: Any) -> list[Any]:
    """The trials that were measured to their end."""
    import optuna

    return list(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def remember(study: Any, objective: Objective) -> None:
    """Fills an objective with everything that a study has measured."""
    for trial in finished(study):
        key = objective.key(np.array(trial.user_attrs[FREQUENCIES]), trial.user_attrs[FACTOR])
        objective.remembered[key] = tuple(trial.user_attrs[LOSSES])


def measured(frequencies: Floats, attention_factor: float, losses: Floats) -> dict[str, Any]:
    """What a trial keeps of its measurement, context by context, ready for JSON."""
    return {
        FREQUENCIES: [float(value) for value in frequencies],
        FACTOR: float(attention_factor),
        LOSSES: [float(value) for value in losses],
    }
