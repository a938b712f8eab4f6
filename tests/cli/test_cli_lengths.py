"""Lengths and options as people type them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.cli.lengths import parse_length, parse_lengths, parse_positions
from ropewalk.cli.settings import parse_settings, refuse_unread
from ropewalk.errors import OptionError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("2048", 2048), ("2k", 2048), ("32k", 32_768), ("1m", 1_048_576), ("2K", 2048), ("1M", 1_048_576), (" 8k ", 8192)],
)
def test_k_is_1024_tokens_and_m_is_1024_k(text: str, tokens: int) -> None:
    assert parse_length(text) == tokens


@given(st.integers(min_value=1, max_value=10**12))
def test_plain_digits_are_the_number_itself(tokens: int) -> None:
    assert parse_length(str(tokens)) == tokens


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5k", "2kb", "2 k", "1_000", "1e3", "nan", "٢"])
def test_a_length_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(OptionError) as refusal:
        parse_length(text)
    assert str(refusal.value) == (
        f"a length must be a whole number of tokens; got '{text}'; "
        "write it as 2048, 2k (2,048), 32k (32,768) or 1m (1,048,576)."
    )


@pytest.mark.parametrize("text", ["0", "0k"])
def test_a_length_of_no_tokens_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=rf"^a length must be at least 1 token; got '{text}'; write it as"):
        parse_length(text)


def test_lengths_are_sorted() -> None:
    assert parse_lengths("2k, 256,512") == (256, 512, 2048)


def test_a_length_that_stands_twice_is_refused() -> None:
    with pytest.raises(OptionError, match=r"lengths must differ, because each is measured once; got '2k,2048'; leave"):
        parse_lengths("2k,2048")


@pytest.mark.parametrize("text", ["", "256,,512", "256,", ","])
def test_an_empty_part_of_a_list_is_refused(text: str) -> None:
    with pytest.raises(
        OptionError, match=r"lengths must stand between single commas, because .*; write them as 256,512,2k"
    ):
        parse_lengths(text)


def test_positions_keep_their_order_and_may_be_zero() -> None:
    assert parse_positions("4096,0,8k") == (4096, 0, 8192)


def test_a_position_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(OptionError, match=r"a position must be a whole number of tokens; got '-1'"):
        parse_positions("-1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("factor=8", 8),
        ("factor=0.5", 0.5),
        ("base=1e6", 1e6),
        ("truncate=false", False),
        ("ramp=turns", "turns"),
        ('ramp="turns"', "turns"),
        ("factors=[1.0, 2]", [1.0, 2]),
        ("factor=inf", math.inf),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=1\nother=2", "1\nother=2"),
    ],
)
def test_a_setting_means_what_it_means_in_a_run_file(text: str, value: object) -> None:
    (read,) = parse_settings([text]).values()
    assert read == value
    assert type(read) is type(value)


def test_a_dash_in_the_name_of_a_setting_is_an_underscore() -> None:
    assert parse_settings(["beta-fast=16"]) == {"beta_fast": 16}


@pytest.mark.parametrize("text", ["factor", "=8", " =8"])
def test_a_setting_without_a_name_or_a_sign_is_refused(text: str) -> None:
    with pytest.raises(
        OptionError, match=rf"an option must be given as key=value; got '{text}'; write it as --set factor=8"
    ):
        parse_settings([text])


def test_a_setting_that_stands_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="an option must be given once; got 'beta_fast' twice; leave one of them out"):
        parse_settings(["beta_fast=1", "beta-fast=2"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"--seed": 0}, "so --seed has nothing to act on; add --probe, or leave it out."),
        ({"--a": "x", "--b": True}, "so --a and --b have nothing to act on; add --probe, or leave them out."),
        ({"--a": 0.0, "--b": ["x"], "--c": ""}, "so --a, --b and --c have nothing to act on; add --probe, or leave"),
    ],
)
def test_options_that_nothing_reads_are_refused_by_name(options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=f"nothing is probed, {words}"):
        refuse_unread("nothing is probed", options, "add --probe")


def test_an_option_that_was_not_given_is_not_refused() -> None:
    refuse_unread("nothing is probed", {"--a": None, "--b": False, "--c": [], "--d": ()})


def test_without_another_way_an_unread_option_can_only_be_left_out() -> None:
    with pytest.raises(OptionError, match=r"has nothing to act on; leave it out\.$"):
        refuse_unread("a GGUF file is always a copy", {"--copy": True})
