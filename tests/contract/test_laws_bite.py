"""Each law is fed a method or a sampler that breaks it, and must refuse it."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from contract import method_laws, sampler_laws

from ropewalk.method import FactorMethod, Method, Paper
from ropewalk.methods.abf import Abf
from ropewalk.methods.dynamic_ntk import DynamicNtk
from ropewalk.methods.entropy_abf import EntropyAbf
from ropewalk.methods.linear import Linear
from ropewalk.methods.ntk import Ntk
from ropewalk.positions.contiguous import Contiguous
from ropewalk.positions.cream import Cream
from ropewalk.positions.pose import Pose
from ropewalk.sampler import Draw, Sampler


class ScalesWhenNeutral(Linear):
    def frequencies(self, rope):
        return rope.frequencies / (self.factor + 1e-12)


class Quickens(Linear):
    def frequencies(self, rope):
        return rope.frequencies * self.factor


class UpsideDown(Ntk):
    def frequencies(self, rope):
        return rope.frequencies / Ntk(self.factor).stretch(rope)[::-1]


class ForgetsItsBound(Abf):
    def stretch_bound(self, rope):
        return 8.0


class SinglePrecision(Linear):
    def frequencies(self, rope):
        return super().frequencies(rope).astype(np.float32)


class FlatScale(EntropyAbf):
    def attention_scale(self, rope, positions, layer):
        return super().attention_scale(rope, np.ravel(positions), layer)


class UnannouncedScale(EntropyAbf):
    scale_varies: ClassVar[bool] = False


class ScaleOfTheLongest(EntropyAbf):
    """Dynamic temperature: the scale of every query follows the last one, so cached logits go stale."""

    def attention_scale(self, rope, positions, layer):
        return super().attention_scale(rope, np.full(np.shape(positions), np.max(positions)), layer)


TABLE = {}


class CachedTable(Linear):
    def frequencies(self, rope):
        return TABLE.setdefault((rope, self.factor), super().frequencies(rope))


class UnannouncedLength(DynamicNtk):
    depends_on_length: ClassVar[bool] = False


@dataclass(frozen=True)
class ForgetsAnOption(FactorMethod):
    options: ClassVar[dict] = {}


@dataclass
class Mutable:
    """Not frozen, and so without a hash."""

    name: ClassVar[str] = "mutable"
    options: ClassVar[dict] = {}
    values: list = field(default_factory=list)

    @classmethod
    def example(cls, rope, target_length):
        return cls()


class TakesAnyOption(Linear):
    @classmethod
    def for_target(cls, rope, target_length, options=None):
        return cls(factor=target_length / rope.trained_length)


@dataclass(frozen=True)
class TakesAnyFactor(Method):
    factor: float = 1.0


class InAnotherFile(Linear):
    name: ClassVar[str] = "in-another-file"


class WithoutLabels(Linear):
    @classmethod
    def sections(cls):
        return {"Summary": "A method."}


class WithoutPaper(Linear):
    paper: ClassVar[Paper] = Paper(title="Hearsay", authors="Someone", year=2024)


class WithoutSampler(Linear):
    sampler: ClassVar[str | None] = "no-such-sampler"


BROKEN_METHODS = (
    ("the_neutral_setting_changes_nothing", ScalesWhenNeutral),
    ("no_pair_turns_faster_than_before", Quickens),
    ("slow_pairs_are_stretched_at_least_as_much_as_fast_ones", UpsideDown),
    ("no_pair_is_stretched_beyond_the_stated_bound", ForgetsItsBound),
    ("frequencies_are_one_finite_float64_for_each_pair", SinglePrecision),
    ("the_scale_has_the_shape_of_the_positions_and_is_positive", FlatScale),
    ("the_scale_varies_only_where_the_class_says_so", UnannouncedScale),
    ("the_scale_of_a_query_does_not_depend_on_the_other_queries", ScaleOfTheLongest),
    ("same_input_gives_the_same_output_bit_for_bit", CachedTable),
    ("attention_depends_on_differences_of_positions_only", UnannouncedLength),
    ("the_length_of_the_text_matters_only_where_the_class_says_so", UnannouncedLength),
    ("options_survive_json", ForgetsAnOption),
    ("a_method_is_a_frozen_value", Mutable),
    ("unknown_options_are_refused_by_name", TakesAnyOption),
    ("impossible_factors_are_refused", TakesAnyFactor),
    ("the_file_is_called_as_the_method", InAnotherFile),
    ("the_docstring_has_every_label", WithoutLabels),
    ("the_paper_can_be_cited", WithoutPaper),
    ("the_sampler_exists", WithoutSampler),
)


def test_every_method_law_has_a_bite():
    assert [name for name, _ in BROKEN_METHODS] == [law.__name__ for law in method_laws.LAWS]


@pytest.mark.parametrize(("law", "broken"), BROKEN_METHODS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_method_is_refused(law, broken):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(method_laws, law)(broken)


def test_a_declared_exemption_holds_only_while_the_law_is_broken():
    law = method_laws.no_pair_turns_faster_than_before

    class Declared(Quickens):
        exemptions: ClassVar[dict[str, str]] = {law.__name__: "It shortens the window on purpose."}

    class Stale(Linear):
        exemptions: ClassVar[dict[str, str]] = {law.__name__: "It once shortened the window."}

    class WithoutReason(Quickens):
        exemptions: ClassVar[dict[str, str]] = {law.__name__: " "}

    method_laws.examine(law, Declared)
    for wrong in (Stale, WithoutReason):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            method_laws.examine(law, wrong)


class PositionsBeyondTheTarget(Pose):
    def draw(self, rng, **sizes):
        draw = super().draw(rng, **sizes)
        return replace(draw, positions=draw.positions + 1)


class RepeatedText(Cream):
    """The repository's text in the place where middle and tail overlap."""

    def draw(self, rng, **sizes):
        draw = super().draw(rng, **sizes)
        return replace(draw, text=np.minimum(draw.positions, sizes["available"] - 1))


class SkipsShortDocuments(Contiguous):
    def draw(self, rng, **sizes):
        draw = super().draw(rng, **sizes)
        return replace(draw, text=np.minimum(draw.text + 1, sizes["available"]))


class NeverPlain(Pose):
    def draw(self, rng, **sizes):
        draw = super().draw(rng, **sizes)
        return replace(draw, positions=2 * draw.positions)


class Remembers(Contiguous):
    calls: ClassVar[list[int]] = []

    def draw(self, rng, **sizes):
        self.calls.append(1)
        draw = super().draw(rng, **sizes)
        return replace(draw, text=draw.text // 2 + len(self.calls))


class AlwaysTheSame(Pose):
    def draw(self, rng, **sizes):
        return super().draw(np.random.default_rng(0), **sizes)


class StaysNear(Contiguous):
    trains_at_target: ClassVar[bool] = False


class CutsInSilence(Contiguous):
    def draw(self, rng, *, window, target_length, available):
        short = min(window, target_length, available)
        return Draw(np.arange(short), np.arange(short))


class TakesAnything(Contiguous):
    @classmethod
    def with_options(cls, options=None):
        return cls()


@dataclass(frozen=True)
class LosesASwitch(Sampler):
    switch: bool = False

    @property
    def options(self):
        return {}


class InAnotherSamplerFile(Contiguous):
    name: ClassVar[str] = "in-another-file"


class SamplerWithoutLabels(Contiguous):
    @classmethod
    def sections(cls):
        return {"Summary": "A sampler."}


class SamplerWithoutPaper(Contiguous):
    paper: ClassVar[Paper] = Paper(title="Hearsay", authors="Someone", year=2024)


BROKEN_SAMPLERS = (
    ("positions_increase_inside_the_target", PositionsBeyondTheTarget),
    ("text_increases_inside_the_document", RepeatedText),
    ("a_document_as_long_as_the_window_is_read_whole", SkipsShortDocuments),
    ("a_target_as_long_as_the_window_gives_plain_counting", NeverPlain),
    ("same_sample_number_gives_the_same_window", Remembers),
    ("windows_differ_between_samples_and_seeds", AlwaysTheSame),
    ("the_far_half_of_the_target_is_trained", StaysNear),
    ("impossible_windows_are_refused", CutsInSilence),
    ("unknown_options_are_refused_by_name", TakesAnything),
    ("options_survive_json", LosesASwitch),
    ("the_file_is_called_as_the_sampler", InAnotherSamplerFile),
    ("the_docstring_has_every_label", SamplerWithoutLabels),
    ("the_paper_can_be_cited", SamplerWithoutPaper),
)


def test_every_sampler_law_has_a_bite():
    assert [name for name, _ in BROKEN_SAMPLERS] == [law.__name__ for law in sampler_laws.LAWS]


@pytest.mark.parametrize(("law", "broken"), BROKEN_SAMPLERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_sampler_is_refused(law, broken):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(sampler_laws, law)(broken)
