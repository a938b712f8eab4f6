"""`cream` and `pose` are linear frequencies with a sampler."""

import numpy as np
import pytest

from ropewalk import methods, positions
from ropewalk.methods.linear import Linear
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)


@pytest.mark.parametrize("name", ["cream", "pose"])
def test_a_preset_is_linear_with_its_sampler(name):
    preset = methods.get(name).for_target(LLAMA, 32_768)
    assert np.array_equal(preset.frequencies(LLAMA), Linear(8).frequencies(LLAMA))
    assert preset.attention_scale(LLAMA, np.array([0, 32_767]), 4).tolist() == [1.0, 1.0]
    assert preset.sampler == name
    assert positions.get(name).paper == preset.paper


def test_only_presets_bring_a_sampler():
    assert [name for name in methods.names() if methods.get(name).sampler] == ["cream", "pose"]


@pytest.mark.parametrize(("alias", "name"), [("pi", "linear"), ("dynamic", "dynamic-ntk")])
def test_aliases_lead_to_the_same_method(alias, name):
    assert methods.get(alias) is methods.get(name)
