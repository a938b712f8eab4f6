"""`ropewalk search`: one search or both at equal evaluations, judged on needles that neither saw."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.swap import swapped_frequencies, swapped_method
from ropewalk.choose.needles import Needles
from ropewalk.choose.searched import check_search, choice_of, run_search, write_method_file
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import NATS, estimate_of
from ropewalk.evals.store import RESULT, write_record
from ropewalk.methods.yarn import Yarn
from ropewalk.report.search import write_search_figure
from ropewalk.result import SearchComparison, SearchedPoint
from ropewalk.result.quantities import NEEDLE_NLL
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent
from ropewalk.run.plan import check_target
from ropewalk.statistics import bootstrap_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ropewalk.result import Estimate
    from ropewalk.rope import Floats
    from ropewalk.run.extension import Reporter

FIGURE = "figure.png"
FRESH_SEED = 2  # of the needles that judge
AS_IT_IS, YARN = "as it is", "yarn, no search"


def compare_searches(
    model: str,
    target_length: int,
    folder: Path,
    *,
    searches: Sequence[str],
    evaluations: int,
    contexts: int,
    reporter: Reporter | None = None,
) -> SearchComparison:
    """Searches, goes on with searches that were stopped, and measures what they found.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        target_length: Tokens of the new window.
        folder: Keeps every trial, a method file for each search, the result and its figure.
        searches: `taper`, `evolution`, or both.
        evaluations: Of each.
        contexts: Fresh needle contexts.
        reporter: Hears of every candidate.

    Raises:
        OptionError: optuna is not installed, too few evaluations, or a target too short for needles.
        UnknownNameError: No such search.
    """
    tell, started = reporter or Silent(), time.monotonic()
    for search in searches:
        check_search(search, evaluations)
    config = read_model_config(model)
    config.require_unscaled()
    check_target(target_length, config)
    checkpoint, rope = load_checkpoint(model), config.rope
    needles = Needles.draw(checkpoint.tokenizer, target_length, contexts=contexts, seed=FRESH_SEED)
    losses: dict[str, Floats] = {AS_IT_IS: needles.losses(checkpoint.model)}
    with swapped_method(checkpoint.model, Yarn(factor=target_length / rope.trained_length), config, target_length):
        losses[YARN] = needles.losses(checkpoint.model)
    trajectories = []
    for search in searches:
        found = run_search(checkpoint, rope, target_length, folder, search, evaluations, reporter=tell)
        write_method_file(folder / f"{search}.toml", choice_of(found, rope, target_length), found)
        with swapped_frequencies(checkpoint.model, np.array(found.frequencies), found.attention_factor):
            losses[search] = needles.losses(checkpoint.model)
        trajectories.append(found)
    result = SearchComparison(
        model=model,
        trained_length=rope.trained_length,
        target_length=target_length,
        evaluations=evaluations,
        trajectories=tuple(trajectories),
        fresh=_fresh(losses, target_length),
        contexts=contexts,
        seed=FRESH_SEED,
        environment=environment(checkpoint.model.device),
        wall_seconds=time.monotonic() - started,
    )
    write_record(folder / RESULT, result)
    write_search_figure(result, folder / FIGURE)
    return result


def _fresh(losses: Mapping[str, Floats], length: int) -> tuple[SearchedPoint, ...]:
    finite = {name: np.minimum(found, 1e6) for name, found in losses.items()}  # what is no number is the worst
    order = sorted(finite, key=lambda name: float(finite[name].mean()))
    best = finite[order[0]]
    return tuple(
        SearchedPoint(
            name=name,
            needles=_estimate(finite[name], length, "mean loss on answers, all records asked for"),
            behind=_estimate(finite[name] - best, length, f"minus {order[0]}, on the same contexts"),
        )
        for name in order
    )


def _estimate(losses: Floats, length: int, protocol: str) -> Estimate:
    interval = bootstrap_mean(losses, list(range(len(losses))), np.random.default_rng(0), unit="contexts")
    return estimate_of(interval, measure=NEEDLE_NLL, protocol=protocol, unit=NATS, length=length, failed=0)
