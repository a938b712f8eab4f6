"""A target counts for more exactly where what tells it stands further away than the original window reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ropewalk import positions
from ropewalk.data.collate import IGNORED, SHIFT_WEIGHTS, WEIGHTS, collate
from ropewalk.data.gaps import GapWeights, last_repeats
from ropewalk.data.recall import NOWHERE
from ropewalk.data.recall_windows import RecallWindows
from ropewalk.data.store import TokenStore
from ropewalk.data.windows import TextStretches, TrainingWindows

WINDOW, TARGET = 256, 2048
LETTERS = np.array([ord(letter) for letter in "some plain text that is long enough to fill a window. " * 40])


def training_windows(sampler: str = "cream", *, gaps: GapWeights | None, share: float = 1.0) -> TrainingWindows:
    """Windows of letters, with recall tasks in a share of them."""
    text = TextStretches(TokenStore.of([LETTERS, LETTERS[::-1]]), window=WINDOW, reach=TARGET, seed=0)
    recall = RecallWindows(
        lambda piece: np.array([ord(letter) for letter in piece]),
        LETTERS,
        WINDOW,
        shortest_passkey=224,
        repeat_share=1.0,
    )
    made = positions.get(sampler)()
    options = {"target_length": TARGET, "size": 64, "seed": 3, "recall": recall, "recall_share": share}
    return TrainingWindows([text], made, gaps=gaps, **options)


def test_a_target_is_weighed_by_the_distance_from_the_place_before_it_to_its_evidence():
    told = np.array([NOWHERE, NOWHERE, NOWHERE, 0, 1, 0])
    places = np.array([0, 1, 2, 9, 10, 11])
    weights = GapWeights(3.0, trained_length=9).of_recall(places, told)
    # Predicted at positions 2, 9 and 10, told at 0, 1 and 0: distances 2, 8 and 10.
    assert weights.tolist() == [1, 1, 1, 1, 1, 3]
    assert GapWeights(3.0, trained_length=8).of_recall(places, told).tolist() == [1, 1, 1, 1, 3, 3]


def test_a_pair_of_tokens_is_told_by_the_last_such_pair_of_its_own_document():
    tokens, segments = np.array([5, 6, 7, 5, 6, 5, 6, 5, 6]), np.array([0, 0, 0, 0, 0, 0, 0, 1, 1])
    assert last_repeats(tokens, segments).tolist() == [-1, -1, -1, -1, 1, -1, 4, -1, -1]
    weights = GapWeights(2.0, 3, repeats=True).of_text(np.arange(9) * 2, tokens, segments)
    assert weights.tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1], "distances 4 and 2"
    assert GapWeights(2.0, 3).of_text(np.arange(9) * 2, tokens, segments).tolist() == [1] * 9


@pytest.mark.parametrize("sampler", ["cream", "pose", "contiguous"])
def test_what_is_weighed_in_a_window_is_what_a_slow_reader_finds(sampler):
    windows = training_windows(sampler, gaps=GapWeights(3.0, WINDOW))
    raised = 0
    for number in range(64):
        window = windows[number]
        tokens, places, labels = (window[name].tolist() for name in ("input_ids", "position_ids", "labels"))
        for target in (place for place in range(WINDOW) if labels[place] != IGNORED):
            # The chunk at the end repeats: the only earlier run of the same tokens before it is its evidence.
            size = WINDOW - min(place for place in range(WINDOW) if labels[place] != IGNORED) + 1
            runs = [s for s in range(WINDOW - 2 * size + 1) if tokens[s : s + size] == tokens[-size:]]
            far = places[target - 1] - places[runs[-1] + target - (WINDOW - size)] >= WINDOW
            assert window[WEIGHTS][target] == (3.0 if far else 1.0)
            raised += far
    assert (raised > 100) == (sampler != "contiguous"), "without gaps a window of the old length has none"


def test_weights_change_nothing_else_in_a_window():
    for number in range(20):
        plain, weighed = (training_windows(gaps=gaps, share=0.5)[number] for gaps in (None, GapWeights(3.0, WINDOW)))
        assert weighed.keys() - plain.keys() == {WEIGHTS}
        assert all(torch.equal(plain[name], weighed[name]) for name in plain)


def test_a_batch_has_weights_of_next_tokens_only_where_a_target_is_weighed():
    windows = training_windows(gaps=GapWeights(3.0, WINDOW))
    batch = collate([windows[number] for number in range(8)])
    shifted = torch.stack([windows[number][WEIGHTS] for number in range(8)])[:, 1:]
    assert torch.equal(batch[SHIFT_WEIGHTS][:, :-1], shifted)
    assert (batch[SHIFT_WEIGHTS] == 3).any()
    assert WEIGHTS not in batch
    text_alone = training_windows(gaps=GapWeights(3.0, WINDOW), share=0.0)
    assert SHIFT_WEIGHTS not in collate([text_alone[number] for number in range(4)])


def test_padding_and_packed_documents_are_never_weighed():
    documents = [LETTERS[:100], LETTERS[:90], LETTERS[:70]]
    text = TextStretches(TokenStore.of(documents), window=WINDOW, reach=TARGET, seed=0, packing="best-fit")
    gaps = GapWeights(3.0, WINDOW, repeats=True)
    made = TrainingWindows([text], positions.get("contiguous")(), target_length=TARGET, size=2, seed=0, gaps=gaps)
    window = made[0]
    assert window[WEIGHTS].shape == window["input_ids"].shape == (WINDOW,)
    assert (window[WEIGHTS] == 1).all()
