"""k_max has an interval that is honest about ten keys at each distance."""

from __future__ import annotations

import pytest
from studies import losses

from ropewalk.cells.readings import Reading, cell_reading
from ropewalk.reproduce.reach import reach_reading

DEPTHS = (0.75, 0.5, 0.25, 0.0)  # 512, 1,024, 1,536 and 2,048 tokens before the end


def found(*rights: int, asked: int = 10):
    """Readings of a cell that finds so many keys at each distance, the nearest first."""
    samples = [
        sample.model_copy(update={"cluster": f"{sample.cluster}-{depth}"})
        for right, depth in zip(rights, DEPTHS, strict=True)
        for sample in losses([float(n < right) for n in range(asked)], measure="passkey", length=2048, depth=depth)
    ]
    cells = {"a": {0: {"distances": samples}}}
    depths = (Reading("a", "distances", "passkey", 2048, (depth, depth)) for depth in DEPTHS)
    return [cell_reading(at, cells, depth=at.depths[0]) for at in depths]


@pytest.mark.parametrize(("rights", "k_max"), [((10, 10, 10, 10), 2048), ((10, 2, 1, 10), 1024), ((1, 10, 10, 10), 0)])
def test_k_max_is_where_the_first_distance_falls_below_a_fifth(rights, k_max):
    estimate = reach_reading(found(*rights)).estimate
    assert (estimate.measure, estimate.value, estimate.unit) == ("k_max", k_max, "tokens")
    assert estimate.low <= k_max <= estimate.high
    assert (estimate.samples, estimate.length, estimate.depth) == (40, 2048, None)


def test_keys_that_are_nearly_all_found_leave_nothing_open_and_two_of_ten_much():
    sure, open_ = reach_reading(found(10, 10, 10, 10)).estimate, reach_reading(found(10, 2, 2, 2)).estimate
    assert (sure.low, sure.high) == (2048, 2048)
    assert (open_.low, open_.high) == (512, 2048)


def test_more_keys_narrow_the_interval():
    few, many = (reach_reading(found(*(asked * n // 10 for n in (10, 10, 3, 0)), asked=asked)) for asked in (10, 400))
    assert (few.estimate.low, few.estimate.high) != (many.estimate.low, many.estimate.high)
    assert (many.estimate.low, many.estimate.high) == (1536, 1536)


def test_a_cell_without_keys_has_no_reach():
    assert reach_reading([]) is None
