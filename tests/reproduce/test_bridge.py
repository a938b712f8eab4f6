"""The bridge: one command on a model of one's own, from end to end on a tiny one, and everything that it refuses."""

from __future__ import annotations

import dataclasses

import pytest
from bridges import SMALL, TARGET, TRAINED, frame, order, random_model, text_folder

from ropewalk.errors import AlreadyScaledError, OptionError
from ropewalk.reproduce.bridge.cells import bridge_cells
from ropewalk.reproduce.bridge.claims import bridge_claims
from ropewalk.reproduce.bridge.order import BridgeOrder, Sizes, frame_of
from ropewalk.reproduce.bridge.study import bridge, panels
from ropewalk.reproduce.bridge.texts import NO_TEXTS
from ropewalk.reproduce.study import run_study
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve

MADE = {"untouched", "linear", "linear-cream", "entropy-abf", "control"}


class Heard(Silent):
    """Remembers the stages and counts the training steps."""

    def __init__(self) -> None:
        self.stages, self.steps = [], 0

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def step(self, *_: object, **__: object) -> None:
        self.steps += 1


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bridge")
    return random_model(folder / "model"), text_folder(folder / "texts"), folder / "study"


@pytest.fixture(scope="module")
def done(place):
    model, data, folder = place
    study = bridge(order(model, data), folder, Silent(), sizes=SMALL)
    study = dataclasses.replace(study, cells=tuple(cell for cell in study.cells if cell.name in MADE))
    return study, run_study(study, folder, Silent())


def test_a_tiny_model_goes_through_everything_and_keeps_no_weights(place, done):
    folder, (_, result) = place[2], done
    assert {cell.name for cell in result.cells} == MADE
    states = {verdict.claim: verdict.state for verdict in result.verdicts}
    assert states["beats-linear"] == "not measured"
    judged = {"extrapolation-explodes", "pi-gains-from-context"} | {name for name in states if name.startswith("costs")}
    assert "not measured" not in {states[name] for name in judged}
    assert not list(folder.glob("cells/*/model*"))
    page = (folder / "page.md").read_text()
    assert "# The bridge: model: the quick set" in page
    assert "`ropewalk reproduce bridge --model model --quick`" in page
    assert all(f"(https://arxiv.org/abs/{paper})" in page for paper in ("2306.15595", "2401.07004", "2406.07138"))


def test_no_record_of_a_bridge_names_a_place_of_this_machine(place, done):
    assert str(place[2].parent) not in (place[2] / "result.json").read_text()
    assert str(place[2].parent) not in (place[2] / "page.md").read_text()


def test_the_certificate_of_a_cell_is_judged_against_the_untouched_model(place, done):
    folder, (_, result) = place[2], done
    (found,) = result.certificates
    assert (found.cell, found.seed, found.certificate.trained_length) == ("linear", 0, TRAINED)
    assert found.certificate.references[0].contexts == 300
    assert found.certificate.retrieval_length is None, "a random model finds nothing, so nothing is certifiable"
    samples = (folder / "cells" / "linear-seed-0" / "certificate" / "samples.jsonl").read_text()
    assert '"measure":"reference_key_value"' in samples
    assert "## Certified context" in (folder / "page.md").read_text()


def test_every_trained_cell_differs_from_the_untouched_one_and_equal_tokens_are_equal(done):
    _, result = done
    tokens = {cell.name: cell.tokens for cell in result.cells}
    assert tokens["linear"] == tokens["linear-cream"] == tokens["control"] == 2 * TARGET
    assert tokens["entropy-abf"] == 2 * (4 // 2) * 2 * TARGET
    losses = {result.find(name, "text", "paired_nll", TRAINED).estimate.value for name in MADE}
    assert len(losses) == len(MADE)


def test_a_bridge_goes_on_where_it_stopped_with_the_steps_that_it_was_begun_with(place, done):
    model, data, folder = place
    _, result = done
    again = bridge(order(model, data, hours=1e-9), folder, Silent(), sizes=SMALL)
    heard = Heard()
    cells = tuple(cell for cell in again.cells if cell.name in MADE)
    assert run_study(dataclasses.replace(again, cells=cells), folder, heard) == result
    assert heard.steps == 0


def test_the_budget_and_the_text_are_told_before_any_work(place, tmp_path):
    heard = Heard()
    bridge(order(place[0], place[1]), tmp_path, heard, sizes=SMALL)
    assert "13 models, 2 steps each where tokens are equal: about" in heard.stages[0]
    assert heard.stages[-1].startswith("Text: 6 documents are trained on, 2 held out and measured on")


def cells_of(made, steps=50):
    return bridge_cells(made, NO_TEXTS, steps)


def test_every_claim_and_panel_finds_its_cells_exams_and_lengths():
    made = frame()
    exams = {cell.name: {exam.name: exam.plan for exam in cell.exams} for cell in cells_of(made)}
    for claim in bridge_claims(made):
        assert all(reading.length in exams[reading.cell][reading.of].lengths for _, reading in claim.terms), claim.name
    assert all(panel.of in exams[cell] for panel in panels(made) for cell in panel.cells)


def test_claims_of_loss_compare_trainings_on_the_same_tokens_and_no_claim_feeds_cream_a_long_window():
    cells = {cell.name: cell for cell in cells_of(frame())}
    read = {
        name: c.run.train.steps * c.run.train.batch * (c.run.data.window or 16384) for name, c in cells.items() if c.run
    }
    for claim in bridge_claims(frame()):
        assert len({read[name] for name in claim.cells if name in read}) <= 1, claim.name
    for name, cell in cells.items():
        if "cream" in name or "pose" in name or name == "control":
            assert cell.run.data.window == 2048, name


def test_headline_claims_rest_on_three_seeds_and_a_quick_bridge_on_one():
    def seeds(made):
        found = {}
        for cell in cells_of(made):
            found.setdefault(cell.name, set()).add(cell.seed)
        return found

    whole, quick = seeds(frame()), seeds(frame(sizes=Sizes(seeds=1)))
    for claim in bridge_claims(frame()):
        if claim.headline:
            assert all(whole[name] == {0, 1, 2} for name in claim.cells), claim.name
    assert whole.keys() == quick.keys()
    assert all(found in ({0}, {None}) for found in quick.values())


def test_certificates_are_made_once_for_each_certified_model():
    certified = [cell.label for cell in cells_of(frame()) if any(exam.name == "certificate" for exam in cell.exams)]
    assert certified == [name if name == "untouched" else f"{name}-seed-0" for name in _in_order(certified)]
    assert {"linear", "yarn", "entropy-abf", "linear-cream"} <= {label.removesuffix("-seed-0") for label in certified}


def _in_order(labels):
    return [label.removesuffix("-seed-0") for label in labels]


def test_every_run_resolves_to_the_papers_rate_and_the_target(place):
    made = frame_of(order(place[0], place[1]), Sizes())
    for cell in bridge_cells(made, NO_TEXTS, 20):
        if cell.run is not None:
            data = cell.run.data.model_copy(update={"files": ("builtin",)})
            plan = resolve(cell.in_precision("float32").run.model_copy(update={"data": data}))
            assert plan.run.train.learning_rate == 2e-5
            assert plan.target_length == (TRAINED if cell.name == "control" else TARGET)
    assert {c.run.train.steps for c in bridge_cells(made, NO_TEXTS, 20) if "samples" in c.name} == {6}


def test_entropy_abf_and_abf_differ_in_the_scale_alone():
    cells = {cell.name: cell for cell in cells_of(frame())}
    one, other = cells["abf"], cells["entropy-abf"]
    assert (one.samples, one.run.train, one.run.data) == (other.samples, other.run.train, other.run.data)


def test_a_small_model_is_refused_and_taken_if_any_size_is_asked_for():
    with pytest.raises(OptionError, match=r"at least 100,000,000 parameters.* 'builtin' has 4,\d+,\d+\. Name a larger"):
        frame_of(BridgeOrder("builtin"), Sizes())
    assert frame_of(BridgeOrder("builtin", any_size=True), Sizes()).lengths == (256, 512, 1024, 2048)


@pytest.mark.parametrize(("target", "advice"), [(256, 512), (100, 512), (700, 768), (1000, 1024)])
def test_a_target_must_be_a_multiple_of_the_window_and_above_it(target, advice):
    with pytest.raises(
        OptionError, match=rf"multiple of the model's window of 256 .* got {target:,}\. Say --target {advice}"
    ):
        frame_of(BridgeOrder("builtin", target_length=target, any_size=True), Sizes())


def test_a_model_that_is_scaled_already_is_refused(tmp_path):
    model = random_model(tmp_path / "m", rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4})
    with pytest.raises(AlreadyScaledError, match="is scaled by 'linear' with factor 4 already"):
        frame_of(BridgeOrder(model, any_size=True), Sizes())
