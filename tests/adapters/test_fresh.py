"""A model of random weights is the built-in one in another size, drawn from its seed and from nothing else."""

from __future__ import annotations

import pytest
import torch

from ropewalk import adapters
from ropewalk.adapters import Shape, write_fresh_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh") / "model"
    write_fresh_model(Shape(layers=1, width=128), folder)
    return folder


def test_it_turns_its_pairs_as_the_built_in_model_does(folder):
    ours, builtin = (adapters.read_model_config(source).rope for source in (folder, "builtin"))
    assert ours == builtin
    model = adapters.load_model(folder)
    assert (model.config.num_attention_heads, model.config.hidden_size, len(model.model.layers)) == (2, 128, 1)
    assert model.config.tie_word_embeddings


def test_weights_have_the_spread_that_transformers_gives_them(folder):
    model = adapters.load_model(folder)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    assert all(p.std().item() == pytest.approx(0.02, rel=0.03) for p in matrices)
    assert all(bool((p == 1).all()) for p in model.parameters() if p.ndim == 1)


def test_it_is_drawn_from_its_seed_and_moves_no_global_generator(folder, tmp_path):
    state = torch.random.get_rng_state()
    for seed in (0, 1):
        write_fresh_model(Shape(layers=1, width=128), tmp_path / str(seed), seed=seed)
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [adapters.load_model(f).get_input_embeddings().weight for f in (folder, tmp_path / "0", tmp_path / "1")]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
