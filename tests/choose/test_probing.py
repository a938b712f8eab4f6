"""A probe of the built-in model at a small size: paired readings, and what they say."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from ropewalk import adapters, methods
from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.swap import swapped_method
from ropewalk.choose.automatic import finalists
from ropewalk.choose.planning import plan_extension
from ropewalk.choose.probing import ProbePlan, probe
from ropewalk.report.plan import measured_words
from ropewalk.report.probe import findings, probed_methods, probed_points
from ropewalk.result import Probe
from ropewalk.run.checkpoint import load_checkpoint

PLAN = ProbePlan(contexts=2, cuts=3, slopes=(0.0, 0.1))


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("builtin")


@pytest.fixture(scope="module")
def probed(checkpoint):
    heard = []
    found = probe(
        checkpoint,
        read_model_config("builtin"),
        512,
        documents={"a": "import os\n" * 400, "b": "value = 1\n" * 400},
        plan=PLAN,
        progress=lambda *arguments: heard.append(arguments),
    )
    return found, heard


def test_everything_is_read_once_and_said(probed):
    found, heard = probed
    assert [done for _, done, _ in heard] == list(range(1, heard[-1][2] + 1))
    assert heard[-1][2] == 1 + len(found.methods) + len(found.cuts) + len(found.slopes)
    assert Probe.model_validate_json(found.model_dump_json()) == found


def test_methods_are_ranked_by_their_loss_and_compared_on_the_same_contexts(probed):
    found, _ = probed
    values = [row.needles.value for row in found.methods]
    assert values == sorted(values)
    assert found.methods[0].behind.value == 0
    for row in found.methods[1:]:
        assert row.behind.value == pytest.approx(row.needles.value - values[0])
        assert [point.length for point in row.text] == [256, 512]


def test_the_cut_behind_all_pairs_is_the_model_as_it_is_and_the_one_before_them_interpolation(probed):
    found, _ = probed
    by_place = {point.place: point.needles.value for point in found.cuts}
    assert by_place[32] == pytest.approx(found.untouched.value, abs=1e-6)
    linear = next(row for row in found.methods if row.method == "linear")
    assert by_place[0] == pytest.approx(linear.needles.value, abs=1e-6)
    assert found.critical_low <= found.critical_pair <= found.critical_high
    assert found.theoretical_pair == 20


@pytest.mark.parametrize("name", ["yarn", "entropy-abf"])
def test_a_swapped_method_computes_what_an_extension_computes(checkpoint, name):
    config = read_model_config("builtin")
    method = methods.get(name).for_target(config.rope, 512)
    tokens = torch.as_tensor(np.random.default_rng(0).integers(10, 4000, size=(1, 400)))
    with torch.inference_mode():
        before = checkpoint.model(tokens, use_cache=False).logits
        with swapped_method(checkpoint.model, method, config, 512):
            swapped = checkpoint.model(tokens, use_cache=False).logits
        after = checkpoint.model(tokens, use_cache=False).logits
        extended = adapters.load_model("builtin").eval()
        adapters.extend_model(extended, method, 512)
        wanted = extended(tokens, use_cache=False).logits
    assert torch.allclose(swapped, wanted, atol=3e-4)
    assert not torch.allclose(swapped, before, atol=1e-2)
    assert torch.equal(after, before), "no trace is left"


def test_the_tables_fit_a_hundred_columns_and_the_findings_name_the_best(probed):
    found, _ = probed
    stream = io.StringIO()
    console = Console(file=stream, width=100, highlight=False)
    console.print(probed_methods(found), probed_points("Cuts", "pair", found.cuts))
    assert found.methods[0].method in stream.getvalue()
    assert f"Best untrained: {found.methods[0].method}" in findings(found)
    assert f"in theory {found.theoretical_pair}" in findings(found)


def test_a_plan_says_how_its_recommendation_stands_in_the_probe(probed):
    found, _ = probed
    plan = plan_extension("builtin", 512)
    method = next(recipe.method for recipe in plan.recipes if recipe.recipe == plan.recommended)
    own, first = (next(row for row in found.methods if (row.method == method) is same) for same in (True, False))
    for low, said in (
        (-0.1, "not shown to be behind the best untrained in the probe, "),
        (0.2, "0.300 [0.200, 0.400]"),
    ):
        worse = own.model_copy(update={"behind": own.behind.model_copy(update={"value": 0.3, "low": low, "high": 0.4})})
        words = measured_words(plan, found.model_copy(update={"methods": (first, worse)}), finalists(found))
        assert said in words
        assert first.method in words
    alone = found.model_copy(update={"methods": (own, first)})
    assert "is the best untrained" in measured_words(plan, alone, finalists(found))
    command = words[words.index("ropewalk compare") :].split()
    asked = command[command.index("--methods") + 1].split(",")
    assert len(asked) == len(set(asked))
    assert {*finalists(found), method} == set(asked)
    unprobed = found.model_copy(update={"methods": (first,)})
    assert "was not probed" in measured_words(plan, unprobed, finalists(found))
