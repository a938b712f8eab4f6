"""What one method or sampler does, as a dictionary that is ready for JSON: `ropewalk explain NAME --json`."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk import methods, positions
from ropewalk.analysis import relative_maps
from ropewalk.analysis.coverage import coverage
from ropewalk.analysis.pairs import incomplete_pairs, pairs_beyond_training, wavelengths
from ropewalk.errors import OptionError, unknown_name
from ropewalk.method import METHODS
from ropewalk.sampler import SAMPLERS, sample_generator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ropewalk.method import Method, Paper
    from ropewalk.rope import Floats, Rope
    from ropewalk.sampler import Sampler

MOST_EXAMPLES = 8
# Windows of a million tokens are shown fewer times, so that the answer stays readable by a program.
MOST_EXAMPLE_POSITIONS = 1_000_000


def explain(
    name: str,
    rope: Rope,
    target_length: int,
    *,
    options: Mapping[str, Any] | None = None,
    at: Sequence[int] | None = None,
    layers: int = 32,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about a method or a sampler for one geometry.

    A method whose frequencies depend on the length of the text is shown at the target length. A sampler alone leaves
    the frequencies as they are.

    Args:
        name: A method, a sampler, or an alias; a preset is a method that brings its sampler.
        rope: The trained geometry.
        target_length: Tokens of the extended window.
        options: Options of the method and of its sampler by name.
        at: 0-based query positions at which the attention scale is told; by default both sides of the trained window's
            end, and the target's.
        layers: Layers of the model, for the scale in its last layer.
        draws: Windows drawn for the coverage.
        seed: Seed of the draws.

    Returns:
        `frequencies` (radians per token), `wavelengths` (tokens) and `stretch`, fastest pair first, None where
        infinite; `attention_scale`, a list of {position, first_layer, last_layer}; `pairs`; where there is a sampler
        `examples` (at most 8 lists of positions) and `coverage`; what was asked for; and `derived_options`, the names
        of options that were neither given nor left at their defaults (a factor, or a method's example values).

    Raises:
        UnknownNameError: No such method, sampler or option.
        OptionError: A target below the trained window, or an option that cannot be used.
    """
    _check(rope, target_length, at, layers, draws)
    method, sampler = _resolve(name, rope, target_length, dict(options or {}))
    static = method.at(target_length)
    frequencies = static.frequencies(rope)
    subject: Method | Sampler = sampler if name not in METHODS and sampler is not None else method
    facts: dict[str, Any] = {
        "name": subject.name,
        "kind": "method" if name in METHODS else "sampler",
        "aliases": list(subject.aliases),
        "describe": method.describe(rope) if name in METHODS else subject.name,
        "options": subject.options,
        "derived_options": _derived(subject, options or {}),
        "rope": dataclasses.asdict(rope),
        "target_length": target_length,
        "paper": _paper(subject.paper),
        "sections": subject.sections(),
        "frequencies": _finite(frequencies),
        "wavelengths": _finite(wavelengths(frequencies)),
        "stretch": _finite(static.stretch(rope)),
        "depends_on_length": method.depends_on_length,
        "exemptions": dict(method.exemptions),
        "pairs": {
            "incomplete_in_trained_window": incomplete_pairs(rope.frequencies, rope.trained_length).tolist(),
            "beyond_trained_angles": pairs_beyond_training(rope, frequencies, target_length).tolist(),
        },
        "attention_scale": _scales(static, rope, at or _default_positions(rope, target_length), layers),
    }
    return facts if sampler is None else facts | _windows(sampler, rope, target_length, draws, seed)


def explain_map(
    name: str, rope: Rope, target_length: int, *, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Everything about an inference map for one geometry.

    Args:
        name: A map.
        rope: The trained geometry.
        target_length: Tokens of the longest text.
        options: Options of the map by name.

    Returns:
        What the map says of itself; `reach`, the longest text in tokens, None where endless; `told`, a list of
        {distance, told} for the last query of the text; and `attention_scale`, a list of {position, scale}.

    Raises:
        UnknownNameError: No such map or option.
        OptionError: A target below the trained window, or an option that cannot be used.
    """
    _check(rope, target_length, None, 1, 1)
    chosen = relative_maps.get(name).for_rope(rope, options)
    last, reach = target_length - 1, chosen.reach(rope)
    near = [1, chosen.window - 1, chosen.window, 2 * chosen.window]
    distances = sorted({d for d in (*near, *_default_positions(rope, target_length)) if 0 < d <= last})
    told = chosen.relative(np.array([last]), last - np.array(distances))[0].tolist()
    where = np.array(_default_positions(rope, target_length))
    scales = chosen.attention_scale(rope, where).tolist()
    return {
        "name": chosen.name,
        "kind": "inference map",
        "describe": chosen.describe(),
        "idea": chosen.idea,
        "equation": chosen.equation,
        "disagrees": chosen.disagrees,
        "options": chosen.options,
        "rope": dataclasses.asdict(rope),
        "target_length": target_length,
        "paper": _paper(chosen.paper),
        "exported": False,
        "reach": reach if math.isfinite(reach) else None,
        "told": [{"distance": d, "told": t} for d, t in zip(distances, told, strict=True)],
        "attention_scale": [{"position": p, "scale": s} for p, s in zip(where.tolist(), scales, strict=True)],
    }


def _check(rope: Rope, target_length: int, at: Sequence[int] | None, layers: int, draws: int) -> None:
    if target_length < rope.trained_length:
        raise OptionError(
            f"target_length must be at least trained_length, because a window is extended and not cut; got "
            f"{target_length} and {rope.trained_length}."
        )
    for name, value in (("layers", layers), ("draws", draws)):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, because there is nothing to show otherwise; got {value}.")
    for position in at or ():
        if position < 0:
            raise OptionError(f"positions count from 0, because the first token's is 0; got {position}.")


def _resolve(name: str, rope: Rope, target_length: int, options: dict[str, Any]) -> tuple[Method, Sampler | None]:
    """The method (its example where no option of it is given) and its sampler."""
    if name not in METHODS and name not in SAMPLERS:
        raise unknown_name("method or sampler", name, {*METHODS, *SAMPLERS})
    method_class = methods.get(name if name in METHODS else "none")
    sampler_name = method_class.sampler if name in METHODS else name
    sampler_class = None if sampler_name is None else positions.get(sampler_name)
    of_method = method_class.option_names() if name in METHODS else ()
    of_sampler = sampler_class.option_names() if sampler_class is not None else ()
    for key in options:
        if key not in {*of_method, *of_sampler}:
            raise unknown_name(f"option of '{name}'", key, {*of_method, *of_sampler})
    for_method = {key: value for key, value in options.items() if key in of_method}
    if for_method:
        method = method_class.for_target(rope, target_length, for_method)
    else:
        method = method_class.example(rope, target_length)
    sampler = None
    if sampler_class is not None:
        sampler = sampler_class.with_options({key: value for key, value in options.items() if key in of_sampler})
    return method, sampler


def _derived(subject: Method | Sampler, given: Mapping[str, Any]) -> list[str]:
    defaults = {field.name: field.default for field in dataclasses.fields(subject)}
    return [key for key in subject.option_names() if key not in given and getattr(subject, key) != defaults[key]]


def _paper(paper: Paper) -> dict[str, Any]:
    return {**dataclasses.asdict(paper), "key": paper.key, "bibtex": paper.bibtex}


def _finite(values: Floats) -> list[float | None]:
    """Numbers for JSON, which knows no infinity."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _default_positions(rope: Rope, target_length: int) -> list[int]:
    """The first token, both sides of the trained window's end, doublings from there, and the target's last token."""
    length = rope.trained_length
    doublings = [length * 2**power - 1 for power in range(1, 64) if length * 2**power < target_length]
    inside = [0, length - 1, length, *doublings, target_length - 1]
    return sorted({position for position in inside if position < target_length})


def _scales(method: Method, rope: Rope, at: Sequence[int], layers: int) -> list[dict[str, Any]]:
    """What logits are multiplied by at some positions, in the first and in the last layer."""
    where = np.asarray(at, dtype=np.int64)
    first = method.attention_scale(rope, where, 0)
    last = method.attention_scale(rope, where, layers - 1)
    rows = zip(where.tolist(), first.tolist(), last.tolist(), strict=True)
    return [{"position": position, "first_layer": low, "last_layer": high} for position, low, high in rows]


def _windows(sampler: Sampler, rope: Rope, target_length: int, draws: int, seed: int) -> dict[str, Any]:
    """Drawn windows and which distances they cover."""
    window = target_length if sampler.trains_at_target else rope.trained_length
    shown = max(1, min(draws, MOST_EXAMPLES, MOST_EXAMPLE_POSITIONS // window))
    found = coverage(sampler, window=window, target_length=target_length, draws=draws, seed=seed)
    examples = [
        sampler.positions(sample_generator(seed, number), window=window, target_length=target_length).tolist()
        for number in range(shown)
    ]
    bands = [{"from": first, "to": last, "covered": covered} for first, last, covered in found.bands()]
    return {
        "sampler": {"name": sampler.name, "options": sampler.options, "window": window},
        "examples": examples,
        "coverage": {
            "draws": draws,
            "seed": seed,
            "mean": found.mean,
            "ever": found.ever,
            "farthest": float(found.probability[-1]),
            "bands": bands,
        },
    }
