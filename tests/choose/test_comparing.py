"""A small comparison on the built-in model: losers stop early, cells are kept, and everything is paired."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ropewalk.cells.readings import Reading
from ropewalk.choose.comparison import comparing
from ropewalk.choose.comparison.budget import Budget, rungs_of
from ropewalk.choose.comparison.comparing import compare
from ropewalk.choose.comparison.order import CompareOrder, frame_of
from ropewalk.choose.comparison.scores import dropped, estimated
from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError, MeasurementError, OptionError, UnknownNameError
from ropewalk.report.ranking import ranking_table, ranking_words
from ropewalk.result import Ranking, SampleResult
from ropewalk.run.extension import Silent
from ropewalk.run.report import read_records

YARN, LINEAR = "yarn, contiguous", "linear, contiguous"


class Heard(Silent):
    """Counts training steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def step(self, *_: object, **__: object) -> None:
        self.steps += 1


TRAINING_TEXT = Path(__file__).parents[1] / "reproduce" / "small.txt"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    modules = standard_library(held_out=True).documents
    for number, name in enumerate(sorted(modules)[:6]):
        (folder / f"{number}.txt").write_text(modules[name][:2400])
    return folder


@pytest.fixture(scope="module")
def order(texts):
    return CompareOrder(
        model="builtin",
        target_length=512,
        methods=("linear", "yarn"),
        budget=Budget(2, "steps"),
        seeds=1,
        rates=(1e-3,),
        batch=1,
        data=(str(TRAINING_TEXT),),  # the built-in modules take seconds to read
        held_out=(str(texts),),
        entries={"train": {"precision": "float32"}},
        contexts=4,
        keys=4,
        windows_per_document=1,
    )


@pytest.fixture(scope="module")
def done(order, tmp_path_factory):
    folder, heard = tmp_path_factory.mktemp("comparison"), Heard()
    return folder, compare(order, folder, heard), heard


def test_the_loser_stops_at_the_first_rung_and_its_row_says_so(done):
    _, ranking, _ = done
    assert (ranking.best, ranking.rung_steps) == (YARN, (1, 2))
    loser = ranking.find(LINEAR)
    assert (loser.stopped_at, loser.test, len(loser.rungs)) == (1, None, 1)
    assert loser.rungs[0].behind.low > 0
    winner = ranking.find(YARN)
    assert (winner.stood, winner.behind.value, [rung.steps for rung in winner.rungs]) == (True, 0.0, [1, 2])
    assert winner.test.value == pytest.approx(winner.text.value + winner.needles.value)


def test_costs_count_every_training_once_and_controls_get_the_same_tokens(done):
    _, ranking, _ = done
    assert (ranking.find(YARN).tokens, ranking.find(LINEAR).tokens) == (3 * 512, 512)
    untouched, control = ranking.controls
    assert (untouched.tokens, untouched.inside.value) == (0, 0.0)
    assert control.tokens == 2 * 512
    assert control.inside is not None


def test_a_comparison_that_is_done_trains_nothing_and_says_the_same(done, order):
    folder, ranking, heard = done
    again = Heard()
    assert compare(order, folder, again) == ranking
    assert heard.steps > 0
    assert again.steps == 0


def test_it_leaves_a_record_a_figure_and_a_page(done):
    folder, ranking, _ = done
    assert Ranking.model_validate_json((folder / "result.json").read_text()) == ranking
    assert read_records(folder) == [ranking]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert "Ranking under one budget" in page
    assert "stopped after 1 steps" in page


def test_people_see_the_ranking_at_a_hundred_columns(done):
    _, ranking, _ = done
    out = io.StringIO()
    Console(file=out, width=100, markup=False).print(ranking_table(ranking), ranking_words(ranking))
    assert f"> {YARN}" in out.getvalue()
    assert "stopped at 1" in out.getvalue()
    assert "decided on the validation side" in out.getvalue()
    assert all(line.count("[") == line.count("]") for line in out.getvalue().splitlines())  # no interval is broken


def test_a_crashed_candidate_is_reported_and_the_others_go_on(done, order, monkeypatch):
    folder, ranking, _ = done
    real = comparing.measure_cell

    def crashing(cell, *arguments, **options):
        if cell.name.startswith("linear"):
            raise RuntimeError("out of memory")
        return real(cell, *arguments, **options)

    monkeypatch.setattr(comparing, "measure_cell", crashing)
    found = compare(order, folder, Silent())
    assert found.find(LINEAR).failed == "linear-contiguous-1-steps-rate-0.001-seed-0: RuntimeError: out of memory"
    assert found.find(YARN).test == ranking.find(YARN).test
    assert any("linear, contiguous failed" in note for note in found.notes)
    monkeypatch.setattr(
        comparing, "measure_cell", lambda cell, *a, **k: real(cell, *a, **k) if cell.run is None else 1 / 0
    )
    with pytest.raises(MeasurementError, match=r"all 2 failed, the first so: .*ZeroDivisionError"):
        compare(order, folder, Silent())


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"methods": ("yarn",)}, OptionError, "at least two candidates"),
        ({"methods": ("yarn", "yarm")}, UnknownNameError, "did you mean 'yarn'"),
        ({"methods": ("yarn", "yarn")}, OptionError, "'yarn, contiguous' was named twice"),
        ({"positions": ("contiguous", "posy")}, UnknownNameError, "no sampler is called 'posy'"),
        ({"target_length": 320, "positions": ("contiguous", "pose")}, OptionError, "no whole number of windows of 256"),
        ({"target_length": 200}, OptionError, "at least the trained window"),
        ({"target_length": 256}, OptionError, "a window that the model does not have yet"),
        ({"budget": Budget(100, "tokens")}, OptionError, "at least one step of 512 tokens; got 100 tokens"),
        ({"contexts": 1}, OptionError, "contexts of a comparison must be at least 2"),
        ({"entries": {"train": {"learning_rate": 1.0}}}, OptionError, "sets their train.steps"),
        ({"target_length": 4096}, DataError, "held-out documents of at least 4,096 tokens"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(order, changes, error, said):
    with pytest.raises(error, match=said):
        frame_of(dataclasses.replace(order, **changes))


def test_text_that_is_trained_on_is_refused(order, texts):
    with pytest.raises(DataError, match="held-out text must not be trained on"):
        frame_of(dataclasses.replace(order, data=(str(texts),)))


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("6 steps", (6, "steps")),
        ("1 step", (1, "steps")),
        ("1e7 tokens", (10**7, "tokens")),
        ("2.5m tokens", (2_500_000, "tokens")),
    ],
)
def test_budgets_are_read_as_people_write_them(text, budget):
    assert Budget.parse(text) == Budget(*budget)


@pytest.mark.parametrize(
    "text", ["60", "steps", "0 steps", "1.5 steps", "-3 steps", "6 hours", "1..2 steps", "1e999 tokens"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(OptionError, match="a whole number of steps or of tokens"):
        Budget.parse(text)


def test_rungs_are_a_quarter_half_and_all_of_the_budget():
    assert [rungs_of(steps) for steps in (1, 2, 6, 60)] == [(1,), (1, 2), (2, 3, 6), (15, 30, 60)]


def test_only_the_worse_half_that_is_shown_to_be_behind_leaves():
    scores = {"a": 1.0, "b": 1.1, "c": 1.2, "d": 2.0, "e": 3.0}
    assert dropped(scores, {"a": 0.0, "b": 0.05, "c": 0.1, "d": -0.1, "e": 1.0}) == ("e",)
    assert dropped(scores, dict.fromkeys(scores, 0.1)) == ("d", "e")
    assert dropped({"a": 1.0}, {"a": 0.0}) == ()


def samples_of(text, needles):
    return {
        name: [
            SampleResult(
                measure=measure,
                sample=f"{name}{number}",
                cluster=f"{name}{number}",
                length=512,
                status="ok" if value is not None else "failed",
                value=value,
            )
            for number, value in enumerate(values)
        ]
        for name, measure, values in (("text", "paired_nll", text), ("needles", "needle_nll", needles))
    }


def readings(cell):
    return Reading(cell, "text", "paired_nll", 512), Reading(cell, "needles", "needle_nll", 512)


def test_the_score_is_the_sum_of_both_means_and_differences_are_paired():
    rng = np.random.default_rng(0)
    hard, asked = rng.normal(3, 1, 8), rng.normal(1, 1, 6)
    samples = {"a": {0: samples_of(hard, asked)}, "b": {0: samples_of(hard + 0.1, asked + 0.2)}}
    score = estimated(readings("a"), samples)
    assert score.value == pytest.approx(hard.mean() + asked.mean())
    behind = estimated(readings("b"), samples, minus=readings("a"))
    assert behind.value == pytest.approx(0.3)
    assert behind.high - behind.low < 1e-9 < score.high - score.low, "what documents cause drops out"


def test_a_failed_sample_leaves_no_score():
    samples = {"a": {0: samples_of([1.0, 2.0, 3.0], [1.0, None, 1.0])}}
    assert estimated(readings("a"), samples) is None
