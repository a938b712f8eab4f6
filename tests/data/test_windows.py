"""The training set is a map: a window depends on its number and the seed, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ropewalk import positions
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.data.windows import IGNORED, TextStretches, TrainingWindows, pack
from ropewalk.errors import DataError


def documents(*sizes: int) -> list[np.ndarray]:
    """Each token says which document and which place it is: document * 10 000 + place."""
    return [np.arange(size, dtype=np.int64) + 10_000 * (number + 1) for number, size in enumerate(sizes)]


def windows(sampler: str = "contiguous", *, sizes=(100, 70, 50), window=16, target=64, size=40, seed=3, **options):
    text = TextStretches(documents(*sizes), window=window, reach=target, seed=seed)
    return TrainingWindows(text, positions.get(sampler)(), target_length=target, size=size, seed=seed, **options)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("sampler", positions.names())
def test_a_window_is_the_same_in_whatever_order_and_by_whichever_worker_it_is_read(sampler):
    options = {"window": 16, "target": 16 if positions.get(sampler).trains_at_target else 64}
    forwards, backwards = windows(sampler, **options), windows(sampler, **options)
    items = [forwards[n] for n in range(40)]
    for number in reversed(range(40)):
        assert same(items[number], backwards[number])


def test_another_seed_gives_other_windows():
    assert not same(windows(seed=3)[0], windows(seed=4)[0])


def test_each_sweep_reads_every_stretch_once_and_in_its_own_order():
    text = TextStretches(documents(100, 70, 50), window=16, reach=16, seed=1)
    assert len(text) == 6 + 4 + 3
    sweeps = [[int(text.stretch(n).tokens[0]) // 10_000 for n in range(s * 13, s * 13 + 13)] for s in range(2)]
    assert sorted(sweeps[0]) == sorted(sweeps[1]) == [1] * 6 + [2] * 4 + [3] * 3
    starts = [[int(text.stretch(n).tokens[0]) for n in range(s * 13, s * 13 + 13)] for s in range(2)]
    assert starts[0] != starts[1]
    for sweep in starts:
        covered = [token + k for token in sweep for k in range(16)]
        assert len(set(covered)) == len(covered)


def test_text_windows_are_consecutive_text_of_one_document():
    for number in range(40):
        item = windows()[number]
        assert (item["input_ids"].diff() == 1).all()
        assert item["position_ids"].tolist() == list(range(16))
        assert item["labels"][0] == IGNORED
        assert torch.equal(item["labels"][1:], item["input_ids"][1:])


def test_skipping_positions_never_touch_the_segments():
    for number in range(40):
        item = windows("cream", target=128, window=16)[number]
        assert (item["segment_ids"] == 0).all()
        assert (item["position_ids"].diff() >= 1).all()
        assert int(item["position_ids"][-1]) == 127


def test_short_documents_are_packed_with_borders_restarted_positions_and_no_label_across_a_border():
    item = windows(sizes=(7, 5, 9, 11, 16), window=16)[0]
    packed = [windows(sizes=(7, 5, 9, 11), window=16)[n] for n in range(4)]
    assert (item["segment_ids"] == 0).all() or len(item["segment_ids"].unique()) > 1
    for item in packed:
        starts = (item["segment_ids"].diff(prepend=torch.tensor([-1]))).nonzero().flatten()
        assert len(starts) > 1
        assert (item["position_ids"][starts] == 0).all()
        assert (item["labels"][starts] == IGNORED).all()
        for start in starts[1:]:
            assert item["input_ids"][start] // 10_000 != item["input_ids"][start - 1] // 10_000


def test_packing_keeps_every_token_but_the_last_unfilled_window():
    packs = pack(documents(7, 5, 9, 11), 16)
    tokens = np.concatenate([p.tokens for p in packs])
    assert len(packs) == 2
    assert len(np.unique(tokens)) == 32


def test_text_shorter_than_one_window_is_refused_with_both_numbers():
    with pytest.raises(DataError, match=r"at least one window of 64 tokens; the 2 given document\(s\) have 30 tokens"):
        TextStretches(documents(10, 20), window=64, reach=64, seed=0)


def characters(piece: str) -> np.ndarray:
    return np.array([ord(c) for c in piece], dtype=np.int64)


def test_recall_windows_take_exactly_their_share_spread_evenly_and_text_is_still_read_once_per_sweep():
    recall = RecallWindows(characters, characters("some text " * 200), 600, shortest_passkey=400)
    data = windows(sizes=(6000, 3000), window=600, target=600, size=40, recall=recall, recall_share=0.3)
    kinds = ["text" if data[n]["labels"][1:].min() >= 10_000 else "recall" for n in range(40)]
    assert kinds.count("recall") == 12
    assert all(kinds[start : start + 10].count("recall") == 3 for start in range(0, 40, 10))
    firsts = [int(data[n]["input_ids"][0]) for n in range(40) if kinds[n] == "text"][:15]
    assert len(set(firsts)) == 15
    for number in range(40):
        if kinds[number] == "recall":
            labels = data[number]["labels"]
            assert len(labels) == 600
            assert (labels != IGNORED).any()
            answers = "".join(chr(t) for t in labels[labels != IGNORED])
            assert "".join(answers.split()).isdigit()
