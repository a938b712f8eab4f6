"""Cells that go on from shorter ones: no step is made twice, and every number is that of a cell made alone."""

from __future__ import annotations

import dataclasses

import pytest
from studies import small_cell, small_study

from ropewalk.cells.sharing import held, in_turn
from ropewalk.reproduce.papers import study
from ropewalk.reproduce.study import run_study
from ropewalk.run.extension import Silent


class Counted(Silent):
    """Counts the training steps."""

    def __init__(self):
        self.steps = 0

    def step(self, *_, **__):
        self.steps += 1


def series():
    """Three trainings of 1, 2 and 4 steps, each longer than the one before."""
    cells = []
    for steps in (1, 2, 4):
        cell = dataclasses.replace(small_cell(steps=steps), name=f"linear-{steps}")
        cells.append(dataclasses.replace(cell, shorter=cells[-1]) if cells else cell)
    return cells


@pytest.mark.parametrize("keep_models", [False, True])
def test_no_step_is_made_twice_and_the_numbers_are_those_of_cells_made_alone(tmp_path, keep_models):
    together, alone = Counted(), Counted()
    mine = run_study(small_study(*series()), tmp_path / "together", together, keep_models=keep_models)
    apart = [dataclasses.replace(cell, shorter=None) for cell in series()]
    theirs = run_study(small_study(*apart), tmp_path / "alone", alone)
    assert (together.steps, alone.steps) == (4, 7)
    assert [cell.losses for cell in mine.cells] == [cell.losses for cell in theirs.cells]
    assert [cell.tokens for cell in mine.cells] == [cell.tokens for cell in theirs.cells]
    assert mine.readings == theirs.readings
    kept = {path.parent.name for path in (tmp_path / "together" / "cells").glob("*/model")}
    assert kept == ({f"linear-{steps}-seed-0" for steps in (1, 2, 4)} if keep_models else set())


def test_a_cell_whose_shorter_one_left_no_state_is_made_whole(tmp_path):
    *_, longest = series()
    counted = Counted()
    result = run_study(small_study(longest), tmp_path / "study", counted)
    assert counted.steps == result.cells[0].steps == 4


def test_cells_of_one_series_are_never_made_at_the_same_time(tmp_path):
    first, second, third = series()
    other = small_cell("none")
    with held(first.label, tmp_path):
        turns = in_turn([second, third, other], tmp_path, Silent())
        assert next(turns).label == other.label


def test_the_time_left_counts_the_steps_that_are_to_be_made():
    first, second, third = series()
    training = 3 * 512  # tokens of forward passes of a step
    exams = first.cost - training
    assert (second.cost - exams, third.cost - exams) == (training, 2 * training)


def test_the_step_series_of_interpolation_go_on_from_one_another():
    cells = {cell.name: cell for cell in study("pi-scaling").cells}
    assert cells["none-8x-500"].shorter == cells["none-8x-200"]
    assert cells["linear-8x-100-1m"].shorter == cells["linear-8x-1m"]
    assert cells["linear-8x-10"].shorter is None
