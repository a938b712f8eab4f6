"""Two searches for the frequencies of one model and target, measured by the same needles."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.analysis.taper import tapered_frequencies
from ropewalk.choose.search.storage import FACTOR, FREQUENCIES, finished, measured, open_study, remember, require_optuna
from ropewalk.errors import OptionError
from ropewalk.methods.linear import Linear
from ropewalk.methods.ntk import Ntk
from ropewalk.methods.yarn import Yarn
from ropewalk.result import SearchTrajectory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ropewalk.choose.search.evolution import Evolution
    from ropewalk.choose.search.objective import Objective
    from ropewalk.rope import Floats, Rope

    Progress = Callable[[str, int, int], None]

EVOLUTION, TAPER = "evolution", "taper"
STEEPEST = 0.3  # of the logit slope; YaRN's is 0.1
YARN_SLOPE = 0.1


def search_taper(
    objective: Objective,
    rope: Rope,
    factor: float,
    folder: Path,
    *,
    evaluations: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> SearchTrajectory:
    """Three numbers: where the taper lies, how wide it is, and how much sharper attention gets, by CMA-ES.

    The attention factor is 1 + slope ln(factor), of which YaRN's slope is 0.1. The first trials are the points of
    known methods.

    Args:
        objective: Measures.
        rope: The trained geometry.
        factor: Target over trained length, by which pairs beyond the taper are slowed.
        folder: Keeps every trial; the same search goes on where it stopped, also in several processes at once.
        evaluations: Trials in all.
        seed: Of the proposals.
        progress: Called with (what, done, total).

    Raises:
        OptionError: optuna is not installed, or the target is no longer than the trained window.
        OutputError: The folder holds a search of another model or target.
    """
    _check_factor(factor)
    study = open_study(folder, TAPER, _conditions(objective, rope, factor), sampler=_cma_es(seed))
    for point in known_points(rope, factor):
        _enqueue(study, point)
    remember(study, objective)
    while (done := len(finished(study))) < evaluations:
        trial = study.ask()
        cut, width = trial.suggest_float("cut", 0.0, rope.pairs), trial.suggest_float("width", 0.0, rope.pairs)
        attention_factor = 1.0 + trial.suggest_float("slope", 0.0, STEEPEST) * math.log(factor)
        frequencies = tapered_frequencies(rope, cut=cut, width=width, stretch=factor)
        losses = objective.losses(frequencies, attention_factor)
        for name, value in measured(frequencies, attention_factor, losses).items():
            trial.set_user_attr(name, value)
        study.tell(trial, _finite(losses))
        if progress is not None:
            progress(TAPER, done + 1, evaluations)
    return _trajectory(finished(study)[:evaluations])


def search_evolution(
    objective: Objective,
    rope: Rope,
    factor: float,
    folder: Path,
    evolution: Evolution,
    *,
    progress: Progress | None = None,
) -> SearchTrajectory:
    """LongRoPE's evolution; attention is sharpened as LongRoPE's own factor does.

    Its candidates follow from the seed and the measurements: a search that was stopped goes through the same ones, and
    measures those that no process has measured yet.

    Raises:
        OptionError: optuna is not installed, or the target is no longer than the trained window.
        OutputError: The folder holds a search of another model or target.
    """
    _check_factor(factor)
    study = open_study(folder, EVOLUTION, _conditions(objective, rope, factor))
    attention_factor = math.sqrt(1.0 + math.log(factor) / math.log(rope.trained_length))
    known: set[int] = set()
    order = np.random.default_rng()  # of work alone: two processes seldom begin with the same candidate
    done = 0

    def losses(stretches: Sequence[Floats]) -> list[float]:
        nonlocal done
        for index in order.permutation(len(stretches)):
            frequencies = rope.frequencies / stretches[index]
            remember(study, objective, known)
            if objective.key(frequencies, attention_factor) not in objective.remembered:
                found = objective.losses(frequencies, attention_factor)
                _add(study, _finite(found), measured(frequencies, attention_factor, found))
            done += 1
            if progress is not None:
                progress(EVOLUTION, done, evolution.evaluations)
        return [_finite(objective.losses(rope.frequencies / stretch, attention_factor)) for stretch in stretches]

    seen = evolution.search(first_stretches(rope, factor), factor, losses)
    values = tuple(value for _, value in seen)
    best, _ = seen[int(np.argmin(values))]
    return SearchTrajectory(
        search=EVOLUTION,
        losses=values,
        frequencies=tuple(float(value) for value in rope.frequencies / best),
        attention_factor=attention_factor,
        found={},
    )


def known_points(rope: Rope, factor: float) -> list[dict[str, float]]:
    """Points of the plane where known methods lie: YaRN, NTK-by-parts, and Position Interpolation."""
    ramp = Yarn(factor=factor).stretch(rope)
    weights = (1.0 - 1.0 / ramp) / (1.0 - 1.0 / factor)
    inside = np.flatnonzero((weights > 0) & (weights < 1))
    low, high = (inside[0] - 1, inside[-1] + 1) if len(inside) else (np.flatnonzero(weights > 0)[0],) * 2
    place = {"cut": float(low + high) / 2, "width": float(high - low)}
    return [
        {**place, "slope": YARN_SLOPE},
        {**place, "slope": 0.0},
        {"cut": 0.0, "width": 0.0, "slope": 0.0},
    ]


def first_stretches(rope: Rope, factor: float) -> list[Floats]:
    """Where LongRoPE's search begins: PI, NTK-aware, YaRN."""
    return [method(factor=factor).stretch(rope) for method in (Linear, Ntk, Yarn)]


def _check_factor(factor: float) -> None:
    if factor <= 1:
        raise OptionError(
            f"a search is for frequencies of a longer window than the trained one; got {factor:g} times it. Choose a "
            "longer target."
        )


def _conditions(objective: Objective, rope: Rope, factor: float) -> dict[str, Any]:
    return {**objective.conditions, "rope": dataclasses.asdict(rope), "factor": factor}


def _cma_es(seed: int) -> Any:
    require_optuna()
    import optuna

    return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=8)


def _enqueue(study: Any, point: dict[str, float]) -> None:
    """Puts a point into the queue, unless it waits there or is measured; a process may have died at it."""
    import optuna

    for trial in study.get_trials(deepcopy=False):
        fixed = trial.system_attrs.get("fixed_params", {})
        if fixed == point and trial.state in (optuna.trial.TrialState.WAITING, optuna.trial.TrialState.COMPLETE):
            return
    study.enqueue_trial(point)


def _add(study: Any, value: float, kept: dict[str, Any]) -> None:
    import optuna

    study.add_trial(optuna.trial.create_trial(value=value, user_attrs=kept))


def _finite(losses: Floats) -> float:
    """A loss that optuna can hold: what is no number counts as the worst."""
    return float(np.minimum(losses, 1e6).mean())


def _trajectory(trials: list[Any]) -> SearchTrajectory:
    values = [float(trial.value) for trial in trials]
    best = trials[int(np.argmin(values))]
    return SearchTrajectory(
        search=TAPER,
        losses=tuple(values),
        frequencies=tuple(best.user_attrs[FREQUENCIES]),
        attention_factor=best.user_attrs[FACTOR],
        found={key: float(value) for key, value in best.params.items()},
    )
