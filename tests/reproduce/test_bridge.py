"""The bridge: one command on a model of one's own, from end to end on a tiny one, and everything that it refuses."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from bridges import SMALL, TARGET, TRAINED, frame, order, random_model, text_folder

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.errors import AlreadyScaledError, DataError, MemoryShortageError, OptionError
from ropewalk.reproduce.bridge.budget import SHARE, budget_of, require_memory, seconds
from ropewalk.reproduce.bridge.cells import bridge_cells
from ropewalk.reproduce.bridge.claims import bridge_claims
from ropewalk.reproduce.bridge.order import BridgeOrder, Sizes, frame_of
from ropewalk.reproduce.bridge.study import bridge, panels
from ropewalk.reproduce.bridge.texts import NO_TEXTS, Stretches, TrainingText, bridge_texts
from ropewalk.reproduce.study import run_study
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve

RATE = 600e12  # operations a second
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


def test_as_many_steps_are_taken_as_fit_into_the_time():
    made = frame()
    found = budget_of(made, RATE, 2.0, on_processor=False)
    assert 20 <= found.steps <= 200
    assert found.hours <= 2.0 < budget_of(made, RATE, 9.0, on_processor=False, settled=found.steps + 1).hours
    assert budget_of(made, RATE, 100.0, on_processor=False).steps == 200, "no more than the run file says"


def test_the_estimate_is_operations_by_rate_and_a_share_for_each_cell():
    made, cells = frame(), cells_of(frame(), steps=1)
    fixed = 30.0 * len(cells)
    assert seconds(made, cells, RATE) - fixed == pytest.approx(2 * (seconds(made, cells, 2 * RATE) - fixed))
    more = cells_of(made, steps=2)
    layers, head = made.shape.parameters - 2 * 50304 * 1024, 50304 * 1024
    contiguous, short = (2 * (4 * layers + 3 * head) + 4.5 * 2 * 24 * 1024 * window for window in (16384, 2048))
    expected = 8 * 16384 * (3 * 3 * contiguous + (3 * 3 + 2) * short) / (SHARE * RATE)
    assert seconds(made, more, RATE) - seconds(made, cells, RATE) == pytest.approx(expected)


def test_what_cannot_end_in_time_is_refused_with_what_would():
    with pytest.raises(
        OptionError, match=r"must end within 2 hours; 'builtin' at 262,144 tokens takes .* hours"
    ) as error:
        budget_of(frame(trained_length=32768, target_length=262144), RATE, 2.0, on_processor=True)
    assert "No accelerator was found here. Choose a shorter --target" in str(error.value)
    assert "--hours" in str(error.value)


def test_what_does_not_fit_the_memory_is_refused_with_the_longest_target_that_does(monkeypatch):
    monkeypatch.setattr("ropewalk.reproduce.bridge.budget.available_bytes", lambda _: 24e9)
    with pytest.raises(
        MemoryShortageError, match=r"of 131,072 tokens of 'builtin' needs about .* GB, and .* 24\.0 GB"
    ) as e:
        require_memory(frame(target_length=131072), "bfloat16", torch.device("cpu"))
    longest = int(str(e.value).split("--target ")[1].split(",")[0])
    require_memory(frame(target_length=longest), "bfloat16", torch.device("cpu"))
    with pytest.raises(MemoryShortageError):
        require_memory(frame(target_length=longest + 2048), "bfloat16", torch.device("cpu"))


def test_a_model_with_no_room_for_any_target_is_told_of_smaller_ones(monkeypatch):
    monkeypatch.setattr("ropewalk.reproduce.bridge.budget.available_bytes", lambda _: 1e9)
    with pytest.raises(MemoryShortageError, match="Choose a smaller model such as pythia-160m"):
        require_memory(frame(), "bfloat16", torch.device("cpu"))


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


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


def small_frame(**sizes):
    entries = {"trained_length": TRAINED, "target_length": TARGET}
    return frame(**entries, sizes=dataclasses.replace(SMALL, **sizes))


def test_no_document_is_trained_on_and_measured_on_and_every_measured_one_holds_the_target(tmp_path, tokenizer):
    data = text_folder(tmp_path / "texts", count=15)
    (tmp_path / "texts" / "short.txt").write_text("too short to be held out")
    (tmp_path / "texts" / "twin.txt").write_text((tmp_path / "texts" / "3.txt").read_text())
    texts = bridge_texts((data,), None, small_frame(), tokenizer)
    training, held_out = texts.training.documents, texts.held_out.documents
    assert not set(training.values()) & set(held_out.values()), "the twin is one document"
    assert len(training) + len(held_out) == 16
    assert len(held_out) == 3, "a fifth of 15"
    assert "short.txt" in training
    assert all(len(tokenizer.encode(text)) >= TARGET for text in held_out.values())
    assert bridge_texts((data,), None, small_frame(), tokenizer) == texts, "by a fixed seed"


def test_the_built_in_modules_keep_their_own_split(tmp_path, tokenizer):
    texts = bridge_texts((), chats(tmp_path / "chats.jsonl", 4), small_frame(documents=16), tokenizer)
    assert texts.training.documents == standard_library(held_out=False).documents
    assert texts.held_out.documents.items() <= standard_library(held_out=True).documents.items()
    assert len(texts.held_out.documents) == 16


@pytest.mark.parametrize(("count", "characters", "held"), [(3, 8000, 3), (8, 600, 0)])
def test_too_few_or_too_short_documents_are_refused(tmp_path, tokenizer, count, characters, held):
    data = text_folder(tmp_path / "texts", count=count, characters=characters)
    with pytest.raises(
        DataError, match=rf"at least 2 documents of 512 tokens .* the text holds {held} that long\. Give"
    ):
        bridge_texts((data,), None, small_frame(), tokenizer)


def test_text_without_enough_stretches_is_refused(tmp_path, tokenizer):
    data = text_folder(tmp_path / "texts")
    with pytest.raises(
        DataError, match=r"Entropy-ABF's 1000 samples are disjoint stretches of 512 .* holds \d+\. Give more"
    ):
        bridge_texts((data,), None, small_frame(samples=1000), tokenizer)


def chats(path, count):
    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for _ in range(count)))
    return str(path)


def test_conversations_take_the_place_of_stretches(tmp_path, tokenizer):
    data, talks = text_folder(tmp_path / "texts"), chats(tmp_path / "chats.jsonl", 4)
    made = small_frame()
    texts = bridge_texts((data,), talks, made, tokenizer)
    cells = {cell.name: cell for cell in bridge_cells(made, texts, 1)}
    assert (cells["abf"].run.data.files, cells["abf"].samples) == ((talks,), None)
    assert isinstance(cells["linear"].samples, TrainingText)


def test_conversations_that_are_too_few_or_missing_or_given_as_text_are_refused(tmp_path, tokenizer):
    data, few = text_folder(tmp_path / "texts"), chats(tmp_path / "chats.jsonl", 3)
    with pytest.raises(
        DataError, match=r"is tuned on 4 conversations; '.*chats\.jsonl' holds 3\. Give a file with more"
    ):
        bridge_texts((data,), few, small_frame(), tokenizer)
    with pytest.raises(DataError, match=r"given as one file; there is no file 'nowhere'\. Check the path of --chats"):
        bridge_texts((data,), "nowhere", small_frame(), tokenizer)
    with pytest.raises(
        DataError, match=r"text is documents; '.*chats\.jsonl' holds conversations \(at .*:1\)\. Give them"
    ):
        bridge_texts((few,), None, small_frame(), tokenizer)


def test_stretches_are_disjoint_of_one_window_and_the_same_for_every_method(tmp_path, tokenizer):
    data = text_folder(tmp_path / "texts")
    training = bridge_texts((data,), None, small_frame(), tokenizer).training
    found = Stretches(training, 8, TARGET, seed=0).texts(tokenizer)
    sizes = [len(tokenizer.encode(text, add_special_tokens=False)) for text in found]
    assert len(set(found)) == 8
    assert max(sizes) <= TARGET
    assert min(sizes) >= TARGET - 4
    assert Stretches(training, 8, TARGET, seed=0).texts(tokenizer) == found
    assert Stretches(training, 8, TARGET, seed=1).texts(tokenizer) != found
