"""Entropy-ABF's study beyond its quick set: what its cells are trained on, and what its claims rest on."""

from __future__ import annotations

import dataclasses
import json

import pytest
from safetensors.torch import load_file

from ropewalk import adapters
from ropewalk.cells.measuring import _with_samples
from ropewalk.errors import OutputError
from ropewalk.reproduce.attention_exams import LATER_LAYERS
from ropewalk.reproduce.claims import judge
from ropewalk.reproduce.entropy_abf.attention_claims import diagnosis, layer_needs, layer_needs_none
from ropewalk.reproduce.entropy_abf.cells import all_cells, conversations, short, short_then_long
from ropewalk.reproduce.long_conversations import EXCHANGE_TOKENS, LongConversationSet
from ropewalk.reproduce.samples import SampleSet
from ropewalk.result import SampleResult
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows


class Counts(Silent):
    """Counts the training steps."""

    steps = 0

    def step(self, *_: object, **__: object) -> None:
        self.steps += 1


def test_new_cells_stand_behind_those_that_were_there():
    labels = [cell.label for cell in all_cells()]
    old = labels.index("control-seed-2")
    assert labels[: old + 1][0] == "untouched"
    assert all("conversations" in x or "short" in x or x.endswith("-samples-seed-0") for x in labels[old + 1 :])


def test_of_conversations_only_answers_are_learned_and_each_has_a_window(tmp_path):
    cell = dataclasses.replace(conversations("entropy-abf", 0), samples=LongConversationSet(6, 1024, seed=0))
    run = _with_samples(cell.in_precision("float32"), tmp_path)
    windows, report = training_windows(resolve(run), adapters.load_tokenizer("builtin"))
    (source,) = report.sources
    assert (windows.window, source.report.template, source.report.used) == (1024, "plain", 6)
    assert source.report.tokens > 0.98 * 6 * 1024
    learned = [int((windows[number]["labels"] != -100).sum()) for number in range(6)]
    assert sum(learned) == source.report.supervised
    answers = 1024 // EXCHANGE_TOKENS
    assert all(5 * answers <= count <= 10 * answers for count in learned), "word, =, four digits, end"


def test_short_samples_and_the_curriculum_read_as_much_as_the_long_ones():
    cells = {cell.name: cell for cell in all_cells()}
    long = resolve(cells["entropy-abf"].in_precision("float32").run)
    alone = resolve(short().in_precision("float32").run)
    assert alone.window == 256
    assert alone.run.train.steps * alone.run.train.batch * 256 == long.run.train.steps * long.run.train.batch * 1024
    assert short_then_long().base.run.train.steps == short_then_long().run.train.steps == long.run.train.steps // 2


def small_base():
    base = short_then_long().base
    train = base.run.train.model_copy(update={"steps": 1, "batch": 2, "micro_batch": 2, "save_every": 1})
    run = base.run.model_copy(update={"train": train})
    return dataclasses.replace(base, run=run, samples=SampleSet(4, 256, seed=0))


def test_a_base_is_tuned_once_and_can_be_extended_like_the_model_that_it_was(tmp_path):
    builtin, counts = adapters.resolve_source("builtin"), Counts()
    place, record = small_base().make(tmp_path, "float32", counts)
    assert (counts.steps, record.steps, record.tokens) == (1, 1, 512)
    config, wanted = (json.loads((folder / "config.json").read_text()) for folder in (place, builtin))
    assert config == wanted | {"dtype": "float32"}, "as the built-in model, in the number format it was trained in"
    before, after = (load_file(folder / "model.safetensors") for folder in (builtin, place))
    assert before.keys() == after.keys()
    assert any((before[name].float() != after[name].float()).any() for name in before)
    assert small_base().make(tmp_path, "float32", counts) == (place, record)
    assert counts.steps == 1
    assert str(tmp_path) not in record.model_dump_json()
    assert {path.name for path in place.parent.iterdir()} == {"model", "cell.json", "conditions.json"}
    run = short_then_long().on(str(place)).in_precision("float32").run
    assert resolve(run).config.rope == adapters.read_model_config("builtin").rope
    other = dataclasses.replace(small_base(), samples=SampleSet(5, 256, seed=0))
    with pytest.raises(OutputError, match=r"short-first' differs from what is asked now in: training_text"):
        other.make(tmp_path, "float32", counts)


def entropies(cell: str, by_length: dict[int, float]) -> dict:
    rows = [
        SampleResult(measure=LATER_LAYERS, sample=f"{d}/{n}", cluster=str(d), length=n, value=value + 0.01 * d)
        for n, value in by_length.items()
        for d in range(4)
    ]
    seeds = (None,) if cell == "untouched" else range(3)
    return {cell: {seed: {"entropy": rows} for seed in seeds}}


def test_the_diagnosis_is_a_rise_that_is_steeper_beyond_the_window_than_inside():
    steady, beyond = diagnosis()
    even = entropies("abf", {64: 1.0, 256: 1.0 + 2 * 0.3, 2048: 1.0 + 5 * 0.3})  # the same rise for each doubling
    assert judge(beyond, even).effect.value == pytest.approx(0.0)
    steep = entropies("abf", {64: 1.0, 256: 1.6, 2048: 1.6 + 3 * 0.3 + 0.5})
    assert judge(beyond, steep).effect.value == pytest.approx(0.5)
    assert judge(beyond, steep).state == "holds"
    assert judge(steady, entropies("untouched", {64: 2.0, 256: 2.3})).state == "holds"
    assert judge(steady, entropies("untouched", {64: 2.0, 256: 3.2})).state == "does not hold"


@pytest.mark.parametrize(
    ("change", "needs", "needs_none"), [(-0.02, "holds", "does not hold"), (0.0, "does not hold", "holds")]
)
def test_a_layer_whose_loss_falls_needs_the_scale_and_one_whose_loss_stays_needs_none(change, needs, needs_none):
    for claim, state in ((layer_needs(2), needs), (layer_needs_none(1), needs_none)):
        ((_, reading),) = claim.terms
        rows = [
            SampleResult(measure=reading.measure, sample=str(d), cluster=str(d), length=2048, value=change + 1e-4 * d)
            for d in range(8)
        ]
        assert judge(claim, {"abf": {seed: {"slopes": rows} for seed in range(3)}}).state == state
