"""The laws that every method must obey, as functions that a test runs on any class.

A law raises AssertionError. A method that breaks a law on purpose names it in `exemptions` with the reason; then the
law must indeed be broken, so that no exemption outlives its cause.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ropewalk import methods, positions
from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.method import METHODS, Method
from ropewalk.register import DOCSTRING_LABELS
from ropewalk.rope import Rope

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROPES = (
    Rope(head_dim=128, base=10_000.0, trained_length=4096),
    Rope(head_dim=64, base=500.0, trained_length=256),
    Rope(head_dim=32, base=1_000_000.0, trained_length=8192),
)
FACTORS = (1.5, 8, 64)
LAYERS = (0, 1, 2, 31)
ROUNDING = 1e-12


def examples(cls: type[Method]) -> list[tuple[Rope, Method]]:
    """The method as it meets texts of several target lengths, on several geometries."""
    found = []
    for rope in ROPES:
        for factor in FACTORS:
            target_length = int(factor * rope.trained_length)
            method = cls.example(rope, target_length)
            found.append((rope, method.at(target_length) if method.depends_on_length else method))
    return found


def the_neutral_setting_changes_nothing(cls: type[Method]) -> None:
    for rope in ROPES:
        method = cls.neutral(rope)
        assert np.array_equal(method.frequencies(rope), rope.frequencies), "the neutral setting changes frequencies"
        inside = np.arange(rope.trained_length)
        for layer in LAYERS:
            scale = method.attention_scale(rope, inside, layer)
            assert np.array_equal(scale, np.ones(rope.trained_length)), "the neutral setting scales logits"


def no_pair_turns_faster_than_before(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        assert method.stretch(rope).min() >= 1 - ROUNDING, f"a pair is quickened to {method.stretch(rope).min()}"


def slow_pairs_are_stretched_at_least_as_much_as_fast_ones(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        stretch = method.stretch(rope)
        finite = stretch[np.isfinite(stretch)]
        rounding = ROUNDING * finite.max(initial=1.0)
        assert np.diff(finite).min(initial=0.0) >= -rounding, "stretch falls towards slow pairs"
        assert np.isfinite(stretch[: len(finite)]).all(), "a fast pair stands still while a slower one turns"


def no_pair_is_stretched_beyond_the_stated_bound(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        bound = method.stretch_bound(rope)
        assert method.stretch(rope).max() <= bound * (1 + ROUNDING), f"stretch {method.stretch(rope).max()} > {bound}"


def frequencies_are_one_finite_float64_for_each_pair(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        frequencies = method.frequencies(rope)
        assert frequencies.shape == (rope.pairs,), f"shape {frequencies.shape}"
        assert frequencies.dtype == np.float64, f"dtype {frequencies.dtype}"
        assert np.isfinite(frequencies).all(), "not all finite"
        assert (frequencies >= 0).all(), "a pair turns backwards"


def the_scale_has_the_shape_of_the_positions_and_is_positive(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        for shape in ((), (7,), (2, 3)):
            scale = method.attention_scale(rope, np.full(shape, 5 * rope.trained_length), layer=31)
            assert np.shape(scale) == shape, f"scale of shape {np.shape(scale)} for positions of shape {shape}"
            assert (np.asarray(scale) > 0).all(), "a scale that is not positive"


def the_scale_varies_only_where_the_class_says_so(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        where = np.array([0, rope.trained_length - 1, 2 * rope.trained_length, 60 * rope.trained_length])
        table = np.array([method.attention_scale(rope, where, layer) for layer in LAYERS])
        assert (np.ptp(table) > 0) == method.scale_varies, f"scale_varies is {method.scale_varies}; it does otherwise"


def the_scale_of_a_query_does_not_depend_on_the_other_queries(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        where = np.array([0, 10, rope.trained_length, 9 * rope.trained_length])
        together = method.attention_scale(rope, where, 31)
        alone = [method.attention_scale(rope, np.array([position]), 31)[0] for position in where]
        assert together.tolist() == alone, "cached decoding would differ from a full forward call"


def same_input_gives_the_same_output_bit_for_bit(cls: type[Method]) -> None:
    for rope, method in examples(cls):
        first = method.frequencies(rope)
        kept = first.copy()
        first[:] = 0.0  # a caller that writes into what it got must not reach a table
        rope.frequencies[:] = 0.0
        methods.get("linear").example(rope, 2 * rope.trained_length).frequencies(rope)
        assert np.array_equal(method.frequencies(rope), kept), "a table survives between calls"


def attention_depends_on_differences_of_positions_only(cls: type[Method]) -> None:
    """Everywhere; a method that varies by position or length on purpose must keep to it inside the trained window."""
    rng = np.random.default_rng(7)
    for rope in ROPES:
        method = cls.example(rope, 8 * rope.trained_length)
        product = rng.normal(size=rope.pairs) + 1j * rng.normal(size=rope.pairs)
        key, query = sorted(rng.integers(0, rope.trained_length // 2, size=2))
        expected = logit(method, rope, product, query, key)
        varies = method.scale_varies or method.depends_on_length
        for shift in (1, rope.trained_length // 2, *(() if varies else (rope.trained_length, 131_072))):
            shifted = logit(method, rope, product, query + shift, key + shift)
            assert abs(shifted - expected) < 1e-6, f"a shift by {shift} changes the logit {expected} to {shifted}"


def logit(method: Method, rope: Rope, product: NDArray[np.complex128], query: int, key: int) -> float:
    """One attention logit in a text that ends with the query; `product` is query times conjugate key, `[pairs]`."""
    frequencies = method.at(query + 1).frequencies(rope)
    turned = np.exp(1j * query * frequencies) * np.exp(-1j * key * frequencies)
    scale = method.attention_scale(rope, np.array([query]), 31)[0]
    return float(scale * (product * turned).sum().real)


def the_length_of_the_text_matters_only_where_the_class_says_so(cls: type[Method]) -> None:
    for rope in ROPES:
        method = cls.example(rope, 8 * rope.trained_length)
        short = method.at(rope.trained_length).frequencies(rope)
        long = method.at(8 * rope.trained_length).frequencies(rope)
        assert (not np.array_equal(short, long)) == method.depends_on_length, "depends_on_length says otherwise"
        assert not method.at(8 * rope.trained_length).depends_on_length, "at(length) must give a static method"


def options_survive_json(cls: type[Method]) -> None:
    for rope in ROPES:
        method = cls.example(rope, 8 * rope.trained_length)
        assert cls(**json.loads(json.dumps(method.options))) == method, "options -> JSON -> options is not the identity"


def a_method_is_a_frozen_value(cls: type[Method]) -> None:
    assert dataclasses.is_dataclass(cls), "not a dataclass"
    assert cls.__dataclass_params__.frozen, "not frozen"
    method = cls.example(ROPES[0], 32_768)
    assert hash(method) == hash(cls(**method.options)), "equal methods must have equal hashes"


def unknown_options_are_refused_by_name(cls: type[Method]) -> None:
    with pytest.raises(UnknownNameError, match=f"option of method '{cls.name}' is called 'no_such_option'"):
        cls.for_target(ROPES[0], 32_768, {"no_such_option": 1})


def impossible_factors_are_refused(cls: type[Method]) -> None:
    if "factor" in cls.option_names():
        for factor in (0, 0.5, -1, float("nan"), float("inf"), "8"):
            with pytest.raises(OptionError, match="factor must be a finite number of at least 1"):
                dataclasses.replace(cls.example(ROPES[0], 32_768), factor=factor)


def the_file_is_called_as_the_method(cls: type[Method]) -> None:
    module = inspect.getmodule(cls)
    assert module is not None
    assert module.__name__.rsplit(".", 1)[-1] == cls.name.replace("-", "_"), f"{cls.name} lives in {module.__name__}"
    registered = {key for key, value in METHODS.items() if value is cls}
    assert registered == {cls.name, *cls.aliases}, f"registered as {registered}"


def the_docstring_has_every_label(cls: type[Method]) -> None:
    sections = cls.sections()
    missing = [label for label in ("Summary", *DOCSTRING_LABELS) if not sections.get(label)]
    assert not missing, f"the docstring lacks {', '.join(missing)}"
    assert ">>>" in (inspect.getmodule(cls).__doc__ or ""), "the docstring has no example"


def the_paper_can_be_cited(cls: type[Method]) -> None:
    assert cls.paper.arxiv or cls.paper.url, "a paper needs an arXiv number or an address"
    assert cls.paper.bibtex.startswith(f"@misc{{{cls.paper.key},")


def the_sampler_exists(cls: type[Method]) -> None:
    assert cls.sampler is None or cls.sampler in positions.names(), f"no sampler is called '{cls.sampler}'"


LAWS: tuple[Callable[[type[Method]], None], ...] = (
    the_neutral_setting_changes_nothing,
    no_pair_turns_faster_than_before,
    slow_pairs_are_stretched_at_least_as_much_as_fast_ones,
    no_pair_is_stretched_beyond_the_stated_bound,
    frequencies_are_one_finite_float64_for_each_pair,
    the_scale_has_the_shape_of_the_positions_and_is_positive,
    the_scale_varies_only_where_the_class_says_so,
    the_scale_of_a_query_does_not_depend_on_the_other_queries,
    same_input_gives_the_same_output_bit_for_bit,
    attention_depends_on_differences_of_positions_only,
    the_length_of_the_text_matters_only_where_the_class_says_so,
    options_survive_json,
    a_method_is_a_frozen_value,
    unknown_options_are_refused_by_name,
    impossible_factors_are_refused,
    the_file_is_called_as_the_method,
    the_docstring_has_every_label,
    the_paper_can_be_cited,
    the_sampler_exists,
)


def examine(law: Callable[[type[Method]], None], cls: type[Method]) -> None:
    """Runs one law on one method, the other way round where the method is exempt."""
    if law.__name__ in cls.exemptions:
        assert cls.exemptions[law.__name__].strip(), f"the exemption from {law.__name__} gives no reason"
        with pytest.raises(AssertionError):
            law(cls)
    else:
        law(cls)
