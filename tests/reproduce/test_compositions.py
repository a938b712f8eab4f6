"""The compositions change one choice at a time, at the old window, and stand beside the papers' own cells."""

from __future__ import annotations

import pytest

from ropewalk.reproduce.compositions import cells as made
from ropewalk.reproduce.papers import study
from ropewalk.run.plan import resolve

WHOLE = study("compositions")
BY_LABEL = {cell.label: cell for cell in WHOLE.cells}


def plan_of(label: str):
    return resolve(BY_LABEL[label].in_precision("float32").run)


def differing(one, other) -> set[str]:
    """Entries in which two runs differ, seeds and all."""
    first, second = (cell.run.model_dump() for cell in (one, other))
    flat = [
        {f"{s}.{k}": v for s, part in run.items() if isinstance(part, dict) for k, v in part.items()}
        | {s: v for s, v in run.items() if not isinstance(v, dict)}
        for run in (first, second)
    ]
    return {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}


def test_only_entropy_abfs_own_recipe_and_pi_read_windows_above_the_old_one():
    above = {
        cell.name
        for cell in WHOLE.cells
        if cell.seed is not None and resolve(cell.in_precision("float32").run).window > 256
    }
    assert above == {"entropy-abf", "linear-8x", *(f"linear-8x-anchor-{weight:g}" for weight in made.ANCHORS)}


@pytest.mark.parametrize(
    ("other", "choices"),
    [
        ("entropy-abf-short", {"positions.name"}),
        ("entropy-abf-pose", {"positions.name"}),
        ("abf-cream", {"method.name"}),
        ("entropy-abf", {"positions.name", "data.window", "train.micro_batch"}),
    ],
)
def test_a_six_step_cell_differs_from_the_composition_in_what_its_name_says(other, choices):
    for seed in range(3):
        composed, compared = BY_LABEL[f"entropy-abf-cream-seed-{seed}"], BY_LABEL[f"{other}-seed-{seed}"]
        assert differing(composed, compared) == choices
        assert (composed.samples == compared.samples) == ("data.window" not in choices)


def test_the_composition_reads_a_quarter_of_the_tokens_in_the_papers_six_steps():
    composed, own = (plan_of(f"{name}-seed-0") for name in ("entropy-abf-cream", "entropy-abf"))
    assert composed.run.train.steps == own.run.train.steps == 6
    assert 4 * composed.window == own.window == composed.target_length
    twin = next(cell for cell in study("entropy-abf").cells if cell.label == "entropy-abf-seed-0")
    assert resolve(twin.in_precision("float32").run).method == own.method
    assert twin.samples == BY_LABEL["entropy-abf-seed-0"].samples


@pytest.mark.parametrize(
    ("name", "paper"), [("yarn-cream-seed-0", "cream"), ("yarn-pose-seed-2", "cream"), ("linear-8x-seed-0", "pi")]
)
def test_a_cell_without_weights_and_anchors_is_that_of_its_paper(name, paper):
    twin = next(cell for cell in study(paper).cells if cell.label == name)
    assert resolve(twin.in_precision("float32").run).run == plan_of(name).run


def test_weights_and_anchors_are_all_that_is_laid_over_such_a_cell():
    plain = BY_LABEL["yarn-cream-seed-0"]
    for label, entry in (("gap-3", "gap"), ("repeats-3", "gap"), ("anchor-0.5", "restoration")):
        assert differing(plain, BY_LABEL[f"yarn-cream-{label}-seed-0"]) == {f"train.{entry}"}
    assert BY_LABEL["yarn-cream-repeats-3-seed-0"].run.train.gap.repeats
    assert BY_LABEL["linear-8x-anchor-0.25-seed-0"].run.train.restoration == 0.25


def test_rates_that_are_not_searched_for_are_those_that_the_papers_studies_chose():
    chosen = study("cream").defaults | study("pi").defaults
    assert {name: chosen[name] for name in made.BORROWED} == made.BORROWED


def test_a_panel_along_the_anchor_finds_its_cells_at_its_length():
    exams = {cell.name: {exam.name: exam for exam in cell.exams} for cell in WHOLE.cells}
    along = [panel for panel in WHOLE.panels if panel.along]
    assert len(along) == 2
    for panel in along:
        for line in panel.along.lines:
            assert [place for place, _ in line.cells] == [0.0, *made.ANCHORS]
            assert all(panel.at in exams[cell][panel.of].lengths for _, cell in line.cells)


def test_the_quick_set_is_one_contrast_of_three_seeds():
    quick = study("compositions", quick=True)
    assert {cell for claim in quick.claims for cell in claim.cells} == {"entropy-abf-cream", "entropy-abf-short"}
    assert [cell.seed for cell in quick.cells] == [None, 0, 0, 1, 1, 2, 2]
