"""The laws that every training-position sampler must obey, as functions that a test runs on any class."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ropewalk.errors import OptionError, UnknownNameError
from ropewalk.register import DOCSTRING_LABELS
from ropewalk.sampler import SAMPLERS, Sampler, sample_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ropewalk.sampler import Draw

# (window, target_length, available): small and large factors, a factor that is no whole number, a target that is the
# window, documents as short as the window and longer than the target.
SHAPES = (
    (256, 2048, 256),
    (256, 2048, 300),
    (256, 2048, 5000),
    (256, 16_384, 777),
    (255, 1000, 255),
    (64, 64, 200),
    (16, 1024, 40),
    (3, 17, 3),
)
DRAWS = 60


def settings(cls: type[Sampler]) -> list[Sampler]:
    """The sampler as it is by default, and with each switch turned."""
    switches = [field.name for field in dataclasses.fields(cls) if isinstance(field.default, bool)]
    return [cls(), *(cls(**{name: not getattr(cls(), name)}) for name in switches)]


def drawn(cls: type[Sampler]) -> Iterator[tuple[Draw, int, int, int]]:
    """Draws over all settings and shapes, with window, target length and document length."""
    for sampler in settings(cls):
        for window, target_length, available in SHAPES:
            # Whether a window is as long as the target is the trainer's affair; a sampler answers for any window.
            for number in range(DRAWS):
                rng = sample_generator(5, number)
                draw = sampler.draw(rng, window=window, target_length=target_length, available=available)
                yield draw, window, target_length, available


def positions_increase_inside_the_target(cls: type[Sampler]) -> None:
    for draw, window, target_length, _ in drawn(cls):
        assert draw.positions.shape == (window,), f"{draw.positions.shape} positions for a window of {window}"
        assert draw.positions.dtype == np.int64, f"dtype {draw.positions.dtype}"
        assert (np.diff(draw.positions) > 0).all(), "positions do not increase"
        assert draw.positions[0] >= 0, "a negative position"
        assert draw.positions[-1] < target_length, "a position beyond the target"


def text_increases_inside_the_document(cls: type[Sampler]) -> None:
    for draw, window, _, available in drawn(cls):
        assert draw.text.shape == (window,), f"{draw.text.shape} tokens for a window of {window}"
        assert draw.text.dtype == np.int64, f"dtype {draw.text.dtype}"
        assert (np.diff(draw.text) > 0).all(), "a token is repeated or out of order"
        assert draw.text[0] >= 0, "an index before the document"
        assert draw.text[-1] < available, "an index beyond the document"


def a_document_as_long_as_the_window_is_read_whole(cls: type[Sampler]) -> None:
    for draw, window, _, available in drawn(cls):
        if available == window:
            assert np.array_equal(draw.text, np.arange(window)), "text is missing"


def a_target_as_long_as_the_window_gives_plain_counting(cls: type[Sampler]) -> None:
    for draw, window, target_length, _ in drawn(cls):
        if target_length == window:
            assert np.array_equal(draw.positions, np.arange(window)), "positions skip where there is nothing to skip"


def same_sample_number_gives_the_same_window(cls: type[Sampler]) -> None:
    for sampler in settings(cls):
        arguments = {"window": 64, "target_length": 512, "available": 3000}
        forward = [sampler.draw(sample_generator(3, number), **arguments) for number in range(20)]
        backward = [sampler.draw(sample_generator(3, number), **arguments) for number in reversed(range(20))]
        for first, second in zip(forward, reversed(backward), strict=True):
            assert np.array_equal(first.positions, second.positions), "a window depends on what was drawn before it"
            assert np.array_equal(first.text, second.text), "a text depends on what was drawn before it"


def windows_differ_between_samples_and_seeds(cls: type[Sampler]) -> None:
    for sampler in settings(cls):
        arguments = {"window": 64, "target_length": 512, "available": 3000}
        for seeds, numbers in (((1,), range(30)), (range(30), (1,))):
            draws = [sampler.draw(sample_generator(s, n), **arguments) for s in seeds for n in numbers]
            assert len({(*draw.positions.tolist(), *draw.text.tolist()) for draw in draws}) > 1, "always one window"


def the_far_half_of_the_target_is_trained(cls: type[Sampler]) -> None:
    for sampler in settings(cls):
        window = 512 if cls.trains_at_target else 64
        farthest = max(
            int(sampler.positions(sample_generator(2, number), window=window, target_length=512)[-1])
            for number in range(50)
        )
        assert farthest >= 256, f"no position beyond {farthest} of 512"


def impossible_windows_are_refused(cls: type[Sampler]) -> None:
    for sampler in settings(cls):
        with pytest.raises(OptionError, match="the target length must be at least the window of 64 tokens; got 63"):
            sampler.draw(sample_generator(0, 0), window=64, target_length=63, available=64)
        with pytest.raises(OptionError, match="a document must fill the window of 64 tokens; got 10"):
            sampler.draw(sample_generator(0, 0), window=64, target_length=128, available=10)


def unknown_options_are_refused_by_name(cls: type[Sampler]) -> None:
    with pytest.raises(UnknownNameError, match=f"option of sampler '{cls.name}' is called 'no_such_option'"):
        cls.with_options({"no_such_option": 1})


def options_survive_json(cls: type[Sampler]) -> None:
    for sampler in settings(cls):
        assert cls.with_options(json.loads(json.dumps(sampler.options))) == sampler


def the_file_is_called_as_the_sampler(cls: type[Sampler]) -> None:
    module = inspect.getmodule(cls)
    assert module is not None
    assert module.__name__.rsplit(".", 1)[-1] == cls.name.replace("-", "_"), f"{cls.name} lives in {module.__name__}"
    assert {key for key, value in SAMPLERS.items() if value is cls} == {cls.name, *cls.aliases}


def the_docstring_has_every_label(cls: type[Sampler]) -> None:
    sections = cls.sections()
    missing = [label for label in ("Summary", *DOCSTRING_LABELS) if not sections.get(label)]
    assert not missing, f"the docstring lacks {', '.join(missing)}"
    assert ">>>" in (inspect.getmodule(cls).__doc__ or ""), "the docstring has no example"


def the_paper_can_be_cited(cls: type[Sampler]) -> None:
    assert cls.paper.arxiv or cls.paper.url, "a paper needs an arXiv number or an address"


LAWS: tuple[Callable[[type[Sampler]], None], ...] = (
    positions_increase_inside_the_target,
    text_increases_inside_the_document,
    a_document_as_long_as_the_window_is_read_whole,
    a_target_as_long_as_the_window_gives_plain_counting,
    same_sample_number_gives_the_same_window,
    windows_differ_between_samples_and_seeds,
    the_far_half_of_the_target_is_trained,
    impossible_windows_are_refused,
    unknown_options_are_refused_by_name,
    options_survive_json,
    the_file_is_called_as_the_sampler,
    the_docstring_has_every_label,
    the_paper_can_be_cited,
)
