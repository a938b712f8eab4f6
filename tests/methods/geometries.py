"""Random rotary geometries for hypothesis, and the comparison that every oracle uses."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ropewalk.rope import Rope

# float64 against float64 through different formulas: a few roundings of exponents near 20.
ORACLE_TOLERANCE = 1e-12


def ropes(least_pairs=2):
    """Geometries of real and of toy models."""
    return st.builds(
        Rope,
        head_dim=st.integers(least_pairs, 128).map(lambda pairs: 2 * pairs),
        base=st.floats(50, 1e8),
        trained_length=st.integers(64, 262_144),
    )


factors = st.one_of(st.floats(1, 128), st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]))


def assert_agrees(actual, expected, tolerance=ORACLE_TOLERANCE):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=0)
