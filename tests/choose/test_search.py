"""The searches: their candidates, their memory on disk, and that what they measure is the model's own loss."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import math
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from ropewalk import adapters
from ropewalk.adapters.swap import swapped_frequencies
from ropewalk.analysis.taper import tapered_frequencies
from ropewalk.choose.needles import Needles
from ropewalk.choose.search.evolution import HIGHEST, Evolution
from ropewalk.choose.search.objective import Objective
from ropewalk.choose.search.searching import first_stretches, known_points, search_evolution, search_taper
from ropewalk.choose.search.storage import finished, open_study
from ropewalk.errors import ModelError, OptionError, OutputError
from ropewalk.methods.longrope import LongRope
from ropewalk.rope import Rope

ROPE = Rope(64, 500.0, 256)


@pytest.fixture(scope="module")
def model():
    return adapters.load_model("builtin").eval()


@pytest.fixture(scope="module")
def needles():
    return Needles.draw(adapters.load_tokenizer("builtin"), 320, contexts=2, keys=4)


def logits(model, tokens):
    with torch.inference_mode():
        return model(torch.as_tensor(np.array(tokens))[None], use_cache=False).logits[0]


def test_swapped_frequencies_compute_what_an_extension_by_them_computes_and_leave_no_trace(model, needles):
    frequencies = tapered_frequencies(ROPE, cut=12, width=6, stretch=8.0)
    before = logits(model, needles.windows[0])
    with swapped_frequencies(model, frequencies, 1.1):
        swapped = logits(model, needles.windows[0])
    extended = copy.deepcopy(model)
    factors = tuple((ROPE.frequencies / frequencies).tolist())
    adapters.extend_model(extended, LongRope(factor=8, factors=factors, attention_factor=1.1), 2048)
    assert torch.allclose(swapped, logits(extended, needles.windows[0]), atol=2e-4)
    assert not torch.allclose(swapped, before, atol=1e-2), "the comparison can fail"
    assert torch.equal(logits(model, needles.windows[0]), before)


def test_a_swap_that_cannot_be_is_refused(model):
    with (
        pytest.raises(ModelError, match="a frequency is needed for each of the 32 pairs of the model; got 31"),
        swapped_frequencies(model, ROPE.frequencies[1:]),
    ):
        pass
    with pytest.raises(ModelError, match="this one has none"), swapped_frequencies(torch.nn.Linear(2, 2), np.ones(1)):
        pass


def test_the_needle_loss_is_the_mean_loss_on_the_tokens_that_answer(model, needles):
    found = needles.losses(model)
    for loss, tokens, answers in zip(found, needles.windows, needles.answers, strict=True):
        log_shares = torch.log_softmax(logits(model, tokens).double(), dim=-1)
        expected = -np.mean([log_shares[place - 1, tokens[place]].item() for place in answers])
        assert loss == pytest.approx(expected, abs=1e-5)
    assert max(map(len, needles.windows)) <= 320
    tokenizer = adapters.load_tokenizer("builtin")
    for tokens, answers in zip(needles.windows, needles.answers, strict=True):
        text, told = tokenizer.decode(tokens), tokenizer.decode(tokens[answers]).split()
        assert len(told) == 4
        assert all(re.fullmatch(r"\d{4}", value) and text.count(value) == 2 for value in told), "in a record and asked"
    again = Needles.draw(adapters.load_tokenizer("builtin"), 320, contexts=2, keys=4)
    assert all((a == b).all() for a, b in zip(again.windows, needles.windows, strict=True))


def test_an_objective_measures_a_vector_once(model, needles):
    objective = Objective(model, needles)
    first = objective(ROPE.frequencies)
    assert (objective(ROPE.frequencies), objective.evaluations) == (first, 1)
    objective(ROPE.frequencies, 1.1)
    assert objective.evaluations == 2


def test_the_papers_evolution_measures_1344_candidates_within_its_bounds():
    evolution = Evolution()
    target = np.sort(np.random.default_rng(5).uniform(1, 8, size=32))
    seen = evolution.search(
        first_stretches(ROPE, 8.0), 8.0, lambda stretches: [float(np.abs(one - target).mean()) for one in stretches]
    )
    assert len(seen) == evolution.evaluations == 1344
    for stretch, _ in seen:
        assert stretch.min() >= 1
        assert stretch.max() <= HIGHEST * 8
        assert (np.diff(stretch) >= 0).all()
    blind_to = lambda stretches: [0.0] * len(stretches)  # noqa: E731
    blind = [float(np.abs(s - target).mean()) for s, _ in evolution.search([target + 1], 8.0, blind_to)]
    last = [loss for _, loss in seen[-64:]]
    assert np.mean(last) < 0.4 * np.mean(blind[-64:]), "it is the selection that gets closer, and not the draws"


def test_a_search_that_goes_on_measures_nothing_twice_and_ends_the_same(tmp_path, model, needles):
    evolution = Evolution(population=4, parents=2, mutants=1, crossings=1, generations=2)
    whole = search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "whole", evolution)
    shorter = Evolution(population=4, parents=2, mutants=1, crossings=1, generations=1)
    search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "parts", shorter)
    objective = Objective(model, needles)
    parts = search_evolution(objective, ROPE, 2.0, tmp_path / "parts", evolution)
    assert parts == whole
    assert objective.evaluations <= 2, "a child may be one that was seen already"
    assert whole.best[-1] == min(whole.losses)


def test_a_taper_begins_with_known_methods_and_never_ends_behind_them(tmp_path, model, needles):
    heard = []
    objective = Objective(model, needles)
    found = search_taper(
        objective, ROPE, 2.0, tmp_path, evaluations=6, progress=lambda *arguments: heard.append(arguments)
    )
    assert heard == [("taper", number, 6) for number in range(1, 7)]
    for loss, point in zip(found.losses, known_points(ROPE, 2.0), strict=False):
        frequencies = tapered_frequencies(ROPE, cut=point["cut"], width=point["width"], stretch=2.0)
        assert loss == pytest.approx(Objective(model, needles)(frequencies, 1 + point["slope"] * math.log(2)))
    assert min(found.losses) <= min(found.losses[:3])
    assert found.found.keys() == {"cut", "width", "slope"}
    again = Objective(model, needles)
    assert search_taper(again, ROPE, 2.0, tmp_path, evaluations=6) == found
    assert again.evaluations == 0


def test_two_processes_share_one_study(tmp_path, model, needles):
    """The second opens what the first left open and adds to it, as after a death."""
    search_taper(Objective(model, needles), ROPE, 2.0, tmp_path, evaluations=1)
    opened = open_study(tmp_path, "taper", {"rope": dataclasses.asdict(ROPE), "factor": 2.0})
    opened.ask()  # by a process that dies at the second known point
    found = search_taper(Objective(model, needles), ROPE, 2.0, tmp_path, evaluations=3)
    assert len(found.losses) == 3
    measured = [trial.params for trial in finished(opened)]
    assert all(point in measured for point in known_points(ROPE, 2.0)), "it is not lost with it"


def test_an_evolution_that_two_processes_share_is_the_one_of_a_single_process(tmp_path, model, needles):
    evolution = Evolution(population=4, parents=2, mutants=2, crossings=2, generations=2)
    alone = search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "alone", evolution)
    objectives = [Objective(copy.deepcopy(model), needles) for _ in range(2)]
    turn = threading.Barrier(2)

    def work(objective):
        turn.wait()
        return search_evolution(objective, ROPE, 2.0, tmp_path / "shared", evolution)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, objectives))
    assert found == [alone, alone]


def test_a_longer_evolution_in_the_same_folder_is_the_one_of_an_empty_folder(tmp_path, model, needles):
    sizes = {"parents": 2, "mutants": 1, "crossings": 1, "generations": 1}
    search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "parts", Evolution(population=4, **sizes))
    longer = Evolution(population=6, **sizes)
    found = search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "parts", longer)
    assert found == search_evolution(Objective(model, needles), ROPE, 2.0, tmp_path / "whole", longer)
    assert len(found.losses) == longer.evaluations


@pytest.mark.parametrize("search", [search_taper, search_evolution])
def test_another_models_search_is_not_gone_on_with(tmp_path, model, needles, search):
    how = {"evaluations": 1} if search is search_taper else {"evolution": Evolution(population=1, generations=0)}
    search(Objective(model, needles, conditions={"weights": "a"}), ROPE, 2.0, tmp_path, **how)
    for weights, factor, differing in (("b", 2.0, "weights"), ("a", 4.0, "factor")):
        objective = Objective(model, needles, conditions={"weights": weights})
        with pytest.raises(OutputError, match=rf"differs from what is asked now in: {differing}\. Choose"):
            search(objective, ROPE, factor, tmp_path, **how)
        assert objective.evaluations == 0
    with pytest.raises(OptionError, match="a longer window than the trained one; got 1 times it"):
        search(Objective(model, needles), ROPE, 1.0, tmp_path / "same", **how)


def test_without_optuna_the_way_to_get_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"not installed here\. Install it with: pip install 'ropewalk\[search\]'"):
        open_study(tmp_path, "taper", {})
