"""Logits depend on differences of positions only, against an oracle that rotates query and key one pair at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import logit_scales, rotation

from ropewalk.methods.abf import Abf
from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.methods.linear import Linear
from ropewalk.methods.ntk import Ntk
from ropewalk.methods.yarn import Yarn
from ropewalk.rope import Rope

ROPE = Rope(head_dim=16, base=500.0, trained_length=256)
RNG_STATES = st.integers(0, 2**32)


def vectors(seed):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=8) + 1j * rng.normal(size=8)).tolist() for _ in range(2)]


@pytest.mark.parametrize("method", [Linear(8), Ntk(8), Yarn(8), Abf()], ids=lambda method: method.name)
@given(seed=RNG_STATES, query=st.integers(0, 2047), key=st.integers(0, 2047), shift=st.sampled_from([1, 777, 10**5]))
@settings(max_examples=30)
def test_a_shift_of_all_positions_changes_no_logit(method, seed, query, key, shift):
    frequencies = method.frequencies(ROPE).tolist()
    scale = method.attention_scale(ROPE, np.array([query, query + shift]), 5)
    here = scale[0] * rotation.logit(*vectors(seed), query, key, frequencies)
    there = scale[1] * rotation.logit(*vectors(seed), query + shift, key + shift, frequencies)
    assert here == pytest.approx(there, abs=1e-4)


@given(seed=RNG_STATES, key=st.integers(0, 100), distance=st.integers(0, 100))
@settings(max_examples=30)
def test_entropy_abf_is_shift_invariant_inside_the_window_and_scaled_once_beyond(seed, key, distance):
    frequencies = EntropyAbf().frequencies(ROPE).tolist()

    def logit(shift):
        query = key + distance + shift
        scale = EntropyAbf().attention_scale(ROPE, np.array([query]), 2)[0]
        return scale * rotation.logit(*vectors(seed), query, key + shift, frequencies)

    assert logit(55) == pytest.approx(logit(0), abs=1e-9)
    expected = logit_scales.entropy_abf(key + distance + 777, 2, 256, 2)
    assert logit(777) == pytest.approx(expected * logit(0), abs=1e-8)
    assert expected > 1.1


def test_the_law_refuses_a_query_rotated_with_other_frequencies_than_its_key():
    """Keys cached before dynamic NTK raised its base."""
    old, new = ROPE.frequencies, Ntk(8).frequencies(ROPE)
    query, key = (np.array(vector) for vector in vectors(0))

    def logit(m, n):
        return ((query * np.exp(1j * m * new)) * np.conj(key * np.exp(1j * n * old))).sum().real

    assert logit(20, 10) != pytest.approx(logit(797, 787), abs=1e-4)
