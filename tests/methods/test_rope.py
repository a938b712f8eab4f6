"""The trained geometry, and the register."""

import math

import numpy as np
import pytest
from hypothesis import given
from methods.geometries import ropes
from oracles import frequency_rules

from ropewalk.errors import OptionError
from ropewalk.method import METHODS, Method, Paper, register
from ropewalk.positions import get as get_sampler
from ropewalk.register import docstring_sections
from ropewalk.rope import Rope
from ropewalk.sampler import SAMPLERS, Sampler
from ropewalk.sampler import register as register_sampler


@given(rope=ropes(least_pairs=1))
def test_frequencies_fall_from_one_and_wavelengths_are_their_turns(rope):
    assert rope.frequencies[0] == 1.0
    assert (np.diff(rope.frequencies) < 0).all()
    assert rope.frequencies.tolist() == pytest.approx(frequency_rules.plain(rope.head_dim, rope.base), rel=1e-12)
    assert rope.wavelengths * rope.frequencies == pytest.approx(2 * math.pi)
    assert rope.turns * rope.wavelengths == pytest.approx(rope.trained_length)


@pytest.mark.parametrize(("base", "trained_length", "fraction"), [(10_000, 4096, 0.70), (500_000, 8192, 0.55)])
def test_the_trained_pair_fraction_of_real_models(base, trained_length, fraction):
    rope = Rope(head_dim=128, base=base, trained_length=trained_length)
    assert rope.trained_pair_fraction == pytest.approx(fraction, abs=0.005)
    assert rope.trained_pair_fraction == pytest.approx((rope.turns >= 1).sum() / 64, abs=1 / 64)


def test_the_trained_pair_fraction_stays_a_fraction():
    assert Rope(head_dim=8, base=2.0, trained_length=10**6).trained_pair_fraction == 1.0
    assert Rope(head_dim=8, base=1e4, trained_length=4).trained_pair_fraction == 0.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((63, 1e4, 64), "head_dim must be even and at least 2, because rotation acts on pairs; got 63"),
        ((0, 1e4, 64), "head_dim must be even and at least 2"),
        ((64, 1.0, 64), "base must be a finite number above 1; got 1.0"),
        ((64, math.inf, 64), "base must be a finite number above 1; got inf"),
        ((64, 1e4, 1), "trained_length must be at least 2 tokens; got 1"),
    ],
)
def test_a_geometry_that_no_model_has_is_refused(values, words):
    with pytest.raises(OptionError, match=words):
        Rope(*values)


def test_two_methods_or_samplers_may_not_share_a_name():
    with pytest.raises(OptionError, match=r"two methods are called 'pi': ropewalk\.methods\.linear and"):

        @register("new-name", "pi")
        class Other(Method):
            pass

    with pytest.raises(OptionError, match=r"two methods are called 'yarn': ropewalk\.methods\.yarn and"):

        @register("yarn")
        class Yarn(Method):  # another class of the same name
            pass

    with pytest.raises(OptionError, match=r"two samplers are called 'pose': ropewalk\.positions\.pose and"):

        @register_sampler("pose")
        class OtherSampler(Sampler):
            pass

    assert "new-name" not in METHODS  # whose alias is taken is not entered by half
    assert SAMPLERS["pose"] is get_sampler("pose")


def test_an_unknown_sampler_is_answered_with_the_nearest():
    with pytest.raises(Exception, match=r"no sampler is called 'craem'; did you mean 'cream'\? Known: contiguous"):
        get_sampler("craem")


def test_a_sampler_must_say_how_it_draws():
    with pytest.raises(NotImplementedError):
        Sampler().positions(np.random.default_rng(0), window=4, target_length=8)


def test_bibtex_names_the_archive_or_the_address():
    archived = Paper(title="A: B", authors="Ann Lee and Bo Ray", year=2020, arxiv="2001.00001")
    assert archived.key == "lee2020a"
    assert "eprint = {2001.00001}" in archived.bibtex
    assert "url = {https://example.org}" in Paper("A", "Lee", 2020, url="https://example.org").bibtex


def test_a_docstring_is_cut_at_its_labels_and_keeps_its_columns():
    text = "Name: idea.\n\nPaper      A (2020).\nSymbols    a  one\n           bb two\n\n>>> 1\n1\n"
    assert docstring_sections(text) == {"Summary": "Name: idea.", "Paper": "A (2020).", "Symbols": "a  one\nbb two"}
