"""The last token of a training window sees the first, however the positions skip; without a mask it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ropewalk import positions
from ropewalk.data.collate import collate
from ropewalk.errors import SelfTestError
from ropewalk.sampler import sample_generator
from ropewalk.train.reach import check_reach, first_token_gradient


def skipping_window(sampler: str) -> dict[str, torch.Tensor]:
    drawn = positions.get(sampler)().positions(sample_generator(0, 3), window=32, target_length=256)
    assert (np.diff(drawn) > 1).any()
    return {
        "input_ids": torch.arange(32),
        "labels": torch.arange(32),
        "position_ids": torch.from_numpy(drawn),
        "segment_ids": torch.zeros(32, dtype=torch.long),
    }


def without_mask(windows):
    batch = collate(windows)
    del batch["attention_mask"]
    return batch


@pytest.mark.parametrize("sampler", ["cream", "pose", "randpos"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_gradient_of_the_last_token_reaches_the_first_segment(tiny_llama, sampler, attention):
    model = tiny_llama()
    model.set_attn_implementation(attention)
    window = skipping_window(sampler)
    assert first_token_gradient(model, collate([window])) > 0
    check_reach(model, window, collate)


@pytest.mark.parametrize("sampler", ["cream", "pose", "randpos"])
def test_the_check_bites_when_the_mask_is_left_out(tiny_llama, sampler):
    window = skipping_window(sampler)
    assert first_token_gradient(tiny_llama(), without_mask([window])) == 0
    with pytest.raises(SelfTestError, match="must depend on the first, else the model trains on fragments"):
        check_reach(tiny_llama(), window, without_mask)


def test_a_packed_window_is_checked_within_its_first_document(tiny_llama):
    window = skipping_window("cream") | {"segment_ids": (torch.arange(32) > 20).long()}
    check_reach(tiny_llama(), window, collate)
    mask = collate([window])["attention_mask"]
    assert first_token_gradient(tiny_llama(), {**window_batch(window), "attention_mask": mask}) == 0


def window_batch(window):
    return {name: value[None] for name, value in window.items() if name != "segment_ids"}
