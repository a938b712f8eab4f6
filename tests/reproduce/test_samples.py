"""Samples that cells bring along are disjoint, one window each, and the same for every method."""

from __future__ import annotations

import json

import pytest

from ropewalk import adapters
from ropewalk.cells.measuring import _with_samples
from ropewalk.data.corpus import standard_library
from ropewalk.errors import DataError
from ropewalk.reproduce.entropy_abf import five
from ropewalk.reproduce.samples import SampleSet
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows


@pytest.fixture(scope="module")
def tokenizer():
    return adapters.load_tokenizer("builtin")


@pytest.fixture(scope="module")
def hundred(tokenizer):
    return SampleSet(100, 1024, seed=0).texts(tokenizer)


def test_each_sample_is_one_window_long_and_never_longer(tokenizer, hundred):
    sizes = [len(tokenizer.encode(text, add_special_tokens=False)) for text in hundred]
    assert len(sizes) == 100
    assert max(sizes) <= 1024
    assert min(sizes) >= 1020


def test_samples_are_cut_from_training_modules_and_do_not_overlap(hundred):
    modules = standard_library(held_out=False).documents.values()
    homes = [next(text.find(sample) for text in modules if sample in text) for sample in hundred[:20]]
    assert min(homes) >= 0
    assert len(set(hundred)) == 100


def test_another_seed_draws_other_samples(tokenizer, hundred):
    assert set(SampleSet(100, 1024, seed=1).texts(tokenizer)) != set(hundred)


def test_more_samples_than_the_modules_hold_are_refused(tokenizer):
    with pytest.raises(DataError, match=r"9999 samples of 4,096 tokens are to be drawn .* they hold \d+"):
        SampleSet(9999, 4096, seed=0).texts(tokenizer)


def test_six_steps_see_three_whole_batches_of_the_same_hundred_in_each_epoch(tmp_path, tokenizer, hundred):
    run = _with_samples(five("entropy-abf", 0).in_precision("float32"), tmp_path)
    (file,) = (tmp_path / "samples").iterdir()
    assert [json.loads(line)["text"] for line in file.read_text().splitlines()] == hundred
    windows, report = training_windows(resolve(run), tokenizer)
    assert len(windows) == 6 * 32
    assert [source.windows_per_sweep for source in report.sources] == [96]
    epochs = [{windows.describe(number) for number in range(start, start + 96)} for start in (0, 96)]
    assert [len(epoch) for epoch in epochs] == [96, 96]
