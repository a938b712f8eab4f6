"""A batch always carries a mask; documents are told apart by segments alone."""

from __future__ import annotations

import torch

from ropewalk.data.collate import IGNORED, PADDING, block_mask, collate


def window(segments: list[int], positions: list[int] | None = None) -> dict[str, torch.Tensor]:
    size = len(segments)
    return {
        "input_ids": torch.arange(size),
        "labels": torch.arange(size),
        "position_ids": torch.tensor(positions or list(range(size))),
        "segment_ids": torch.tensor(segments),
    }


def test_one_document_gets_ones_however_its_positions_skip():
    batch = collate([window([0, 0, 0, 0], [0, 1, 50, 51]), window([0, 0, 0, 0])])
    assert batch["attention_mask"].shape == (2, 4)
    assert (batch["attention_mask"] == 1).all()
    assert "segment_ids" not in batch


def test_several_documents_get_a_block_mask_that_is_causal_within_each():
    batch = collate([window([0, 0, 1, 1]), window([0, 0, 0, 0])])
    mask = batch["attention_mask"]
    assert mask.shape == (2, 1, 4, 4)
    allowed = (mask == 0).squeeze(1)
    assert allowed[0].tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, True, True],
    ]
    assert torch.equal(allowed[1], torch.ones(4, 4, dtype=torch.bool).tril())


def test_a_block_mask_never_opens_a_later_key():
    segments = torch.randint(0, 3, (3, 20), generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    assert (block_mask(segments).squeeze(1).triu(1)[torch.ones(3, 20, 20).triu(1) == 1] < 0).all()


def test_padding_is_marked_and_cut_off_where_all_rows_have_it():
    batch = collate([window([0, 0, PADDING, PADDING, PADDING]), window([0, 0, 0, PADDING, PADDING])])
    assert batch["input_ids"].shape == (2, 3)
    assert batch["padding"].tolist() == [[False, False, True], [False, False, False]]
    assert (batch["attention_mask"] == 1).all()  # nothing before padding sees it
    assert "padding" not in collate([window([0, 0, PADDING])])


def test_targets_are_the_labels_of_the_next_tokens():
    batch = collate([window([0, 0, 0, 0])])
    assert batch["shift_labels"][0].tolist() == [*batch["labels"][0, 1:].tolist(), IGNORED]
