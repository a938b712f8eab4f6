"""Conversations that are made from a seed fit their window and ask what was told; a tuned base is a start for cells."""

from __future__ import annotations

import json
import re

import pytest
from studies import RECALL, TEXT

from ropewalk import adapters
from ropewalk.cells.cell import Cell
from ropewalk.cells.measuring import measure_cell
from ropewalk.cells.runs import recipe
from ropewalk.data.chat import ChatEncoder
from ropewalk.errors import OutputError
from ropewalk.reproduce.bases import TunedBase
from ropewalk.reproduce.conversations import ConversationSet
from ropewalk.reproduce.cream.chat import chat_base, chat_cells
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows

SMALL = ConversationSet(6, 256, seed=0)


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return ChatEncoder(tokenizer)


def unanswerable(turns) -> list[str]:
    """Answers that say something else than what was told in an earlier turn."""
    told: dict[str, str] = {}
    wrong = []
    for user, assistant in zip(turns[::2], turns[1::2], strict=True):
        if fact := re.fullmatch(r"Remember that (\w+) is (\d+)\.", user.content):
            told[fact[1]] = fact[2]
        if asked := re.fullmatch(r"What is (\w+)\?", user.content):
            expected = f"{asked[1]} is {told.get(asked[1])}."
            wrong += [] if assistant.content == expected else [assistant.content]
    return wrong


@pytest.mark.parametrize(("count", "window"), [(12, 256), (2, 2000)])
def test_conversations_fill_their_window_and_never_exceed_it(encoder, count, window):
    sizes = [len(encoder.encode(turns).tokens) for turns in ConversationSet(count, window, seed=0).draw(encoder)]
    assert max(sizes) <= window
    assert sum(sizes) / len(sizes) > window / 2


def test_every_answer_was_told_before_and_a_question_stands_last(encoder):
    for turns in SMALL.draw(encoder):
        assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert unanswerable(turns) == []
        assert turns[-2].content.startswith("What is ")
        assert unanswerable(turns[::-1][:2][::-1]) != [], "what was never told is noticed"


def test_seeds_draw_other_conversations_and_one_seed_the_same(encoder):
    first = SMALL.draw(encoder)
    assert first == SMALL.draw(encoder)
    assert not set(first) & set(ConversationSet(6, 256, seed=1).draw(encoder))


@pytest.mark.parametrize(("learns", "key"), [("answers", "messages"), ("everything", "text")])
def test_the_data_path_learns_the_answers_or_everything(learns, key, tokenizer, tmp_path):
    file = ConversationSet(4, 256, seed=0, learns=learns).write(tmp_path, tokenizer)
    assert [set(json.loads(line)) for line in file.read_text().splitlines()] == [{key}] * 4
    train = {"steps": 1, "batch": 4, "micro_batch": 4, "precision": "float32"}
    data = {"window": 256, "packing": "none", "files": [str(file)], "recall_share": 0.0}
    windows, _ = training_windows(resolve(recipe("reproduce-cream", train=train, data=data)), tokenizer)
    for number in range(4):
        item = windows[number]
        text = item["input_ids"][item["segment_ids"] == 0]
        learned = tokenizer.decode(item["labels"][item["labels"] >= 0])
        assert ("Remember" in learned) == (learns == "everything")
        assert re.search(r"\w+ is \d{4}\.", learned)
        if learns == "everything":
            assert (item["labels"] >= 0).sum() == len(text) - 1, "nothing predicts the first token"


def small_base(**train):
    settings = {"steps": 1, "batch": 2, "micro_batch": 2, "precision": "float32", "warmup_steps": 0, **train}
    run = recipe(
        "reproduce-cream",
        target_length=256,
        method={"name": "none"},
        positions={"name": "contiguous"},
        train=settings,
        data={"packing": "none", "recall_share": 0.0},
    )
    return TunedBase("small", "tuned", run, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, *small_base().make(folder, "float32", Silent())


def test_a_tuned_base_is_an_untouched_model_of_its_own_with_other_weights(made):
    folder, model, record = made
    base, builtin = load_checkpoint(model), load_checkpoint("builtin")
    assert (base.method, base.trained_length) == ("untouched", 256)
    assert base.weights != builtin.weights
    assert (record.name, len(record.losses), record.run["model"]) == ("base-small", 1, "builtin")
    assert record.run["data"]["files"] == [SMALL.name]
    assert str(folder.parent) not in (folder / "bases" / "small" / "cell.json").read_text()
    assert {path.name for path in (folder / "bases" / "small").iterdir()} == {"conditions.json", "model", "cell.json"}


def test_a_tuned_base_is_made_once_and_refused_under_other_conditions(made):
    folder, model, record = made
    before = (model / "model.safetensors").stat().st_mtime_ns
    assert small_base().make(folder, "float32", Silent()) == (model, record)
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(OutputError, match=r"small' differs from what is asked now in: run\.train\.steps\. Remove"):
        small_base(steps=2).make(folder, "float32", Silent())


def test_a_cell_starts_from_the_tuned_base_and_says_so(made):
    folder, model, _ = made
    train = {"steps": 1, "batch": 2, "micro_batch": 2, "precision": "float32", "warmup_steps": 0}
    run = recipe("reproduce-cream", train=train, data={"window": 256, "packing": "none", "recall_share": 0.0})
    samples = ConversationSet(4, 256, seed=1, learns="everything")
    cell = Cell("chat", "small", run, (TEXT, RECALL), samples=samples, base=small_base()).on(str(model))
    done = measure_cell(cell, folder, Silent())
    assert done.record.run["model"] == "small"
    assert done.record.method == "linear, factor 8"
    assert len(done.samples["text"]) > 0
    conditions = json.loads((folder / "cells" / cell.label / "conditions.json").read_text())
    assert conditions["model"]["weights"] == load_checkpoint(model).weights
    assert conditions["run"]["model"] == "small"


def test_the_chat_route_extends_on_other_conversations_than_it_was_tuned_on():
    untouched, *extended = chat_cells()
    assert untouched.name == f"untouched-{chat_base().name}"
    assert untouched.run is None
    for cell in extended:
        assert cell.base == untouched.base
        assert cell.samples.learns == "everything"
        assert cell.samples.seed != cell.base.samples.seed
        assert cell.run.data.packing == "none"
        assert cell.untouched == untouched.name
