"""The early warning: its extrapolation against a known law, its rule, and a run of a few steps."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ropewalk.cells.runs import recipe
from ropewalk.choose.extendability import extendability, extrapolated, prospect, share_left
from ropewalk.errors import InterruptedRunError
from ropewalk.report.early import early_table, prospect_words
from ropewalk.result import Extendability
from ropewalk.run.extension import Silent

STEPS = (8, 16, 32)
# The built-in modules take seconds to read.
TRAINING_TEXT = Path(__file__).parents[1] / "reproduce" / "small.txt"


def law(power: float, *, contexts: int = 12, noise: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    level = rng.uniform(2, 4, size=contexts)
    return np.array([level * step**-power * np.exp(noise * rng.normal(size=contexts)) for step in STEPS])


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_a_power_law_without_noise_is_foretold_exactly(power):
    losses = law(power)
    found = extrapolated(STEPS, losses, 1000)
    assert found.value == pytest.approx(losses[0].mean() * (1000 / 8) ** -power, rel=1e-9)
    assert found.low <= found.value <= found.high


def test_noise_widens_the_interval_and_more_contexts_narrow_it():
    quiet, loud = (extrapolated(STEPS, law(0.5, noise=noise), 1000) for noise in (0.01, 0.3))
    many = extrapolated(STEPS, law(0.5, noise=0.3, contexts=200), 1000)
    assert quiet.high - quiet.low < loud.high - loud.low
    assert many.high - many.low < loud.high - loud.low
    truth = law(0.5)[0].mean() * (1000 / 8) ** -0.5
    assert loud.low < truth < loud.high


def test_a_loss_that_rises_is_taken_to_stay():
    losses = law(-0.5)
    assert extrapolated(STEPS, losses, 1000).value < losses[-1].mean() * 1.01


def test_what_is_left_is_counted_from_inside_to_untouched():
    foretold = extrapolated(STEPS, np.full((3, 4), 1.0), 1000)
    assert share_left(foretold, 0.5, 5.5) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.01, 0.1, "extends"), (0.0, 0.11, "open"), (0.49, 0.9, "open"), (0.5, 0.9, "does not extend")],
)
def test_the_rule_needs_the_whole_interval(low, high, expected):
    assert prospect(low, high) == expected


class Interrupts(Silent):
    """Presses Ctrl-C at the second step."""

    def step(self, step: int, *_: object, **__: object) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)


def small_run():
    return recipe(
        "reproduce-cream",
        target_length=512,
        method={"name": "yarn"},
        train={"batch": 2, "micro_batch": 2, "precision": "float32"},
        data={"window": 256, "files": [str(TRAINING_TEXT)], "recall_share": 0.0},
    )


def test_a_warning_that_was_stopped_says_that_it_keeps_nothing():
    with pytest.raises(InterruptedRunError, match=r"it keeps nothing\. Run the same command again"):
        extendability(small_run(), steps=(3, 4), contexts=2, reporter=Interrupts())


def test_a_few_steps_of_the_built_in_model_leave_a_record_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    found = extendability(small_run(), steps=(1, 2), at=100, contexts=2)
    assert Extendability.model_validate_json(found.model_dump_json()) == found
    assert [point.steps for point in found.points] == [1, 2]
    assert found.inside.value < 0.5 < found.untouched.value
    assert found.tokens == 3 * 2 * 256
    assert found.positions == "cream"
    assert list(tmp_path.glob("tmp*")) == []
    stream = io.StringIO()
    Console(file=stream, width=100, highlight=False).print(early_table(found))
    assert "100, foretold" in stream.getvalue()
    assert f"after 100 steps: {found.prospect}." in prospect_words(found)
