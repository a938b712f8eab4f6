"""The studies are what they claim to be: fair, complete, and never above the window that they promise."""

from __future__ import annotations

import math

import pytest

from ropewalk.cells.texts import VALIDATION_MODULES, texts
from ropewalk.data.corpus import module_names
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.reproduce import entropy_abf
from ropewalk.reproduce.bases import TunedBase
from ropewalk.reproduce.papers import STUDIES, study
from ropewalk.reproduce.pi.claims import explodes
from ropewalk.run.control import control_plan
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import packaged_runs

WITH_QUICK = [name for name in STUDIES if name != "pi-scaling"]
ALL = [*((name, True) for name in WITH_QUICK), *((name, False) for name in STUDIES)]


def resolved(cell):
    return resolve(cell.in_precision("float32").run)


def every_cell(name: str, *, quick: bool):
    made = study(name, quick=quick)
    return [*(cell for search in made.searches for cell in search.cells), *made.cells]


@pytest.mark.parametrize(("name", "quick"), ALL)
def test_every_claim_and_panel_finds_its_cells_exams_and_lengths(name, quick):
    made = study(name, quick=quick)
    exams = {cell.name: {exam.name: exam for exam in cell.exams} for cell in made.cells}
    for claim in made.claims:
        for _, reading in claim.terms:
            assert reading.length in exams[reading.cell][reading.of].lengths, claim.name
    shown = set(made.shown)
    shown |= {(of, "k_max") for of, measure, _ in made.depths if measure == "passkey"}
    for panel in made.panels:
        points = [(cell, panel.measure, panel.of, panel.at) for cell in panel.cells]
        for line in panel.along.lines if panel.along else ():
            own = line.at or ((panel.of, panel.at or 256),) * len(line.cells)
            points += [(c, m, of, at) for (_, c, m), (of, at) in zip(line.points(panel.measure), own, strict=True)]
        for cell, measure, of, at in points:
            assert of in exams[cell], (panel.title, cell)
            assert panel.along is None or at in exams[cell][of].lengths, (panel.title, cell)
            assert (of, measure.removesuffix("_against_cut")) in shown, (panel.title, measure)


@pytest.mark.parametrize(("name", "quick"), ALL)
def test_every_run_resolves_and_every_cell_has_a_place_of_its_own(name, quick):
    cells = every_cell(name, quick=quick)
    assert len({cell.label for cell in cells}) == len(cells)
    for cell in cells:
        if cell.run is not None:
            assert resolved(cell).run.train.steps == cell.run.train.steps


@pytest.mark.parametrize(("name", "quick"), ALL)
def test_every_search_has_a_default_and_only_cells_of_methods_that_train_look_for_a_rate(name, quick):
    made = study(name, quick=quick)
    known = made.defaults.keys() | {search.name for search in made.searches}
    assert {cell.search for cell in made.cells if cell.search} <= known


@pytest.mark.parametrize("name", WITH_QUICK)
def test_every_cell_of_a_quick_set_is_a_cell_of_the_whole(name):
    whole = {cell.label: cell.run for cell in study(name).cells}
    for cell in study(name, quick=True).cells:
        assert whole[cell.label] == cell.run


@pytest.mark.parametrize("name", WITH_QUICK)
def test_every_claim_of_a_quick_set_is_judged_by_the_whole_in_the_same_way(name):
    whole = {claim.name: claim for claim in study(name).claims}
    for claim in study(name, quick=True).claims:
        assert whole[claim.name] == claim


@pytest.mark.parametrize("name", STUDIES)
def test_headline_claims_are_made_of_cells_with_three_seeds_where_anything_is_trained(name):
    made = study(name)
    seeds = {}
    for cell in made.cells:
        seeds.setdefault(cell.name, set()).add(cell.seed)
    singles = {
        claim.name
        for claim in made.claims
        if claim.headline and any(len(seeds[cell]) == 1 and seeds[cell] != {None} for cell in claim.cells)
    }
    # Wide grids and what cannot be judged anyway have one seed.
    assert (
        singles
        == {
            "pi": {"adapts-faster-4x-modules"},
            "pi-scaling": set(),
            "entropy-abf": {"hundred-samples-suffice"},
            "cream": {"middle-ntk"},
            "compositions": set(),
        }[name]
    )


def tokens_of(cell) -> int:
    """Of its training, and of that of its base if the base was only tuned for it."""
    plan = resolved(cell)
    first = cell.base.run.train if isinstance(cell.base, TunedBase) else None
    before = first.steps * first.batch * 256 if first else 0
    return before + plan.run.train.steps * plan.run.train.batch * plan.window


@pytest.mark.parametrize("name", STUDIES)
def test_everything_that_one_claim_compares_was_trained_on_the_same_tokens(name):
    made = study(name)
    cells = {cell.name: cell for cell in made.cells}
    about_amounts = {
        "adapts-early",
        "few-steps-suffice",
        "keys-reach-with-fewer-steps",
        "whole-text-helps",
        "hundred-samples-suffice",
        "a-quarter-of-the-tokens-suffices",
    }
    for claim in made.claims:
        trained = {tokens_of(cells[n]) for n in claim.cells if cells[n].run is not None and cells[n].run.train.steps}
        assert len(trained) <= 1 or claim.name in about_amounts, claim.name


@pytest.mark.parametrize("name", STUDIES)
def test_the_control_gets_the_same_tokens_at_the_old_window(name):
    cells = {cell.name: cell for cell in study(name).cells}
    headline = {
        "pi": "linear-8x",
        "pi-scaling": "linear-8x",
        "entropy-abf": "entropy-abf",
        "cream": "yarn-cream",
        "compositions": "entropy-abf-cream",
    }[name]
    control, extended = resolved(cells["control"]), resolved(cells[headline])
    assert (control.method.name, control.window, control.sampler.name) == ("none", 256, "contiguous")
    assert tokens_of(cells["control"]) == tokens_of(cells[headline])
    assert tokens_of(cells["control"]) == (lambda run: run.train.steps * run.train.batch * 256)(
        control_plan(extended).run
    )


def test_a_hundred_samples_make_six_steps_as_in_the_paper():
    assert [entropy_abf.steps_of(count) for count in (32, 100, 1000)] == [2, 6, 62]


def test_entropy_abf_and_abf_of_equal_base_differ_in_the_scale_alone():
    cells = {cell.label: cell for cell in entropy_abf.quick_cells()}
    for seed in range(3):
        one, other = cells[f"abf-seed-{seed}"], cells[f"entropy-abf-seed-{seed}"]
        assert one.samples == other.samples
        assert one.search == other.search
        assert one.run.train == other.run.train
        rope = resolved(one).config.rope
        assert (resolved(one).method.frequencies(rope) == resolved(other).method.frequencies(rope)).all()


def test_the_explosion_that_is_claimed_is_the_factor_of_three():
    assert explodes().smallest_effect == pytest.approx(math.log(3))


def test_the_validation_split_and_the_test_split_share_no_text_and_make_up_the_held_out_modules():
    test, validation = texts("modules").documents, texts("validation").documents
    assert set(validation) == set(VALIDATION_MODULES)
    assert not set(test) & set(validation)
    assert len(test) == 16
    assert set(test) | set(validation) == set(module_names(held_out=True))


def test_no_two_documents_of_the_prose_share_text():
    long = {name: set(text.splitlines()) for name, text in texts("prose").documents.items() if len(text) > 7000}
    lines = {name: {line for line in found if len(line) > 40} for name, found in long.items()}
    for name, own in lines.items():
        for other, others in lines.items():
            assert name == other or len(own & others) < 0.05 * len(own), (name, other)


def test_an_unknown_set_of_texts_and_an_unknown_study_are_refused_with_those_there_are():
    with pytest.raises(UnknownNameError, match="no set of texts is called 'prosa'; did you mean 'prose'"):
        texts("prosa")
    with pytest.raises(
        UnknownNameError,
        match=r"no study is called 'yarn'\. Known: bridge, compositions, cream, entropy-abf, pi, pi-scaling\.",
    ):
        study("yarn")


def test_the_study_of_scaling_refuses_to_be_quick():
    with pytest.raises(OptionError, match=r"one set of cells; got --quick\. Leave it out, or run the quick set of pi"):
        study("pi-scaling", quick=True)


@pytest.mark.parametrize("name", [name for name in packaged_runs() if name.startswith("reproduce-")])
def test_a_run_file_says_whose_it_is_and_which_command_reads_it(name):
    text = packaged_runs()[name]
    assert "arXiv:" in text
    assert any(f"`ropewalk reproduce {paper}`" in text and name.startswith(f"reproduce-{paper}") for paper in STUDIES)
