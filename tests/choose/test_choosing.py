"""Searches as method files, and the method of `extend` where none is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from ropewalk.adapters.config import read_model_config
from ropewalk.choose import automatic
from ropewalk.choose.automatic import (
    PATIENCE_MINUTES,
    choose_method,
    choose_unnamed,
    earlier_choice,
    finalists,
    probe_seconds,
)
from ropewalk.choose.chosen import choosing_folder, keep_choice, with_method
from ropewalk.choose.search_comparison import compare_searches
from ropewalk.choose.searched import check_search, evolution_of
from ropewalk.choose.suitability import suitable_methods
from ropewalk.data.corpus import standard_library
from ropewalk.errors import MeasurementError, OptionError, UnknownNameError
from ropewalk.report.search import search_table, search_words
from ropewalk.result import MethodChoice, SearchComparison
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent
from ropewalk.run.flags import flags_as_run, run_from_flags
from ropewalk.run.plan import build_method
from ropewalk.run.runfile import override


class Heard(Silent):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    found = compare_searches(
        "builtin", 512, folder, searches=("taper", "evolution"), evaluations=4, contexts=2, reporter=Silent()
    )
    return folder, found


def test_searches_are_judged_on_fresh_needles_beside_what_needs_no_search(searched):
    folder, found = searched
    assert {point.name for point in found.fresh} == {"taper", "evolution", "as it is", "yarn, no search"}
    values = [point.needles.value for point in found.fresh]
    assert values == sorted(values)
    assert found.fresh[0].behind.value == 0.0
    assert [len(one.losses) for one in found.trajectories] == [4, 4]
    assert SearchComparison.model_validate_json((folder / "result.json").read_text()) == found
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    out = io.StringIO()
    Console(file=out, width=100).print(search_table(found), search_words(found))
    assert "taper" in out.getvalue()


@pytest.mark.parametrize("search", ["taper", "evolution"])
def test_a_method_file_extends_by_what_the_search_found(searched, search):
    folder, found = searched
    rope = read_model_config("builtin").rope
    run = run_from_flags(flags_as_run(model="builtin", target_length=512), str(folder / f"{search}.toml"))
    method = build_method(run.method, rope, 512)
    trajectory = next(one for one in found.trajectories if one.search == search)
    assert np.allclose(method.frequencies(rope), trajectory.frequencies, rtol=1e-12)
    scale = method.attention_scale(rope, np.array([0]), 0)
    assert scale[0] == pytest.approx(trajectory.attention_factor**2), "a factor on cos and sin is its square on logits"


@pytest.mark.parametrize("evaluations", [4, 5, 64, 95, 96, 97, 300])
def test_evolution_gets_exactly_the_evaluations_that_it_is_given(evaluations):
    assert evolution_of(evaluations).evaluations == evaluations


def test_a_search_that_cannot_be_is_refused():
    with pytest.raises(UnknownNameError, match="no search is called 'tapir'; did you mean 'taper'"):
        check_search("tapir", 300)
    with pytest.raises(OptionError, match="at least 4 evaluations; got 3"):
        check_search("taper", 3)


def test_without_a_name_the_config_decides_where_measuring_would_take_long_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(automatic, "PATIENCE_MINUTES", 0.0)
    heard = Heard()
    flags = flags_as_run(model="builtin", target_length=512)
    found = with_method(flags, None, tmp_path / "out", (), heard, search="taper", evaluations=300)
    assert found["method"] == {"name": "yarn"}
    assert heard.stages == [
        "no method named: yarn, by the config alone (resembling tokens are preferred up to 241 tokens); "
        "to measure would take about 0 minutes here"
    ]
    assert list(tmp_path.iterdir()) == []


def test_without_a_name_the_measurement_decides_where_it_takes_minutes(tmp_path):
    run, heard = run_from_flags(flags_as_run(model="builtin", target_length=512)), Heard()
    name = choose_unnamed(run, tmp_path / "choosing", (), heard, contexts=2)
    assert [words.split(":")[0] for words in heard.stages] == ["plan", "probe"]
    kept = MethodChoice.model_validate_json((tmp_path / "choosing" / "choice.json").read_text())
    assert kept.method == name
    close = {row.method for row in kept.probe.methods if row.behind.low <= 0}
    order = [one.method for one in suitable_methods(read_model_config("builtin").rope, 512)]
    assert name == min(close, key=order.index)


def test_what_cannot_be_measured_is_chosen_by_the_config_and_one_of_several_processes_measures_nothing(
    tmp_path, monkeypatch
):
    run, heard = run_from_flags(flags_as_run(model="builtin", target_length=260)), Heard()
    monkeypatch.setattr(automatic, "probe", failing)
    assert choose_unnamed(run, tmp_path / "choosing", (), heard) == "yarn"
    assert heard.stages[-1].endswith("nothing can be measured: too short for the needles")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose_unnamed(run, tmp_path / "choosing", (), heard) == "yarn"
    assert heard.stages[-1].endswith("several processes would choose apart")


def failing(*_, **__):
    raise OptionError("too short for the needles")


def test_measuring_is_for_models_that_take_minutes(tmp_path):
    small = read_model_config("builtin")
    assert probe_seconds(small, 2048, torch.device("cpu")) < 60 * PATIENCE_MINUTES
    config = {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14_336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
        "rope_theta": 5e5,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    large = read_model_config(tmp_path)
    assert probe_seconds(large, 32_768, torch.device("cpu")) > 3600
    assert probe_seconds(large, 32_768, torch.device("cuda")) < probe_seconds(large, 32_768, torch.device("cpu")) / 1e3


def test_a_run_that_cannot_be_is_refused_before_anything_is_measured(tmp_path):
    def check(run):
        raise OptionError("in the way")

    flags = flags_as_run(model="builtin", target_length=512, method="auto")
    with pytest.raises(OptionError, match="in the way"):
        with_method(flags, None, tmp_path / "out", (), Heard(), search="taper", evaluations=300, check=check)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "recipe"),
    [(flags_as_run(model="builtin", method="linear"), None), (flags_as_run(model="builtin"), "cream")],
)
def test_what_is_named_is_taken_as_it_is(tmp_path, flags, recipe):
    heard = Heard()
    assert with_method(flags, recipe, tmp_path / "out", (), heard, search="taper", evaluations=300) == flags
    assert heard.stages == []


def test_auto_probes_compares_and_keeps_what_it_rests_on(tmp_path):
    modules = standard_library(held_out=True).documents
    for number, name in enumerate(sorted(modules)[:4]):
        (tmp_path / f"{number}.txt").write_text(modules[name][:2400])
    files = [str(tmp_path / f"{number}.txt") for number in range(4)]
    text = Path(__file__).parents[1] / "reproduce" / "small.txt"  # the built-in modules take seconds to read
    flags = flags_as_run(model="builtin", target_length=512, steps=1, data=[text], entries={"train.batch": 1})
    run, output, heard = run_from_flags(flags), tmp_path / "out", Heard()
    chosen = choose_method(run, choosing_folder(output), files, heard, contexts=2)
    assert [words.split(":")[0] for words in chosen.because] == ["plan", "probe", "comparison"]
    assert chosen.because == tuple(stage for stage in heard.stages if stage in chosen.because)
    assert {one.method_name for one in chosen.ranking.candidates} == set(finalists(chosen.probe))
    assert chosen.method == chosen.ranking.find(chosen.ranking.best).method_name
    trained = [stage for stage in heard.stages if "-> 512 tokens by" in stage]
    assert len(trained) == len(finalists(chosen.probe)), "each once, though both sides are read"
    again = Heard()
    assert choose_method(run, choosing_folder(output), files, again, contexts=2) == chosen
    assert again.stages == [f"method {chosen.method}, as chosen before"]
    choice = choosing_folder(output) / "choice.json"
    assert earlier_choice(choice, run, files) == chosen
    for other in ({"train": {"learning_rate": 1e-5}}, {"data": {"recall_share": 0.25}}, {"target_length": 1024}):
        assert earlier_choice(choice, run_from_flags(override(flags, other)), files) is None
    assert earlier_choice(choice, run, files[:3]) is None
    (output / "ropewalk").mkdir(parents=True)
    keep_choice(output)
    assert MethodChoice.model_validate_json((output / "ropewalk" / "choice.json").read_text()) == chosen
    assert not choosing_folder(output).exists()
    resumed = with_method(
        flags | {"method": {"name": "auto"}}, None, output, files, again, search="taper", evaluations=300
    )
    assert resumed["method"] == {"name": chosen.method}


def test_what_was_searched_for_another_target_or_by_another_search_is_not_taken(tmp_path):
    output = tmp_path / "out"

    def method(length, **asked):
        flags = flags_as_run(model="builtin", target_length=length, method="searched")
        found = with_method(flags, None, output, (), Silent(), **{"search": "taper", "evaluations": 4} | asked)
        (output / "ropewalk").mkdir(parents=True, exist_ok=True)
        keep_choice(output)
        return found["method"]

    first = method(512)
    assert (first["factor"], method(512)) == (2.0, first)
    assert method(1024)["factor"] == 4.0
    assert method(1024, search="evolution")["factors"] != method(1024)["factors"]


def test_a_device_that_is_too_small_to_measure_leaves_the_choice_to_the_config(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError

    run, heard = run_from_flags(flags_as_run(model="builtin", target_length=512)), Heard()
    monkeypatch.setattr("ropewalk.choose.needles.token_nll", full)
    assert (
        choose_unnamed(run, tmp_path, (), heard) == suitable_methods(read_model_config("builtin").rope, 512)[0].method
    )
    assert "nothing can be measured: the device must hold one batch of 'needles'" in heard.stages[-1]
    monkeypatch.setattr("ropewalk.adapters.load_model", full)
    with pytest.raises(MeasurementError, match=r"cpu ran out of memory while 'builtin' was loaded in float32\. Use a"):
        load_checkpoint("builtin")


def test_several_processes_do_not_choose_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = run_from_flags(flags_as_run(model="builtin", target_length=512, steps=1))
    with pytest.raises(OptionError, match="a method is chosen by one process"):
        choose_method(run, tmp_path, (), Silent())
