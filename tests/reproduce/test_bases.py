"""A base that a study makes itself is made once, before the cells that start from it, and is a model like any other."""

from __future__ import annotations

import dataclasses
import json
import textwrap

import pytest
from studies import RECALL, TEXT, small_cell, small_study, untouched_cell
from test_study import Heard

from ropewalk import adapters
from ropewalk.adapters import Shape
from ropewalk.cells.cell import Cell
from ropewalk.cells.measuring import settled_precision
from ropewalk.cells.runs import recipe
from ropewalk.errors import OutputError
from ropewalk.reproduce.bases import PretrainedBase
from ropewalk.reproduce.study import run_study
from ropewalk.run.extension import Silent

ONE_MODULE = {"files": [textwrap.__file__]}  # the whole corpus would take seconds to read


def small_base(**train) -> PretrainedBase:
    settings = {"steps": 2, "batch": 2, "micro_batch": 2, "warmup_steps": 0, **train}
    run = recipe("reproduce-pi-base", train=settings, data=ONE_MODULE)
    return PretrainedBase("tiny", "a tiny model", run, Shape(layers=1, width=64))


def based_study(base: PretrainedBase):
    as_it_is = Cell("untouched-tiny", "tiny: untouched", None, (TEXT, RECALL), base=base)
    trained = dataclasses.replace(small_cell(data=ONE_MODULE), name="linear-tiny", about="tiny: linear", base=base)
    return small_study(untouched_cell(), as_it_is, trained, claims=(), panels=small_study().panels[:1])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases") / "pi"
    return folder, run_study(based_study(small_base()), folder, Silent())


def test_it_is_a_model_at_the_old_window_that_nothing_was_done_to(done):
    folder, _ = done
    place = folder / "bases" / "tiny"
    assert {path.name for path in place.iterdir()} == {"conditions.json", "cell.json", "model"}
    config = adapters.read_model_config(place / "model")
    config.require_unscaled()
    assert config.rope == adapters.read_model_config("builtin").rope


def test_the_record_says_how_it_was_made_and_stands_before_its_cells(done):
    folder, result = done
    untouched, base, as_it_is, trained = result.cells
    assert (untouched.name, base.name, base.steps, base.tokens) == ("untouched", "base-tiny", 2, 2 * 2 * 256)
    assert (base.method, as_it_is.method, trained.method) == ("untouched", "untouched", "linear, factor 2")
    assert (base.run["model"], trained.run["model"]) == ("random weights", "tiny")
    assert str(folder.parent) not in (folder / "result.json").read_text()


def test_its_cells_start_from_its_weights_and_are_compared_with_it(done):
    folder, result = done
    conditions = {
        name: json.loads((folder / "cells" / name / "conditions.json").read_text())["model"]["weights"]
        for name in ("untouched", "untouched-tiny", "linear-tiny-seed-0")
    }
    assert conditions["untouched-tiny"] == conditions["linear-tiny-seed-0"] != conditions["untouched"]
    own = result.find("untouched-tiny", "text", "paired_nll", 256).estimate.value
    loss, against = (
        result.find("linear-tiny", "text", measure, 256).estimate.value
        for measure in ("paired_nll", "paired_nll_against_cut")
    )
    assert against == pytest.approx(loss - own)


def test_it_is_made_once(done):
    folder, result = done
    heard = Heard()
    assert run_study(based_study(small_base()), folder, heard) == result
    assert heard.steps == 0


def test_another_recipe_under_the_same_name_is_refused(done):
    folder, _ = done
    with pytest.raises(OutputError, match=r"bases/tiny' differs from what is asked now in: run\.train\.steps\. Remove"):
        run_study(based_study(small_base(steps=3)), folder, Silent())


def test_a_model_that_was_lost_is_made_again_with_the_same_weights(tmp_path):
    base = small_base(precision="float32")
    model, _ = base.make(tmp_path, "float32", Silent())
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").rename(tmp_path / "elsewhere")
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    heard = Heard()
    again, _ = base.make(tmp_path, "float32", heard)
    assert (again / "model.safetensors").read_bytes() == weights
    assert heard.steps == 2


def test_its_number_format_is_that_of_the_whole_study(tmp_path):
    place = tmp_path / "bases" / "tiny"
    place.mkdir(parents=True)
    (place / "conditions.json").write_text(json.dumps({"run": {"train": {"precision": "bfloat16"}}}))
    assert settled_precision(tmp_path) == "bfloat16"
