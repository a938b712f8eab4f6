"""Searches on disk, in optuna's journal: any number of processes may work at one search, and any of them may die."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import OptionError, OutputError
from ropewalk.evals.journal import differences

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ropewalk.choose.search.objective import Objective
    from ropewalk.rope import Floats

JOURNAL = "search.log"
LOSSES, FREQUENCIES, FACTOR = "losses", "frequencies", "attention_factor"
CONDITIONS = "conditions"


def open_study(folder: Path, name: str, conditions: Mapping[str, Any], *, sampler: Any = None) -> Any:
    """The optuna study of a name in a folder; a new one if there is none.

    Args:
        folder: Where the journal lies; made if it does not exist.
        name: Of the study.
        conditions: What the losses of its trials depend on, as JSON knows it.
        sampler: Of optuna; its default if none is given.

    Raises:
        OptionError: optuna is not installed.
        OutputError: The folder holds this search under other conditions.
    """
    require_optuna()
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(study_name=name, storage=storage, sampler=sampler, load_if_exists=True)
    begun = bool(study.get_trials(deepcopy=False))  # asked first: who adds a trial has written the conditions before
    known = study.user_attrs.get(CONDITIONS)
    if known is None and not begun:
        study.set_user_attr(CONDITIONS, dict(conditions))
    elif differing := sorted(differences(known or {}, dict(conditions))):
        raise OutputError(
            f"a search goes on only with the model and the target that it began with; '{folder}' holds the search "
            f"'{name}', which differs from what is asked now in: {', '.join(differing)}. Choose another place with -o, "
            "or remove that folder."
        )
    return study


def require_optuna() -> None:
    """Raises OptionError where optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise OptionError(
            "a search keeps its trials by optuna, which is not installed here. Install it with: "
            "pip install 'ropewalk[search]'"
        )


def finished(study: Any) -> list[Any]:
    """The trials that were measured to their end."""
    import optuna

    return list(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def remember(study: Any, objective: Objective, known: set[int] | None = None) -> None:
    """Fills an objective with everything that a study has measured.

    Args:
        study: The study, at which other processes may be, too.
        objective: Remembers.
        known: Numbers of the trials that it remembers already; those that are new are added.
    """
    known = set() if known is None else known
    for trial in finished(study):
        if trial.number not in known:
            known.add(trial.number)
            key = objective.key(np.array(trial.user_attrs[FREQUENCIES]), trial.user_attrs[FACTOR])
            objective.remembered[key] = tuple(trial.user_attrs[LOSSES])


def measured(frequencies: Floats, attention_factor: float, losses: Floats) -> dict[str, Any]:
    """What a trial keeps of its measurement, context by context, ready for JSON."""
    return {
        FREQUENCIES: [float(value) for value in frequencies],
        FACTOR: float(attention_factor),
        LOSSES: [float(value) for value in losses],
    }
