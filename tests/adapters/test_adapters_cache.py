"""Copies of caches: what a fresh cache computes, without copying the context for every token."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_model

from ropewalk.adapters.cache import RoomyLayer, cache_bytes, selected

CONTEXT, SUFFIX, MORE = 20, 3, 2


@pytest.fixture
def model():
    return tiny_model().eval()


def tokens(model, rows: int, size: int, seed: int) -> torch.Tensor:
    return torch.randint(model.config.vocab_size, (rows, size), generator=torch.Generator().manual_seed(seed))


def logits(model, inputs, cache):
    with torch.inference_mode():
        return model(input_ids=inputs, past_key_values=cache, use_cache=True).logits


def read(model, rows: int = 2):
    context = tokens(model, rows, CONTEXT, 0)
    with torch.inference_mode():
        return context, model(input_ids=context, use_cache=True).past_key_values


@pytest.mark.parametrize("room", [0, SUFFIX, SUFFIX + 1, SUFFIX + MORE, 50])
def test_selected_rows_go_on_as_whole_texts_do_whatever_the_room(model, room):
    context, cache = read(model)
    rows = [1, 0, 1]
    suffix, more = tokens(model, 3, SUFFIX, 1), tokens(model, 3, MORE, 2)
    copied = selected(cache, rows, room)
    got = torch.cat([logits(model, suffix, copied), logits(model, more, copied)], dim=1)
    whole = logits(model, torch.cat([context[rows], suffix, more], dim=1), None)
    torch.testing.assert_close(got, whole[:, CONTEXT:], rtol=1e-4, atol=1e-4)
    other = logits(model, torch.cat([context[[0, 0, 0]], suffix, more], dim=1), None)
    assert (got - other[:, CONTEXT:]).abs().max() > 0.01, "this test would not see the wrong rows"


def test_the_original_stays_as_it_is_and_copies_know_nothing_of_each_other(model):
    _, cache = read(model)
    before = [(layer.keys.clone(), layer.values.clone()) for layer in cache.layers]
    first, second = selected(cache, [0, 0], 9), selected(cache, [0, 0], 9)
    suffix = tokens(model, 2, SUFFIX, 1)
    alone = logits(model, suffix, selected(cache, [0, 0], 9))
    logits(model, tokens(model, 2, SUFFIX, 5), first)
    assert torch.equal(logits(model, suffix, second), alone)
    for layer, (keys, values) in zip(cache.layers, before, strict=True):
        assert torch.equal(layer.keys, keys)
        assert torch.equal(layer.values, values)


def test_rows_are_selected_again_from_a_copy_that_has_grown(model):
    _, cache = read(model)
    suffix, more = tokens(model, 2, SUFFIX, 1), tokens(model, 2, MORE, 2)
    grown = selected(cache, [0, 1], 9)
    logits(model, suffix, grown)
    kept = logits(model, more[1:], selected(grown, [1], 9))
    torch.testing.assert_close(kept, logits(model, more, grown)[1:], rtol=1e-4, atol=1e-4)


def test_tokens_are_written_into_the_room(model):
    _, cache = read(model)
    roomy = selected(cache, [0], SUFFIX)
    places = [layer.keys.data_ptr() for layer in roomy.layers]
    logits(model, tokens(model, 1, SUFFIX, 1), roomy)
    assert [layer.keys.data_ptr() for layer in roomy.layers] == places
    logits(model, tokens(model, 1, MORE, 2), roomy)  # more than there is room for
    assert roomy.get_seq_length() == CONTEXT + SUFFIX + MORE
    assert all(layer.keys.data_ptr() != place for layer, place in zip(roomy.layers, places, strict=True))


def test_a_layer_whose_tensors_were_replaced_grows_from_the_new_ones(model):
    _, cache = read(model)
    roomy = selected(cache, [0, 1], 9)
    roomy.batch_select_indices(torch.tensor([1]))
    suffix = tokens(model, 1, SUFFIX, 1)
    assert all(type(layer) is RoomyLayer for layer in roomy.layers)
    torch.testing.assert_close(logits(model, suffix, roomy), logits(model, suffix, selected(cache, [1], 9)))


def test_bytes_count_keys_and_values(model):
    _, cache = read(model, rows=3)
    config = model.config
    heads, channels = config.num_key_value_heads, config.head_dim
    assert cache_bytes(cache) == 2 * config.num_hidden_layers * 3 * heads * CONTEXT * channels * 4
