"""Suites: what they choose for a model, and what a suite file may not say."""

from __future__ import annotations

import pytest

from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.evals.suites import read_suite, suite_names

ABOUT = 'about = "Mine."\nlengths = "doublings"\n'


def written(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return str(file)


def test_the_package_carries_three_suites_from_quick_to_thorough():
    assert suite_names() == ("smoke", "standard", "full")


@pytest.mark.parametrize("name", suite_names())
@pytest.mark.parametrize("window", [(256, 256), (256, 2048), (4096, 32768), (4096, 6000), (4096, 5000), (300, 301)])
def test_every_suite_has_a_plan_for_every_window(name, window):
    plan = read_suite(name).plan(*window)
    assert plan.lengths[-1] == max(window)
    assert plan.lengths[0] == (window[0] if window[1] > window[0] else window[0] // 2)
    assert plan.scored * 2 <= plan.lengths[0]


def test_doublings_stop_before_the_target_and_end_with_it():
    standard = read_suite("standard")
    assert standard.plan(256, 2048).lengths == (256, 512, 1024, 2048)
    assert standard.plan(256, 1500).lengths == (256, 512, 1024, 1500)
    assert read_suite("smoke").plan(256, 2048).lengths == (256, 2048)


def test_a_model_that_was_not_extended_is_measured_at_half_of_its_window_too():
    plan = read_suite("smoke").plan(256, 256)
    assert (plan.lengths, plan.scored) == ((128, 256), 64)
    assert plan.measures_far


def test_a_window_that_has_hardly_grown_is_not_measured_far_back():
    suite = read_suite("smoke")
    assert "repeated" in suite.plan(4096, 8192).tasks
    assert "repeated" not in suite.plan(4096, 4200).tasks
    with pytest.raises(OptionError, match="what repeats from far back needs 256 tokens"):
        suite.plan(4096, 4200, tasks=["repeated"])


def test_lengths_tasks_and_seed_of_ones_own_take_the_place_of_the_suites():
    plan = read_suite("standard").plan(256, 2048, lengths=[1024, 512], tasks=["passkey"], seed=7)
    assert (plan.lengths, plan.tasks, plan.seed) == ((512, 1024), ("passkey",), 7)
    assert plan.trials == read_suite("standard").plan(256, 2048).trials


def test_the_thorough_suite_looks_further_than_the_standard_one():
    standard, full = read_suite("standard").certificate, read_suite("full").certificate
    assert standard.timing.cap < full.timing.cap
    assert full.k_max
    assert read_suite("smoke").certificate is None


def test_a_suite_file_of_ones_own_is_named_after_itself(tmp_path):
    text = ABOUT + 'tasks = ["passkey"]\n[sizes]\ndepths = [0.5]\ntrials = 9\n[certificate]\ntasks = ["key-value"]\n'
    suite = read_suite(written(tmp_path, text))
    assert suite.name == "mine"
    assert (suite.plan(256, 512).depths, suite.plan(256, 512).trials) == ((0.5,), 9)
    assert suite.certificate.timing.cap == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about = ", r"suite file '.*mine.toml' must be TOML"),
        ('about = "x"', r"'lengths' cannot be used: Field required. A suite has about, lengths, tasks, sizes"),
        (ABOUT.replace("doublings", "all") + "tasks = []", r"'lengths' cannot be used: Input should be 'ends' or"),
        (ABOUT + 'tasks = ["passkey"]\nlenghts = 1', r"'lenghts' cannot be used: Extra inputs"),
        (ABOUT + "tasks = []\n[sizes]\ntrials = 0", "trials must be at least 1"),
        (ABOUT + 'tasks = []\n[sizes]\ntrials = "many"', r"'trials' cannot be used: Input should be a valid integer"),
        (ABOUT + "tasks = []\n[certificate]\ntasks = []", "a certificate needs at least one task"),
        (
            ABOUT + 'tasks = []\n[certificate]\ntasks = ["passkey"]\nlooks = [9]\nalphas = [0.1]',
            "sum to at most 0.05",
        ),
        (
            ABOUT + 'tasks = []\n[certificate]\ntasks = ["passkey"]\nlooks = [9]\nschedule = "betting"',
            "looks with alphas or a schedule's name but not both",
        ),
    ],
)
def test_a_suite_that_cannot_be_used_says_what_is_wrong(tmp_path, text, words):
    with pytest.raises(OptionError, match=words):
        read_suite(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ABOUT + 'tasks = ["passkay"]', "no measurement is called 'passkay'; did you mean 'passkey'"),
        (
            ABOUT + "tasks = []\n[sizes]\ntrails = 1",
            "no size of an evaluation is called 'trails'; did you mean 'trials'",
        ),
        (ABOUT + 'tasks = []\n[certificate]\ntasks = ["kv"]', "no retrieval task is called 'kv'"),
        (ABOUT + 'tasks = []\n[certificate]\ntasks = ["lines"]\nschedule = "x"', "no schedule is called 'x'"),
    ],
)
def test_a_name_that_does_not_exist_is_met_with_the_nearest_one(tmp_path, text, words):
    with pytest.raises(UnknownNameError, match=words):
        read_suite(written(tmp_path, text))


def test_a_suite_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match="no suite is called 'smok'; did you mean 'smoke'"):
        read_suite("smok")
    with pytest.raises(OptionError, match=r"suite file 'no.toml' cannot be read: No such file"):
        read_suite("no.toml")


def test_a_suite_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="must be UTF-8"):
        read_suite(str(tmp_path / "x.toml"))
