"""From the `[data]` section to windows: what is read, chosen, mixed and kept, and what is reported of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.text_windows import PlainText, text_window

from ropewalk import adapters
from ropewalk.data import sources as sources_module
from ropewalk.data.collate import IGNORED, PADDING
from ropewalk.data.corpus import Corpus, standard_library
from ropewalk.data.documents import encode_all
from ropewalk.data.sources import open_source
from ropewalk.errors import DataError, OptionError
from ropewalk.run.control import control_plan
from ropewalk.run.extension import Silent
from ropewalk.run.plan import resolve
from ropewalk.run.runfile import override, parse_run, read_run
from ropewalk.run.training_data import paths_of, texts_trained_on, training_windows


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def kept(monkeypatch):
    """Every source goes through a file, however small."""
    monkeypatch.setattr(sources_module, "IN_MEMORY_BYTES", -1)


class Heard(Silent):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.parts: list[tuple[str, int, int]] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def advance(self, label: str, done: int, total: int) -> None:
        self.parts.append((label, done, total))


def plan_of(data: dict, *, steps=4, batch=8, seed=0, target=512, recipe=None, positions=None):
    values = {"model": "builtin", "data": data}
    if not recipe:
        values |= {"target_length": target, "train": {"steps": steps, "batch": batch, "seed": seed}}
    if positions:
        values["positions"] = {"name": positions}
    return resolve(parse_run(override(read_run(recipe) if recipe else {}, values), where="test"))


def write_chats(path: Path, sizes) -> Path:
    """Conversations of one exchange; the answer repeats a word so often."""
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"count {number}"},
                                 {"role": "assistant", "content": "word " * size}]})
        for number, size in enumerate(sizes)
    ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def write_texts(path: Path, sizes) -> Path:
    lines = [json.dumps({"text": f"text {number} " + "and more " * size}) for number, size in enumerate(sizes)]
    path.write_text("\n".join(lines) + "\n")
    return path


def items(windows, numbers=None):
    return [windows[number] for number in (range(len(windows)) if numbers is None else numbers)]


def equal(first, second) -> bool:
    return all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)


@pytest.fixture(scope="module")
def built_in(tokenizer):
    """The built-in corpus as lists of tokens."""
    return [row.tolist() for row in encode_all(tokenizer, list(standard_library(held_out=False).documents.values()))]


@pytest.mark.parametrize("which", ["demo", "control", "cream"])
def test_text_windows_of_the_demo_are_those_that_plain_lists_give(which, tokenizer, built_in):
    skipping = {"positions": {"name": "cream"}, "data": {"window": 256}}
    plan = resolve(parse_run(override(read_run("demo"), skipping if which == "cream" else {}), where="demo"))
    plan = control_plan(plan) if which == "control" else plan
    windows, report = training_windows(plan, tokenizer)
    assert report.fingerprint == standard_library(held_out=False).fingerprint
    assert len(windows) == plan.run.train.steps * plan.run.train.batch
    plain = PlainText(built_in, plan.window)
    is_text = [int((number + 1) * 0.4) == int(number * 0.4) for number in range(len(windows))]
    numbers = np.flatnonzero(is_text)
    assert report.sources[0].windows == len(numbers)
    for text_number in range(0, len(numbers), len(numbers) // 25):
        number = int(numbers[text_number])
        expected = text_window(
            plain,
            plan.sampler,
            target_length=plan.target_length,
            seed=0,
            number=number,
            text_number=text_number,
        )
        item = windows[number]
        found = [item[name].tolist() for name in ("input_ids", "labels", "position_ids")]
        assert found == list(expected[:3])
        assert item["segment_ids"].diff().ne(0).tolist() == torch.tensor(expected[3]).diff().ne(0).tolist()


def test_the_fingerprint_of_text_files_is_that_of_their_names_and_texts(tmp_path, tokenizer):
    texts = {str(tmp_path / name): f"{name} " * 4000 for name in ("a.txt", "b.txt")}
    for path, text in texts.items():
        Path(path).write_text(text)
    _, report = training_windows(plan_of({"files": list(texts)}), tokenizer)
    assert report.fingerprint == Corpus(texts).fingerprint
    assert report.describe() == "2 documents"
    _, other = training_windows(plan_of({"files": [*texts][:1]}), tokenizer)
    assert other.fingerprint != report.fingerprint


def test_conversations_are_fitted_and_texts_are_filled_unless_the_run_says_otherwise(tmp_path, tokenizer):
    chats, texts = write_chats(tmp_path / "c.jsonl", [20] * 9), write_texts(tmp_path / "t.jsonl", [200] * 9)
    sources = [{"path": str(chats)}, {"path": str(texts)}, {"path": str(texts), "packing": "none"}]
    _, report = training_windows(plan_of({"sources": sources}), tokenizer)
    assert [source.packing for source in report.sources] == ["best-fit", "fill", "none"]
    _, report = training_windows(plan_of({"sources": sources, "packing": "best-fit"}), tokenizer)
    assert [source.packing for source in report.sources] == ["best-fit", "best-fit", "none"]


def test_answers_alone_are_learnt_and_the_report_counts_them(tmp_path, tokenizer):
    chats = write_chats(tmp_path / "c.jsonl", [20, 30])
    plan = plan_of({"files": [str(chats)], "packing": "none"}, steps=1, batch=2)
    windows, report = training_windows(plan, tokenizer)
    learnt = 0
    for item in items(windows):
        labels = item["labels"][item["labels"] != IGNORED]
        learnt += len(labels)
        answer = tokenizer.decode(labels)
        assert answer.split() in (["word"] * 20 + ["<|endoftext|>"], ["word"] * 30 + ["<|endoftext|>"])
        assert (item["segment_ids"] == PADDING).any()
    source = report.sources[0]
    assert source.report.supervised == learnt
    assert source.report.template == "plain"
    assert (source.windows, source.windows_per_sweep, source.sweeps) == (2, 2, 1.0)
    assert 0 < source.padding_share < 1
    assert report.describe() == "2 conversations"
    assert "2 windows (none), 1.0 sweeps of 2, " in str(report)


def test_a_hundred_examples_in_batches_of_32_are_six_steps_of_whole_batches(tmp_path, tokenizer):
    chats = write_chats(tmp_path / "c.jsonl", range(10, 130))
    plan = plan_of({"files": [str(chats)]}, recipe="entropy-abf-100")
    windows, report = training_windows(plan, tokenizer)
    assert len(windows) == 6 * 32
    source = report.sources[0]
    assert (source.windows_per_sweep, source.sweeps) == (96, 2.0)
    assert source.report.used == 100
    (reason,) = source.report.dropped
    assert (reason.kind, reason.examples, reason.first[0][:8]) == ("not among the 100 drawn", 20, "c.jsonl:")
    sweeps = [{windows.describe(number) for number in range(start, start + 96)} for start in (0, 96)]
    assert [len(sweep) for sweep in sweeps] == [96, 96]
    assert sweeps[0] != sweeps[1]
    assert len(sweeps[0] | sweeps[1]) <= 100


def test_another_seed_draws_other_examples(tmp_path, tokenizer):
    texts = write_texts(tmp_path / "t.jsonl", [200] * 30)
    used = []
    for seed in (0, 0, 1):
        windows, _ = training_windows(
            plan_of({"files": [str(texts)], "examples": 5, "packing": "none"}, seed=seed), tokenizer
        )
        used.append({windows.describe(number) for number in range(len(windows))})
    assert used[0] == used[1] != used[2]
    assert [len(names) for names in used] == [5, 5, 5]


def test_examples_below_the_smallest_length_are_left_out_and_counted_with_their_places(tmp_path, tokenizer):
    texts = write_texts(tmp_path / "t.jsonl", [5, 300, 6, 400, 7])
    plan = plan_of({"files": [str(texts)], "min_tokens": 100})
    _, report = training_windows(plan, tokenizer)
    source = report.sources[0].report
    assert (source.read, source.used) == (5, 2)
    assert [str(reason) for reason in source.dropped] == [
        "3 x shorter than 100 tokens (t.jsonl:1, t.jsonl:3, t.jsonl:5)"
    ]
    lengths = open_source([str(texts)], tokenizer, window=512).store.lengths
    assert source.tokens == source.supervised == lengths[[1, 3]].sum()


def test_a_split_conversation_is_as_long_as_all_its_pieces(tmp_path, tokenizer):
    turns = [{"from": who, "value": "word " * 100} for _ in range(6) for who in ("human", "gpt")]
    (tmp_path / "long.jsonl").write_text(json.dumps({"conversations": turns}) + "\n")
    plan = plan_of({"files": [str(tmp_path / "long.jsonl")], "min_tokens": 600})
    windows, report = training_windows(plan, tokenizer)
    assert report.sources[0].report.used == 1
    assert len(windows.sources[0].store) > 1
    assert windows.sources[0].store.lengths.max() <= 512


def test_nothing_left_is_refused_with_the_longest_there_is(tmp_path, tokenizer):
    texts = write_texts(tmp_path / "t.jsonl", [5, 300])
    longest = open_source([str(texts)], tokenizer, window=512).store.lengths.max()
    with pytest.raises(
        DataError, match=rf"min_tokens = 10,000 tokens; the longest of the 2 in '.*' has {longest}\. Lower"
    ):
        training_windows(plan_of({"files": [str(texts)], "min_tokens": 10_000}), tokenizer)


def test_sources_are_mixed_by_weight_and_each_is_reported(tmp_path, tokenizer):
    paths = [str(write_texts(tmp_path / f"{name}.jsonl", [300] * 12)) for name in "ab"]
    sources = [{"path": paths[0], "weight": 60}, {"path": paths[1], "weight": 40}]
    plan = plan_of({"sources": sources, "recall_share": 0.25}, steps=5, batch=8)
    windows, report = training_windows(plan, tokenizer)
    names = [windows.describe(number) for number in range(40)]
    assert sum(name.startswith("a.jsonl") for name in names) == 18
    assert sum(name.startswith("b.jsonl") for name in names) == 12
    assert names.count("a synthetic recall task") == 10
    assert [source.windows for source in report.sources] == [18, 12]
    assert report.recall_windows == 10
    assert report.describe() == f"12 documents of {paths[0]} (18 windows), 12 documents of {paths[1]} (12 windows)"
    assert str(report).endswith("\nsynthetic recall: 10 windows")
    assert paths_of(plan.run.data) == paths


def test_a_source_given_twice_as_a_file_is_read_once(tmp_path, tokenizer):
    texts = str(write_texts(tmp_path / "t.jsonl", [300] * 4))
    _, report = training_windows(plan_of({"files": [texts, texts]}), tokenizer)
    assert report.sources[0].report.read == 4


def test_a_kept_source_gives_the_windows_of_one_in_memory_and_is_found_again(tmp_path, tokenizer, monkeypatch, cache):
    chats, texts = write_chats(tmp_path / "c.jsonl", range(40)), write_texts(tmp_path / "t.jsonl", range(0, 400, 9))
    plan = plan_of({"sources": [{"path": str(chats)}, {"path": str(texts)}]})
    in_memory, report = training_windows(plan, tokenizer)
    assert not cache.exists()
    monkeypatch.setattr(sources_module, "IN_MEMORY_BYTES", -1)
    first, second = Heard(), Heard()
    made, made_report = training_windows(plan, tokenizer, first)
    found, found_report = training_windows(plan, tokenizer, second)
    assert equal(items(made), items(in_memory))
    assert equal(items(found), items(in_memory))
    assert report == made_report == found_report
    assert len(list(cache.iterdir())) == 2
    assert first.parts
    assert second.parts == second.stages == []


def test_how_far_the_tokens_are_is_told_in_megabytes_up_to_all_of_them(tmp_path, tokenizer, kept, monkeypatch):
    monkeypatch.setattr(sources_module, "TOGETHER_CHARACTERS", 2**18)
    texts = write_texts(tmp_path / "t.jsonl", [9000] * 40)
    heard = Heard()
    training_windows(plan_of({"files": [str(texts)]}), tokenizer, heard)
    assert heard.parts == [("megabytes of text", done, 4) for done in (1, 2, 3, 4)]
    (line,) = heard.stages
    assert f"{texts}: 3 MB of text became " in line
    assert line.endswith("MB/s)")


@pytest.mark.parametrize("change", ["content", "tokenizer", "column", "template"])
def test_tokens_are_made_anew_when_what_they_depend_on_changes(change, tmp_path, kept, cache):
    texts = (
        write_chats(tmp_path / "c.jsonl", range(40))
        if change == "template"
        else write_texts(tmp_path / "t.jsonl", range(40))
    )
    tokenizer, column = adapters.load_tokenizer("builtin"), None
    open_source([str(texts)], tokenizer, window=512)
    if change == "content":
        texts.write_text(texts.read_text() + json.dumps({"text": "new"}) + "\n")
    elif change == "tokenizer":
        tokenizer.add_tokens(["and more"])
    elif change == "column":
        column = "text"
    else:
        tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    again = open_source([str(texts)], tokenizer, window=512, column=column)
    assert again.pace is not None
    assert len(list(cache.iterdir())) == 2


def test_tokens_of_texts_serve_every_window_and_those_of_conversations_their_own(tmp_path, tokenizer, kept, cache):
    texts, chats = write_texts(tmp_path / "t.jsonl", range(40)), write_chats(tmp_path / "c.jsonl", [400] * 3)
    for window in (512, 256):
        open_source([str(texts)], tokenizer, window=window)
    assert len(list(cache.iterdir())) == 1
    sizes = [int(open_source([str(chats)], tokenizer, window=window).store.lengths.max()) for window in (512, 256)]
    assert sizes[1] <= 256 < sizes[0] <= 512
    assert len(list(cache.iterdir())) == 3


def test_padding_that_a_tokenizer_was_asked_for_once_is_no_other_tokenizer(tmp_path, kept):
    texts = write_texts(tmp_path / "t.jsonl", range(40))
    tokenizer = adapters.load_tokenizer("builtin")
    open_source([str(texts)], tokenizer, window=512)
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=4)
    again = open_source([str(texts)], tokenizer, window=512)
    assert again.pace is None
    assert open_source([str(texts)], tokenizer, window=512, column="text").store[7].tolist() == again.store[7].tolist()


def test_one_long_text_becomes_one_document_however_it_is_read(tmp_path, tokenizer, kept):
    text = "a line of some words\n" * 150_000  # 3 MB: several pieces
    (tmp_path / "long.txt").write_text(text)
    source = open_source([str(tmp_path / "long.txt")], tokenizer, window=512)
    assert len(source.store) == 1
    assert source.store.name(0) == str(tmp_path / "long.txt")
    assert tokenizer.decode(source.store[0]) == text
    assert source.fingerprint == Corpus({str(tmp_path / "long.txt"): text}).fingerprint


def test_a_data_set_that_neither_lies_here_nor_is_found_on_the_hub_is_refused(tokenizer, monkeypatch):
    import huggingface_hub

    def offline(name):
        raise OSError("we could not connect")

    monkeypatch.setattr(huggingface_hub, "dataset_info", offline)
    with pytest.raises(
        DataError, match=r"'hub:nobody/nothing:small@train' is no folder, and the hub says: we could not"
    ):
        open_source(["hub:nobody/nothing:small@train"], tokenizer, window=512)


def test_text_that_a_run_trains_on_is_recognised_from_beginning_to_end(tmp_path):
    (tmp_path / "whole.txt").write_text("one text\n")
    texts = write_texts(tmp_path / "t.jsonl", [3, 4])
    chats = write_chats(tmp_path / "c.jsonl", [3])
    data = plan_of({"sources": [{"path": str(path)} for path in (tmp_path / "whole.txt", texts, chats)]}).run.data
    asked = {"one text\n", "one text", "text 1 " + "and more " * 4, "word word word "}
    assert texts_trained_on(data, asked) == {"one text\n", "text 1 " + "and more " * 4}


def test_large_text_is_tokenized_and_packed_in_bounded_memory(tmp_path):
    rng = np.random.default_rng(0)
    words = "import return class def self value number print while yield raise lambda".split()
    lines = [json.dumps({"text": " ".join(rng.choice(words, size=size))}) for size in rng.integers(50, 3000, size=60)]
    block = "\n".join(lines) + "\n"
    files = [tmp_path / "small.jsonl", tmp_path / "large.jsonl"]
    for file, megabytes in zip(files, (4, 30), strict=True):
        file.write_text(block * (megabytes * 10**6 // len(block)))
    script = Path(__file__).with_name("peak_memory.py")
    found = subprocess.run([sys.executable, str(script), *map(str, files)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    small, large, at_once = (int(number) for number in found.stdout.split())
    more = files[1].stat().st_size - files[0].stat().st_size
    assert large - small < 0.25 * more
    assert at_once > 0.5 * more  # this measure sees who holds all tokens


def test_recall_tasks_need_windows_that_hold_them(tokenizer):
    with pytest.raises(OptionError, match="at least 256 tokens; got windows of 128"):
        training_windows(plan_of({"files": ["builtin"], "recall_share": 0.5, "window": 128}), tokenizer)
