"""NTK-by-parts in its three forms against the oracle, and the ramp's ends against those of released checkpoints."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from methods.geometries import assert_agrees, factors, ropes
from oracles import frequency_rules

from ropewalk.methods.ntk_by_parts import NtkByParts, correction_range, kept_share
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10_000.0, trained_length=4096)
PLACES = [21, 30, 33, 40, 45, 46]
betas = st.tuples(st.floats(0.2, 8), st.floats(1.1, 60)).map(lambda pair: (pair[0] * pair[1], pair[0]))


@given(rope=ropes(), factor=factors, ends=betas, truncate=st.booleans(), ramp=st.sampled_from(["index", "revised"]))
@example(rope=LLAMA, factor=8.0, ends=(32.0, 1.0), truncate=True, ramp="index")
@example(
    rope=Rope(head_dim=16, base=1e4, trained_length=128), factor=8.0, ends=(32.0, 1.0), truncate=True, ramp="index"
)
def test_index_ramps_agree_with_the_oracle(rope, factor, ends, truncate, ramp):
    fast, slow = ends
    low, high = frequency_rules.correction_range(rope.head_dim, rope.base, rope.trained_length, fast, slow, False)
    assume(low < high)  # else the released code's ramp runs backwards; see below
    # A rounding may fall to either side where the fractional index is a whole number.
    assume(min(abs(end - round(end)) for end in (low, high)) > 1e-9 or not truncate)
    kept = frequency_rules.kept_by_index(rope.head_dim, rope.base, rope.trained_length, fast, slow, truncate)
    blend = frequency_rules.revised_blend if ramp == "revised" else frequency_rules.blend
    expected = blend(frequency_rules.plain(rope.head_dim, rope.base), kept, factor)
    method = NtkByParts(factor, fast, slow, ramp, truncate)
    assert_agrees(method.frequencies(rope), expected, tolerance=1e-9)


@given(rope=ropes(), factor=factors, ends=betas)
def test_the_printed_ramp_agrees_with_the_oracle(rope, factor, ends):
    fast, slow = ends
    kept = frequency_rules.kept_by_turns(rope.head_dim, rope.base, rope.trained_length, fast, slow)
    expected = frequency_rules.blend(frequency_rules.plain(rope.head_dim, rope.base), kept, factor)
    assert_agrees(NtkByParts(factor, fast, slow, "turns").frequencies(rope), expected, tolerance=1e-9)


@pytest.mark.parametrize(
    ("head_dim", "base", "trained_length", "ends"),
    [
        (128, 1e4, 2048, (16, 41)),
        (128, 1e4, 4096, (20, 46)),
        (128, 1e4, 8192, (25, 50)),
        (128, 5e5, 8192, (18, 35)),
        (64, 1e4, 2048, (8, 21)),
        (64, 1e4, 4096, (10, 23)),
        (64, 1e4, 1024, (5, 18)),
        (32, 1e4, 256, (0, 7)),
        (32, 1e4, 512, (1, 8)),
        (16, 1e4, 128, (0, 3)),
    ],
)
def test_the_ramp_ends_where_released_code_ends_it(head_dim, base, trained_length, ends):
    assert correction_range(Rope(head_dim, base, trained_length), 32, 1, truncate=True) == ends


@pytest.mark.parametrize(
    ("trained_length", "ends"), [(2048, (16.128, 40.210)), (4096, (20.9445, 45.0269)), (8192, (25.761, 49.843))]
)
def test_without_truncation_the_ramp_ends_between_pairs(trained_length, ends):
    rope = Rope(head_dim=128, base=10_000.0, trained_length=trained_length)
    assert correction_range(rope, 32, 1, truncate=False) == pytest.approx(ends, abs=6e-4)


@pytest.mark.parametrize(
    ("ramp", "factor", "kept_frequency"),
    [
        ("index", 8, [0.966346, 0.663462, 0.5625, 0.326923, 0.158654, 0.125]),
        ("revised", 8, [0.787879, 0.270833, 0.222222, 0.156627, 0.129353, 0.125]),
        ("index", 16, [0.963942, 0.639423, 0.53125, 0.278846, 0.098558, 0.0625]),
    ],
)
def test_golden_frequencies_on_the_ramp(ramp, factor, kept_frequency):
    assert 1 / NtkByParts(factor, ramp=ramp).stretch(LLAMA)[PLACES] == pytest.approx(kept_frequency, abs=5e-7)


@pytest.mark.parametrize(("factor", "ratio"), [(4, 1.5625), (8, 2.53125), (16, 4.515625)])
def test_the_revised_ramp_is_slower_in_the_middle_by_the_closed_form(factor, ratio):
    standard, revised = (NtkByParts(factor, ramp=ramp).frequencies(LLAMA) for ramp in ("index", "revised"))
    assert int(np.argmax(standard / revised)) == 33
    assert float((standard / revised).max()) == pytest.approx(ratio)
    assert ratio == (factor + 1) ** 2 / (4 * factor)


def test_printed_and_released_ramp_differ_by_as_much_as_the_docstring_says():
    ratio = NtkByParts(16, ramp="turns").stretch(LLAMA) / NtkByParts(16).stretch(LLAMA)
    assert (np.abs(ratio - 1) > 0.01).sum() == 25
    assert np.maximum(ratio, 1 / ratio).max() == pytest.approx(3.04, abs=0.005)


@pytest.mark.parametrize(
    ("rope", "kept"),
    [(Rope(head_dim=64, base=1e4, trained_length=4), 0.0), (Rope(head_dim=8, base=2.0, trained_length=10_000), 1.0)],
)
def test_a_ramp_outside_the_head_does_not_run_backwards(rope, kept):
    """All pairs are slow, or all are fast; the released code then stretches the wrong ones."""
    ours = kept_share(rope, 32, 1, "index", truncate=True)
    assert ours[1:].tolist() == [kept] * (rope.pairs - 1)
    released = frequency_rules.kept_by_index(rope.head_dim, rope.base, rope.trained_length, 32, 1, True)
    assert released[1:] == [1 - kept] * (rope.pairs - 1)


def test_the_oracle_refuses_an_upside_down_ramp():
    kept = 1 - kept_share(LLAMA, 32, 1, "index", truncate=True)
    with pytest.raises(AssertionError):
        assert_agrees(kept, frequency_rules.kept_by_index(128, 1e4, 4096, 32, 1, True), 1e-3)


def test_the_oracle_tells_the_three_ramps_apart():
    kept = frequency_rules.kept_by_index(128, 1e4, 4096, 32, 1, True)
    expected = frequency_rules.blend(frequency_rules.plain(128, 1e4), kept, 8)
    for ramp in ("turns", "revised"):
        with pytest.raises(AssertionError):
            assert_agrees(NtkByParts(8, ramp=ramp).frequencies(LLAMA), expected, 1e-3)
    with pytest.raises(AssertionError):
        assert_agrees(NtkByParts(8, truncate=False).frequencies(LLAMA), expected, 1e-3)
