"""A carrier is taken only where transformers' own numbers are the method's."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ropewalk import methods
from ropewalk.adapters.carriers import RELATIVE_TOLERANCE, attention_factor, carrier, transformers_table
from ropewalk.adapters.families import SUPPORTED, Family
from ropewalk.errors import CarrierError
from ropewalk.method import Method
from ropewalk.rope import Rope

LLAMA = Rope(head_dim=128, base=10000.0, trained_length=4096)
ANY = Family()


def carried(method, rope=LLAMA, target=32768, family=ANY):
    return carrier(method, rope, target, family, layers=4)


@pytest.mark.parametrize(
    ("name", "options", "kind", "told"),
    [
        ("none", {}, "default", {"rope_theta": 10000.0}),
        ("abf", {}, "default", {"rope_theta": 500000.0}),
        ("abf", {"base": 123456.7}, "default", {"rope_theta": 123456.7}),
        ("ntk", {}, "default", {"rope_theta": 82684.62264}),
        ("linear", {}, "linear", {"factor": 8.0}),
        ("cream", {}, "linear", {"factor": 8.0}),
        ("yarn", {}, "yarn", {"factor": 8.0, "original_max_position_embeddings": 4096}),
        ("yarn", {"beta_fast": 16.0}, "yarn", {"beta_fast": 16.0}),
        ("yarn", {"beta_slow": 2.0}, "yarn", {"beta_slow": 2.0}),
        ("yarn", {"truncate": False}, "yarn", {"truncate": False}),
        ("yarn", {"attention_factor": 1.0}, "yarn", {"attention_factor": 1.0}),
        ("ntk-by-parts", {}, "yarn", {"attention_factor": 1.0}),
        ("llama3", {}, "llama3", {"low_freq_factor": 1.0, "high_freq_factor": 4.0}),
        ("dynamic-ntk", {"alpha": 2.0}, "dynamic", {"factor": 2.0}),
        ("entropy-abf", {}, "default", {"rope_theta": 500000.0}),
        ("yarn", {"ramp": "revised"}, "longrope", {"factor": 8.0}),
        ("yarn", {"ramp": "turns"}, "longrope", {"short_mscale": 1.2079441541679836}),
    ],
)
def test_the_native_type_is_taken_where_there_is_one(name, options, kind, told):
    method = methods.get(name).for_target(LLAMA, 32768, options)
    found = carried(method)
    assert (found.name, found.rope_parameters["rope_type"]) == (kind, kind)
    for key, value in told.items():
        assert found.rope_parameters[key] == pytest.approx(value, rel=1e-9)
    assert found.max_position_embeddings == (4096 if kind == "dynamic" else 32768)
    assert found.exact == (name != "entropy-abf")


@settings(deadline=None, max_examples=60)
@given(
    name=some.sampled_from(["none", "linear", "ntk", "ntk-by-parts", "yarn", "abf", "llama3", "pose"]),
    pairs=some.integers(2, 64),
    base=some.floats(200.0, 1e6),
    trained=some.integers(64, 8192),
    multiple=some.floats(1.0, 64.0),
    family=some.sampled_from(list(SUPPORTED.values())),
)
def test_what_is_carried_is_what_the_method_says(name, pairs, base, trained, multiple, family):
    rope, target = Rope(2 * pairs, base, trained), int(trained * multiple)
    method = methods.get(name).for_target(rope, target)
    found = carrier(method, rope, target, family, layers=2)
    table, factor = transformers_table(found.rope_parameters, rope, target)
    np.testing.assert_allclose(table, method.frequencies(rope), rtol=RELATIVE_TOLERANCE)
    assert factor**2 == pytest.approx(method.attention_scale(rope, np.array([5]), 0)[0])


def test_the_scale_on_logits_is_the_square_of_what_is_written():
    method = methods.get("yarn")(factor=8.0)
    assert attention_factor(method, LLAMA, 32768, 4) == pytest.approx(0.1 * math.log(8) + 1)


@dataclass(frozen=True)
class Wavy(Method):
    """A newcomer's static method that no rope type knows."""

    name: ClassVar[str] = "wavy"

    def frequencies(self, rope):
        return rope.frequencies / (1.5 + np.sin(np.arange(rope.pairs)))

    def attention_scale(self, rope, positions, layer):
        return np.full(np.shape(positions), 1.44)


def test_a_newcomers_method_needs_no_code_here():
    found = carried(Wavy())
    assert found.name == "longrope"
    assert found.rope_parameters["short_factor"] == found.rope_parameters["long_factor"]
    table, factor = transformers_table(found.rope_parameters, LLAMA, 32768)
    np.testing.assert_allclose(table, Wavy().frequencies(LLAMA), rtol=RELATIVE_TOLERANCE)
    assert factor == pytest.approx(1.2)
    assert found.rope_parameters["short_mscale"] == found.rope_parameters["long_mscale"] == pytest.approx(1.2)


def test_a_stopped_pair_is_carried_as_one_that_never_turns():
    class Stopped(Wavy):
        def frequencies(self, rope):
            return np.where(np.arange(rope.pairs) < 40, rope.frequencies, 0.0)

    table, _ = transformers_table(carried(Stopped()).rope_parameters, LLAMA, 32768)
    assert (table[40:] * 1e9 < 1e-15).all()


def test_a_wrong_candidate_is_refused_numerically():
    """The bite: yarn's name and options on a method with other numbers must not be carried as yarn."""

    class NotYarn(type(methods.get("yarn")())):
        def frequencies(self, rope):
            return super().frequencies(rope) * np.where(np.arange(rope.pairs) == 20, 1.001, 1.0)

    assert carried(methods.get("yarn")(factor=8.0)).name == "yarn"
    assert carried(NotYarn(factor=8.0)).name == "longrope"


def test_a_length_dependent_method_that_is_not_dynamic_ntk_is_refused():
    class Other(Wavy):
        depends_on_length: ClassVar[bool] = True

    with pytest.raises(CarrierError, match=r"no rope type of transformers does for 'wavy'.* can only be dynamic NTK"):
        carried(Other())


def test_judging_candidates_logs_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("transformers").propagate = True
        for name in ("ntk", "abf", "yarn", "llama3", "linear"):
            carried(methods.get(name).for_target(LLAMA, 32768))
    logging.getLogger("transformers").propagate = False
    assert caplog.text == ""
