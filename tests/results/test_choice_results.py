"""What docs/choosing.md claims of `auto` and of the searches, read off the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ropewalk.result import SearchComparison

RESULTS = Path(__file__).resolve().parents[2] / "results"
CHOICE = json.loads((RESULTS / "choice" / "result.json").read_text("utf-8"))["models"]
STEP = 2  # of the certificate's grid: every length doubles the one before


def certified(one) -> int:
    return one.get("certified") or 0


@pytest.fixture(scope="module")
def search():
    return SearchComparison.model_validate_json((RESULTS / "search" / "result.json").read_text("utf-8"))


def test_three_shapes_of_models_were_measured():
    shapes = {(one["head_dim"], one["base"]) for one in CHOICE.values()}
    assert shapes == {(64, 500.0), (32, 2000.0), (16, 500.0)}
    assert len({frozenset(one["exhaustive"]) for one in CHOICE.values()}) == 1


@pytest.mark.parametrize("name", CHOICE)
def test_auto_reaches_the_best_certified_length_within_a_step_of_the_grid(name):
    best = max(certified(one) for one in CHOICE[name]["exhaustive"].values())
    assert best >= CHOICE[name]["trained_length"]
    assert certified(CHOICE[name]["automatic"]) * STEP >= best


@pytest.mark.parametrize("name", CHOICE)
@pytest.mark.parametrize("cost", ["tokens", "seconds"])
def test_auto_costs_less_than_a_fifth_of_all_methods(name, cost):
    every = sum(one[cost] for one in CHOICE[name]["exhaustive"].values())
    assert CHOICE[name]["automatic"][cost] < every / 5


@pytest.mark.parametrize("name", CHOICE)
def test_what_auto_chose_is_among_the_methods_and_was_trained_as_they_were(name):
    chosen = CHOICE[name]["automatic"]["chosen"]
    assert CHOICE[name]["exhaustive"][chosen]["method"] == CHOICE[name]["automatic"]["method"]


def test_both_searches_had_as_many_evaluations(search):
    assert search.evaluations >= 300
    assert {one.search: len(one.losses) for one in search.trajectories} == dict.fromkeys(
        ("taper", "evolution"), search.evaluations
    )


def test_the_search_for_a_taper_is_not_behind_the_evolution_of_all_pairs(search):
    fresh = {point.name: point for point in search.fresh}
    assert fresh["taper"].needles.value <= fresh["evolution"].needles.value or fresh["taper"].behind.low <= 0
