"""CREAM's study: never a window above the trained one, in the runs and in what training really feeds the model."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import LlamaModel

from ropewalk import adapters
from ropewalk.cells.readings import Reading, cell_reading, depths_of
from ropewalk.data import retrieval
from ropewalk.data.corpus import standard_library
from ropewalk.errors import OptionError
from ropewalk.evals.tasks import encoder, passkey_samples
from ropewalk.reproduce.cream.cells import full_window, trained
from ropewalk.reproduce.cream.exams import FORMATS_EXAM, NEEDLE, NEEDLE_EXAM, PASSKEY
from ropewalk.reproduce.cream.far import CELLS, far_cell
from ropewalk.reproduce.papers import study
from ropewalk.result import SampleResult
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows

TRAINED = 256


def resolved(cell):
    return resolve(cell.in_precision("float32").run)


def every_trained_cell():
    made = study("cream")
    cells = [*(cell for search in made.searches for cell in search.cells), *made.cells]
    return [cell for cell in cells if cell.run is not None and cell.run.train.steps]


def on_short_text(run, folder):
    """The run on one module, which is read in no time."""
    path = folder / "text.txt"
    path.write_text(standard_library(held_out=False).documents["argparse.py"])
    return run.model_copy(update={"data": run.data.model_copy(update={"files": (str(path),)})})


def fed(cell, folder, monkeypatch, *, steps=2):
    """Length of the longest row, and the largest position, that the model's forward gets in a few steps."""
    rows, positions = [], []
    forward = LlamaModel.forward

    def recorded(self, *arguments, **inputs):
        if self.training:
            rows.append(inputs["position_ids"].shape[1])
            positions.append(int(inputs["position_ids"].max()))
        return forward(self, *arguments, **inputs)

    train = cell.run.train.model_copy(
        update={"steps": steps, "batch": 2, "micro_batch": 1, "precision": "float32", "warmup_steps": 0}
    )
    with monkeypatch.context() as patch:
        patch.setattr(LlamaModel, "forward", recorded)
        run = on_short_text(cell.run, folder).model_copy(update={"train": train})
        run_extension(run, folder / cell.label, reporter=Silent())
    assert len(rows) >= 2 * steps, "every forward of the training is seen"
    return max(rows), max(positions)


def test_no_run_of_the_study_has_a_window_above_the_trained_one_unless_it_says_so(tmp_path):
    tokenizer = adapters.load_tokenizer("builtin")
    first = resolve(on_short_text(trained("yarn", "cream").in_precision("float32").run, tmp_path))
    windows, _ = training_windows(first, tokenizer)
    for cell in every_trained_cell():
        plan = resolved(cell)
        if "full-window" in cell.name:
            assert plan.window > TRAINED
            assert "windows of 2,048 tokens" in cell.about
            continue
        assert plan.window == TRAINED, cell.label
        windows.sampler, windows.target_length = plan.sampler, plan.target_length
        for number in range(4):
            assert windows[number]["input_ids"].shape == (TRAINED,), cell.label
        reach = max(int(windows[number]["position_ids"].max()) for number in range(4))
        assert reach < plan.target_length
        assert reach == plan.target_length - 1 or plan.sampler.name != "cream", "positions alone reach the target"


@pytest.mark.parametrize(
    ("sampler", "reach"), [("cream", (2047, 2047)), ("pose", (256, 2047)), ("contiguous", (255, 255))]
)
def test_what_training_feeds_the_model_is_one_old_window_with_positions_towards_the_target(
    sampler, reach, tmp_path, monkeypatch
):
    longest, furthest = fed(trained("yarn", sampler), tmp_path, monkeypatch)
    assert longest == TRAINED
    assert reach[0] <= furthest <= reach[1]


def test_a_cell_that_is_fed_whole_windows_is_caught(tmp_path, monkeypatch):
    assert fed(full_window("yarn"), tmp_path, monkeypatch, steps=1) == (2048, 2047)


@pytest.mark.parametrize("factor", CELLS)
def test_far_targets_are_reached_with_a_head_that_leaves_a_middle_and_a_sigma_of_the_factor(factor):
    plan = resolved(far_cell("yarn", "cream", factor))
    assert (plan.target_length, plan.window) == (factor * TRAINED, TRAINED)
    assert plan.sampler.continuity_head(TRAINED, factor) == 32
    lengths = [plan.sampler.half_windows((i + 0.5) / 200, factor) for i in range(200)]
    mean = sum(lengths) / 200
    spread = (sum((k - mean) ** 2 for k in lengths) / 200) ** 0.5
    assert mean == pytest.approx(factor + 1, abs=0.5)
    assert spread == pytest.approx(2.83 * (factor - 1) / 7, rel=0.05)


def test_ablations_over_both_frequencies_differ_from_cream_in_the_sampler_alone():
    cells = {cell.name: cell for cell in every_trained_cell() if cell.seed == 0}
    found = set()
    for name, cell in cells.items():
        frequencies, _, rest = name.partition("-cream-")
        if rest and frequencies in ("linear", "yarn") and not rest.endswith("x"):
            cream = cells[f"{frequencies}-cream"]
            assert cell.run.model_copy(update={"positions": cream.run.positions}) == cream.run
            assert cell.run.positions != cream.run.positions
            found.add((frequencies, *cell.run.positions.options))
    assert {("yarn", "continuity"), ("yarn", "sigma"), ("linear", "sigma"), ("linear", "released_code")} == found


def test_runs_that_name_no_mix_of_modes_resolve_to_a_text_without_one():
    assert "continuity" not in resolved(trained("yarn", "cream")).run.to_toml()


def test_every_field_of_the_needle_grid_has_the_two_contexts_that_an_interval_needs(untouched):
    asked = passkey_samples(encoder(untouched.tokenizer), NEEDLE_EXAM.plan)
    samples = [
        SampleResult(
            measure=PASSKEY, sample=s.sample, cluster=s.sample, length=s.length, depth=s.depths[0], status="ok", value=v
        )
        for number, s in enumerate(asked)
        for v in (float(number % 2),)
    ]
    found = {"yarn-cream": {0: {NEEDLE: samples}}}
    for length in NEEDLE_EXAM.lengths:
        whole = Reading("yarn-cream", NEEDLE, PASSKEY, length)
        assert len(depths_of(whole, found)) == 10
        for depth in depths_of(whole, found):
            field = Reading("yarn-cream", NEEDLE, PASSKEY, length, (depth, depth))
            assert cell_reading(field, found, depth=depth).estimate.value == 0.5


@pytest.fixture(scope="module")
def untouched():
    return load_checkpoint("builtin")


def test_the_papers_formats_are_asked_inside_the_old_window_and_kept_with_their_contexts(untouched, tmp_path):
    exam = dataclasses.replace(FORMATS_EXAM, contexts=1)
    heard = []
    exam.measure(untouched, tmp_path, lambda *what: heard.append(what))
    data, samples = exam.read(tmp_path)
    assert data == "none"
    assert exam.is_measured(tmp_path)
    assert [(s.measure, s.cluster) for s in samples] == [
        *[("lines", "256/0")] * 2,
        *[("json_kv", "256/0")] * 2,
        ("niah_single_1", "256/0"),
    ]
    assert {s.length for s in samples} == set(exam.lengths) == {256}
    assert heard == [("formats", number, 3) for number in (1, 2, 3)]
    assert exam.conditions()["formats"][1] == {"task": "json-kv", "options": {"digits": 8}}
    assert exam.tokens == 3 * 256


def test_prompts_of_every_format_fit_the_old_window_and_whole_uuids_do_not(untouched):
    encode = encoder(untouched.tokenizer)
    for entry in FORMATS_EXAM.formats:
        assert all(sample.context.length <= TRAINED for sample in entry.samples(encode, TRAINED, 4, 0))
    whole = dataclasses.replace(FORMATS_EXAM.formats[1], options=())
    assert retrieval.get(whole.task)(**dict(whole.options)).digits is None
    with pytest.raises(OptionError, match=r"the 2 facts that fit leave some empty|at least 2 facts needs at least"):
        whole.samples(encode, TRAINED, 1, 0)
