"""Listing function names: training and exam ask in the same words, and a cut text is asked for all names."""

from __future__ import annotations

import json

import pytest

from ropewalk import adapters
from ropewalk.cells.runs import recipe
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import encode
from ropewalk.evals.store import read_evaluation
from ropewalk.reproduce import function_names
from ropewalk.reproduce.function_names import AFTER, BEFORE, ROOM, ListingExam, ListingExamples, listings
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows

WINDOW, CUT = 512, 192
FEW = ("argparse.py", "ast.py", "textwrap.py")


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


@pytest.fixture(scope="module")
def documents():
    every = standard_library(held_out=False).documents | standard_library(held_out=True).documents
    return {name: every[name] for name in FEW if name in every}


@pytest.fixture(scope="module")
def found(tokenizer, documents):
    return list(listings(tokenizer, documents, window=WINDOW))


def test_names_are_those_of_the_functions_in_the_stretch_in_order(documents, found):
    for listing in found:
        assert listing.text in documents[listing.module]
        lines = [line.strip().removeprefix("async ") for line in listing.text.splitlines()]
        names = [line[4:].split("(")[0].strip() for line in lines if line.startswith("def ") and "(" in line]
        assert [name for name in listing.names.split() if name in names] == list(dict.fromkeys(names))
        assert len(listing.names.split()) >= 2


def test_a_cut_text_is_the_beginning_and_is_asked_for_all_names(tokenizer, documents, found):
    cut = {listing.name: listing for listing in listings(tokenizer, documents, window=WINDOW, cut=CUT)}
    assert cut.keys() <= {listing.name for listing in found}
    assert len(cut) > len(found) // 2
    for listing in found:
        if listing.name in cut:
            assert listing.text.startswith(cut[listing.name].text)
            assert cut[listing.name].names == listing.names
            assert len(encode(tokenizer, cut[listing.name].text)) <= CUT - ROOM


@pytest.fixture
def few_modules(monkeypatch, documents):
    """The training modules are few, so that a test takes a second."""
    corpus = type("Few", (), {"documents": documents})
    monkeypatch.setattr(function_names, "standard_library", lambda *, held_out: corpus)


@pytest.mark.parametrize("cut", [None, CUT])
def test_training_learns_the_names_alone_behind_the_prompt_of_the_exam(tmp_path, tokenizer, few_modules, cut):
    file = ListingExamples(WINDOW, cut, seed=0).write(tmp_path, tokenizer)
    length = cut or max(WINDOW, 256)
    run = recipe(
        "reproduce-pi-names",
        target_length=max(length, 256),
        method={"name": "none"},
        train={"steps": 1, "batch": 4, "micro_batch": 1, "precision": "float32"},
        data={"files": [str(file)], "window": length},
    )
    windows, report = training_windows(resolve(run), tokenizer)
    assert report.sources[0].report.noted == (), "no conversation is split or cut"
    first = json.loads(file.read_text().splitlines()[0])["messages"]
    wanted = {
        BEFORE + first[0]["content"].removesuffix(AFTER.removesuffix("\nASSISTANT:")) + AFTER: first[1]["content"]
    }
    seen = {}
    for number in range(windows.sources[0].stretches):
        item = windows[number]
        learnt = item["labels"] != -100
        prompt = item["input_ids"][: int(learnt.int().argmax())].tolist()
        seen[tokenizer.decode(prompt, clean_up_tokenization_spaces=False)] = tokenizer.decode(item["labels"][learnt])
    (prompt,) = wanted
    assert seen[prompt] == f" {wanted[prompt]}<|endoftext|>"


def test_examples_of_another_seed_come_in_another_order(tmp_path, tokenizer, few_modules):
    files = [ListingExamples(WINDOW, None, seed).write(tmp_path, tokenizer) for seed in (0, 1)]
    first, second = (file.read_text().splitlines() for file in files)
    assert first != second
    assert sorted(first) == sorted(second)


def test_the_exam_scores_every_stretch_by_three_measures_in_clusters_of_modules(tmp_path, monkeypatch):
    monkeypatch.setattr(function_names, "ANSWER_TOKENS", 8)  # a summary of seconds
    exam = ListingExam("names", "validation", 256, 192, per_document=1)
    exam.require()
    exam.measure(load_checkpoint("builtin"), tmp_path / "names", None)
    result, samples = read_evaluation(tmp_path / "names")
    assert exam.read(tmp_path / "names") == (result.data, samples)
    assert {s.measure for s in samples} == {"rouge1", "rouge2", "rougeL"}
    assert len(samples) == 3 * len({s.cluster for s in samples}) > 3
    assert all(s.length == 192 and s.sample.startswith(f"{s.cluster}@") and 0 <= s.value <= 1 for s in samples)
