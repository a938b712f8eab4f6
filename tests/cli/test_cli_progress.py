"""What people see while a model trains: on a terminal of any usual width, and in a log."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ropewalk.cli import progress
from ropewalk.cli.progress import LiveReporter

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
STEP = {"tokens_per_second": 12_345.6, "peak_memory_bytes": 101_230_000_000}


@pytest.fixture
def reporter():
    def make(*, width=80, terminal):
        made = LiveReporter()
        made.console = Console(
            width=width, force_terminal=terminal, force_interactive=terminal, color_system=None, file=io.StringIO()
        )
        return made

    return make


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(made):
    made.__exit__(None, None, None)
    return [ESCAPES.sub("", line) for line in re.split(r"[\r\n]+", made.console.file.getvalue())]


@pytest.mark.parametrize(("width", "steps"), [(80, 60), (80, 10_000), (100, 60), (100, 10_000)])
def test_a_bar_of_steps_fits_the_terminal_and_shows_loss_speed_memory_and_time(width, steps, reporter):
    made = reporter(width=width, terminal=True)
    for step in (1, 2, steps):
        made.step(step, steps, 2.3456, **STEP)
    found = lines(made)
    assert max(map(len, found)) <= width
    (shown,) = {line for line in found if f"{steps}/{steps}" in line}
    assert shown.startswith("training ━━━━━━━━")
    assert "loss 2.346  12.3k tok/s  101.2 GB 0:00:0" in shown


def test_a_measurement_takes_the_place_of_the_bar_and_gives_it_back(reporter):
    made = reporter(terminal=True)
    made.step(5, 10, 2.0)
    made.stage("step 5: context gain")
    made.advance("key_value", 1, 4)
    made.step(6, 10, 1.5, **STEP)
    found = lines(made)
    order = [
        next(number for number, line in enumerate(found) if words in line)
        for words in ("5/10", "step 5: context gain", "key-value recall", "6/10")
    ]
    assert order == sorted(order)
    assert max(map(len, found)) <= 80


def test_a_log_has_a_line_for_each_tenth_with_the_time_that_is_left(reporter, clock):
    made = reporter(width=100, terminal=False)
    for step in range(1, 101):
        clock[0] += 60.0
        made.step(step, 100, 3.0 - step / 100, tokens_per_second=987.6, peak_memory_bytes=3_456_000_000)
    found = [line for line in lines(made) if line]
    assert len(found) == 10
    assert found[0] == "training 10 of 100 loss 2.900  988 tok/s  3.5 GB  1:30:00 left"
    assert found[-1] == "training 100 of 100 loss 2.000  988 tok/s  3.5 GB  0:00:00 left"


def test_a_resumed_run_is_timed_from_the_step_it_resumed_at(reporter, clock):
    made = reporter(terminal=False)
    made.step(51, 100, None)
    clock[0] = 9.0
    made.step(60, 100, None)
    assert "training 60 of 100   0:00:40 left" in lines(made)


def test_what_is_not_known_is_left_out(reporter):
    made = reporter(terminal=False)
    made.step(1, 2, None)
    made.step(2, 2, 1.0)
    assert [line for line in lines(made) if line] == ["training 1 of 2", "training 2 of 2 loss 1.000  0:00:00 left"]
