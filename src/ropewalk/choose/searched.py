"""What a search finds, as a method file: the longrope method with the factors of one model and target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from ropewalk.adapters.config import read_model_config
from ropewalk.choose.needles import KEYS, Needles
from ropewalk.choose.search.evolution import Evolution
from ropewalk.choose.search.objective import Objective
from ropewalk.choose.search.searching import EVOLUTION, TAPER, search_evolution, search_taper
from ropewalk.errors import OptionError, unknown_name
from ropewalk.evals.store import write_text
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent
from ropewalk.run.plan import check_target
from ropewalk.run.runfile import Choice

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.result import SearchTrajectory
    from ropewalk.rope import Rope
    from ropewalk.run.checkpoint import Checkpoint
    from ropewalk.run.extension import Reporter

SEARCHES = (TAPER, EVOLUTION)
CONTEXTS = 8  # that a candidate of a search is measured on
SEED = 0  # of these; what is reported comes from other seeds
FEWEST = 4  # evaluations: the known points, and one that is not known


def searched_choice(
    model: str | Path,
    target_length: int,
    folder: Path,
    *,
    search: str = TAPER,
    evaluations: int = 300,
    keys: int = KEYS,
    file: Path,
    reporter: Reporter | None = None,
) -> Choice:
    """Searches, or goes on with a search, and writes what it found as a method file.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        target_length: Tokens of the new window.
        folder: Keeps every trial.
        search: `taper` or `evolution`.
        evaluations: Candidates in all.
        keys: Facts in each needle context.
        file: The method file, which `extend --recipe` takes.
        reporter: Hears of every candidate.

    Raises:
        OptionError: optuna is not installed, too few evaluations, or a target too short for needles or for a search.
        OutputError: The folder holds a search of another model or target.
        UnknownNameError: No such search.
    """
    tell = reporter or Silent()
    rope = read_model_config(model).rope
    check_search(search, evaluations)
    check_target(target_length, read_model_config(model))
    tell.stage(f"search for frequencies: {search}, {evaluations:,} evaluations on {CONTEXTS} needle contexts")
    found = run_search(
        load_checkpoint(model), rope, target_length, folder, search, evaluations, keys=keys, reporter=tell
    )
    choice = choice_of(found, rope, target_length)
    write_method_file(file, choice, found)
    tell.stage(f"found in '{search}': loss on needles {min(found.losses):.3f}, method file {file}")
    return choice


def run_search(
    checkpoint: Checkpoint,
    rope: Rope,
    target_length: int,
    folder: Path,
    search: str,
    evaluations: int,
    *,
    keys: int = KEYS,
    reporter: Reporter,
) -> SearchTrajectory:
    """One search on a loaded model, by needles of seed 0."""
    needles = Needles.draw(checkpoint.tokenizer, target_length, contexts=CONTEXTS, seed=SEED, keys=keys)
    conditions = {"weights": checkpoint.weights, "settings": checkpoint.settings, "target_length": target_length}
    conditions |= {"contexts": CONTEXTS, "seed": SEED, "keys": keys}
    objective = Objective(checkpoint.model, needles, conditions=conditions)
    factor = target_length / rope.trained_length
    if search == EVOLUTION:
        return search_evolution(objective, rope, factor, folder, evolution_of(evaluations), progress=reporter.advance)
    return search_taper(objective, rope, factor, folder, evaluations=evaluations, progress=reporter.advance)


def check_search(search: str, evaluations: int) -> None:
    """Raises UnknownNameError or OptionError for a search that cannot be made."""
    if search not in SEARCHES:
        raise unknown_name("search", search, SEARCHES)
    if evaluations < FEWEST:
        raise OptionError(
            f"a search begins with {FEWEST - 1} known points, so it needs at least {FEWEST} evaluations; got "
            f"{evaluations}. Some hundreds are usual."
        )


def evolution_of(evaluations: int) -> Evolution:
    """LongRoPE's evolution with exactly so many evaluations: its own sizes where they fit, else smaller ones."""
    usual = Evolution()
    children = usual.mutants + usual.crossings
    if evaluations >= usual.population + children:
        generations = (evaluations - usual.population) // children
        return Evolution(population=evaluations - generations * children, generations=generations)
    children = evaluations // 2
    population = evaluations - children
    return Evolution(
        population=population,
        parents=max(1, population // 2),
        mutants=children - children // 2,
        crossings=children // 2,
        generations=1,
    )


def choice_of(found: SearchTrajectory, rope: Rope, target_length: int) -> Choice:
    """The longrope method that turns pairs as the best candidate did."""
    factors = rope.frequencies / np.array(found.frequencies)
    options: dict[str, Any] = {
        "factor": target_length / rope.trained_length,
        "factors": [float(value) for value in factors],
        "attention_factor": found.attention_factor,
    }
    return Choice(name="longrope", **options)


def write_method_file(path: Path, choice: Choice, found: SearchTrajectory) -> None:
    """A run file with nothing but the method, to be completed by flags or another file's entries."""
    values = {"method": choice.model_dump()}
    said = f"# Found by the search '{found.search}' in {len(found.losses):,} evaluations, for one model and target.\n"
    write_text(
        path,
        said + "# Use it so: ropewalk extend MODEL --to TOKENS --recipe THIS-FILE -o DIR\n\n" + tomli_w.dumps(values),
    )
