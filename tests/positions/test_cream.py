"""CREAM: its structure without exception, its distributions by chi-square, and the released code's reading."""

import itertools

import numpy as np
import pytest
from oracles import position_draws
from oracles.position_draws import surprise

from ropewalk.analysis.coverage import coverage
from ropewalk.errors import OptionError
from ropewalk.positions.cream import Cream, middle_ends
from ropewalk.positions.pose import Pose
from ropewalk.sampler import sample_generator

BOTH = pytest.mark.parametrize("released_code", [False, True])
# 4,000 numbers spread evenly over [0, 1) stand for the uniform draw: shares are exact to 1 in 4,000.
UNIFORM = (np.arange(4000) + 0.5) / 4000


def draws(count, sampler=None, window=256, target_length=2048, available=None, seed=6):
    sampler = sampler or Cream()
    sizes = {"window": window, "target_length": target_length, "available": available or window}
    return [sampler.draw(sample_generator(seed, number), **sizes) for number in range(count)]


def head_of(positions):
    """Tokens before the first skip."""
    return int(np.flatnonzero(np.diff(positions) != 1)[0]) + 1


def tail_of(positions):
    return len(positions) - 1 - int(np.flatnonzero(np.diff(positions) != 1)[-1])


def obeys_one_mode(sampler, positions, target_length):
    """Whether the window has the structure with the head of continuity or with that of relativity."""
    window = len(positions)
    heads = (window // 3, sampler.continuity_head(window, target_length / window))
    return any(not position_draws.cream_violations(positions.tolist(), h, window, target_length) for h in heads)


@BOTH
@pytest.mark.parametrize(
    ("window", "factor", "count"),
    [(4096, 2, 100), (4096, 8, 200), (4096, 64, 200), (256, 8, 2000), (256, 32, 2000), (256, 64, 2000)],
)
def test_the_structure_holds_without_exception(released_code, window, factor, count):
    sampler = Cream(released_code=released_code)
    for draw in draws(count, sampler, window=window, target_length=factor * window):
        assert obeys_one_mode(sampler, draw.positions, factor * window)


@BOTH
@pytest.mark.parametrize("target_length", [257, 300, 333, 500, 1000, 2001])
def test_the_structure_holds_at_factors_that_are_no_whole_number(released_code, target_length):
    sampler = Cream(released_code=released_code)
    for draw in draws(400, sampler, target_length=target_length):
        assert obeys_one_mode(sampler, draw.positions, target_length)


@pytest.mark.parametrize("factor", [4, 8, 16, 64])
def test_every_end_that_a_draw_may_take_leaves_room_for_head_and_tail(factor):
    for head in (4096 // 3, 4 * factor):
        for k in range(2, 2 * factor + 1):
            low, high = position_draws.cream_ends(4096, head, k)
            assert head <= low - (4096 - 2 * head) + 1
            assert low <= high <= factor * 4096 - head - 1
            assert abs(high - low - (k / 2 - 1) * (2 * head + 1)) <= 1


def test_the_structure_oracle_refuses_windows_that_only_look_alike():
    good = [0, 1, 10, 11, 12, 30, 31]
    assert position_draws.cream_violations(good, 2, 7, 32) == []
    for bad in ([0, 2, *good[2:]], [*good[:5], 29, 30], [0, 1, 10, 12, 13, 30, 31], [0, 1, 1, 2, 3, 30, 31]):
        assert position_draws.cream_violations(bad, 2, 7, 32) != []


@pytest.mark.parametrize(
    ("window", "factor", "head"),
    [(4096, 8, 32), (4096, 64, 256), (256, 8, 32), (256, 32, 32), (256, 64, 32), (64, 64, 8), (7, 4, 1)],
)
def test_the_continuity_head_stays_small_where_windows_are_small(window, factor, head):
    assert Cream().continuity_head(window, factor) == head


@pytest.mark.parametrize(("window", "factor", "head"), [(4096, 200, 800), (4096, 600, 512), (256, 8, 32)])
def test_the_released_head_is_four_times_the_factor_while_a_middle_is_left(window, factor, head):
    assert Cream(released_code=True).continuity_head(window, factor) == head


def test_the_law_of_half_windows_is_the_rounded_truncated_normal():
    counts = np.bincount([Cream().half_windows(u, 8) for u in UNIFORM], minlength=17)[2:]
    law = position_draws.cream_half_windows(8, 3)
    assert list(law.values())[:8] == pytest.approx(
        [0.0054, 0.0186, 0.0341, 0.0560, 0.0823, 0.1083, 0.1278, 0.1350], abs=6e-5
    )
    assert counts / 4000 == pytest.approx(list(law.values()), abs=6e-4)
    assert (counts * np.arange(2, 17)).sum() / 4000 == pytest.approx(9, abs=2e-3)


def test_the_released_law_is_cut_down_and_lumped_at_the_ends():
    counts = np.bincount([Cream(released_code=True).half_windows(u, 8) for u in UNIFORM], minlength=17)[2:]
    law = position_draws.cream_half_windows_released(8, 3)
    golden = [0.0228, 0.0250, 0.0434, 0.0674, 0.0938, 0.1169, 0.1306, 0.1306]
    golden += [0.1169, 0.0938, 0.0674, 0.0434, 0.0250, 0.0129, 0.0098]
    assert list(law.values()) == pytest.approx(golden, abs=6e-5)
    assert counts / 4000 == pytest.approx(golden, abs=6e-4)
    assert (counts * np.arange(2, 17)).sum() / 4000 == pytest.approx(8.5098, abs=2e-3)


@pytest.mark.parametrize(("factor", "sigma"), [(2, 3), (8, 3), (8, 2.5), (7.8, 3), (64, 3)])
def test_the_released_table_gives_the_number_that_the_repositorys_would(factor, sigma):
    sampler = Cream(sigma=sigma, released_code=True)
    for uniform in UNIFORM[::40]:
        expected = position_draws.cream_released_table(float(uniform), factor, sigma)
        assert sampler.half_windows(float(uniform), factor) == expected


def test_the_table_oracle_refuses_rounding_in_the_place_of_cutting():
    rounded = [Cream().half_windows(u, 8) for u in UNIFORM[::40]]
    assert rounded != [position_draws.cream_released_table(float(u), 8, 3) for u in UNIFORM[::40]]


def test_the_laws_of_paper_and_code_are_told_apart():
    released = np.bincount([Cream(released_code=True).half_windows(u, 8) for u in UNIFORM], minlength=17)[2:]
    assert surprise(released.tolist(), list(position_draws.cream_half_windows(8, 3).values())) > 4


def test_sigma_grows_with_the_factor_unless_given():
    """The same share of the support at every factor; with the code's 3 nearly all of it stays unused at 64."""
    for factor in (8, 32, 64):
        spread = np.std([Cream().half_windows(u, factor) for u in UNIFORM[::4]]) / (factor - 1)
        assert spread == pytest.approx(2.83 / 7, rel=0.03)
    narrow = [Cream(sigma=3).half_windows(u, 64) for u in UNIFORM[::4]]
    assert min(narrow) >= 53
    assert max(narrow) <= 76


def test_the_released_middle_stays_in_front_at_large_factors():
    def ends(released_code):
        sampler = Cream(released_code=released_code)
        return [int(d.positions[-tail_of(d.positions) - 1]) for d in draws(2000, sampler, 4096, 64 * 4096)]

    released, default = ends(True), ends(False)
    assert max(released) < 0.6 * 64 * 4096
    assert max(default) > 0.9 * 64 * 4096


@pytest.mark.parametrize(
    ("head", "k", "ends"),
    [
        (1365, 2, (2730, 2730)),
        (1365, 3, (3412, 4778)),
        (1365, 9, (7507, 17_066)),
        (1365, 16, (12_285, 31_402)),
        (32, 2, (4063, 4063)),
        (32, 3, (6078, 6111)),
        (32, 9, (18_171, 18_399)),
        (32, 16, (32_280, 32_735)),
    ],
)
def test_ends_of_the_middle_are_uniform_between_the_papers_bounds(head, k, ends):
    assert position_draws.cream_ends(4096, head, k) == ends
    assert middle_ends(4096, 32_768, head, k) == ends

    class Fixed(Cream):
        """One k, and in continuity mode one head: what is left is the draw of the end."""

        def continuity_head(self, window, factor):
            return head

        def half_windows(self, uniform, factor):
            return k

    windows = [draw.positions for draw in draws(1500, Fixed(), window=4096, target_length=32_768)]
    found = [int(window[-head - 1]) for window in windows if tail_of(window) == head]
    assert len(found) > 600
    assert min(found) >= ends[0]
    assert max(found) <= ends[1]
    if ends[0] < ends[1]:
        edges = np.linspace(ends[0], ends[1] + 1, 9).round().astype(int)
        law = np.diff(edges) / (ends[1] + 1 - ends[0])
        counts = np.histogram(found, bins=edges)[0].tolist()
        assert surprise(counts, law.tolist()) < 4
        assert surprise(counts, (law * np.linspace(0.5, 1.5, 8)).tolist()) > 4


def test_the_two_modes_are_equally_probable_sample_by_sample():
    relative = [tail_of(draw.positions) == 85 for draw in draws(3000)]
    assert surprise([sum(relative), 3000 - sum(relative)], [0.5, 0.5]) < 4
    changes = sum(a != b for a, b in itertools.pairwise(relative))
    assert surprise([changes, 2999 - changes], [0.5, 0.5]) < 4


def continuity_of(share, count=2000):
    """How many windows of a sampler with that share are in continuity mode, and how many are not."""
    continuous = sum(tail_of(draw.positions) == 32 for draw in draws(count, Cream(continuity=share)))
    return [continuous, count - continuous]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_continuity_comes_as_often_as_it_is_asked_for(share):
    found = continuity_of(share)
    assert surprise(found, [share, 1 - share]) < 4
    assert surprise(found, [1 - share, share] if share != 0.5 else [0.6, 0.4]) > 4


@pytest.mark.parametrize(("share", "head"), [(0.0, 85), (1.0, 32)])
def test_each_mode_can_stand_alone(share, head):
    for draw in draws(500, Cream(continuity=share)):
        assert position_draws.cream_violations(draw.positions.tolist(), head, 256, 2048) == []


@pytest.mark.parametrize("window", [60, 256])
def test_a_mix_of_modes_covers_its_share_of_what_each_covers_alone(window):
    """Half of the windows of each mode: the mean coverage of a mix is the mean of the two, weighted."""
    sizes = {"window": window, "target_length": 8 * window, "draws": 1500, "seed": 1}
    alone = [coverage(Cream(continuity=share), **sizes).mean for share in (0.0, 1.0)]
    assert coverage(Cream(continuity=0.25), **sizes).mean == pytest.approx(
        0.75 * alone[0] + 0.25 * alone[1], abs=0.25 * abs(alone[1] - alone[0])
    )
    assert alone[1] > alone[0]


def test_the_fair_coin_draws_what_it_drew_before_it_could_be_chosen():
    for one, other in zip(draws(50), draws(50, Cream(continuity=0.5)), strict=True):
        assert np.array_equal(one.positions, other.positions)
    # A resolved run says nothing of a coin that it did not choose: runs made before there was a choice are the same.
    assert Cream().options == {"released_code": False}


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_continuity_that_is_no_probability_is_refused(share):
    with pytest.raises(OptionError, match=r"must lie between 0 \(relativity alone\) and 1 \(continuity alone\); got"):
        Cream(continuity=share)


def test_the_released_code_tosses_one_coin_for_a_batch_of_three_thousand_samples():
    sampler = Cream(released_code=True)
    sizes = {"window": 256, "target_length": 2048}

    def mode(seed, number):
        return tail_of(sampler.positions(sample_generator(seed, number), **sizes)) == 85

    for seed in (0, 1):
        for batch in range(3):
            numbers = (3000 * batch, 3000 * batch + 1, 3000 * batch + 2999)
            assert len({mode(seed, number) for number in numbers}) == 1
    coins = [mode(seed, 3000 * batch) for seed in range(20) for batch in range(20)]
    assert surprise([sum(coins), 400 - sum(coins)], [0.5, 0.5]) < 4


def test_the_shared_coin_needs_a_generator_that_knows_its_sample():
    with pytest.raises(OptionError, match=r"need a generator from sample_generator\(seed, number\)"):
        Cream(released_code=True).positions(np.random.default_rng(0), window=256, target_length=2048)


@BOTH
def test_text_never_overlaps_and_follows_positions_where_it_fits(released_code):
    sampler = Cream(released_code=released_code)
    for available in (256, 257, 300, 700, 2048, 6000):
        for draw in draws(300, sampler, available=available):
            head = tail_of(draw.positions)
            if head not in (32, 85):
                head = head_of(draw.positions)
            middle = slice(head, 256 - head)
            assert draw.text[:head].tolist() == list(range(head))
            assert draw.text[256 - head :].tolist() == list(range(available - head, available))
            if draw.positions[middle][-1] < available - head:
                assert np.array_equal(draw.text[middle], draw.positions[middle])
            else:
                assert draw.text[middle].tolist() == list(range(available - 256 + head, available - head))


def test_a_document_of_one_window_is_read_as_it_stands():
    for draw in draws(300):
        assert np.array_equal(draw.text, np.arange(256))


def test_one_mode_covers_its_distances_in_every_window():
    for draw in draws(40, window=60, target_length=480):
        head = 20 if tail_of(draw.positions) == 20 else 7
        found = position_draws.distances(draw.positions.tolist())
        near = range(1, max(head, 60 - 2 * head))
        far = range(480 - 2 * head + 1, 480)
        assert set(near) | set(far) <= found
        assert max(found) == 479


def test_mean_coverage_is_above_that_of_pose():
    sizes = {"window": 4096, "target_length": 32_768, "draws": 800, "seed": 0}
    assert coverage(Cream(released_code=False), **sizes).mean == pytest.approx(0.318, abs=0.015)
    assert coverage(Pose(), **sizes).mean == pytest.approx(0.214, abs=0.01)


def test_a_window_of_two_tokens_has_no_three_parts():
    with pytest.raises(
        OptionError, match="cream needs a window of at least 3 tokens, because it has three parts; got 2"
    ):
        Cream().positions(sample_generator(0, 0), window=2, target_length=8)


def test_a_sigma_that_is_no_spread_is_refused():
    with pytest.raises(OptionError, match="sigma must be a finite number above 0, because it is the spread"):
        Cream(sigma=0)
