"""Text of a bridge: nothing is trained on and measured on, and what is too little is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from bridges import SMALL, TARGET, TRAINED, frame, text_folder

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError
from ropewalk.reproduce.bridge.cells import bridge_cells
from ropewalk.reproduce.bridge.texts import Stretches, TrainingText, bridge_texts


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
