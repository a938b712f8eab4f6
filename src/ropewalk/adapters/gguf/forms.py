"""Which keys and divisors of a GGUF file hold a method: llama.cpp's own rope types first, then the divisor tensor.

`rope_freqs.weight` holds any static frequency vector (trained / wanted frequency), and `rope.scaling.attn_factor` any
constant factor; the first is read by some architectures only (`analysis.llama_cpp`). Nothing here is taken for granted:
every form is read by formula and compared with the method before it is chosen.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.adapters.export.form import Form, frozen_forms, staircase_forms, table_forms
from ropewalk.analysis.engines import Reading, Wanted, mismatch
from ropewalk.analysis.llama_cpp import DIVISORS, TOLERANCE, read_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ropewalk.adapters.export.form import Subject
    from ropewalk.rope import Floats

_NATIVE = ("default", "linear", "yarn")
# A pair that stands still; within float32, and at a million tokens it has turned by 1e-24 radians.
_STOPPED = 1e30


def gguf_forms(subject: Subject) -> Iterator[Form]:
    """Ways to write a subject; `rope_parameters` are keys of a GGUF, with the divisors under their tensor's name."""
    for form in table_forms(subject):
        if form.kind in _NATIVE:
            yield _native(form)
    if not subject.method.scale_varies and not subject.method.depends_on_length:
        yield _divided(Form("rope_freqs", subject.method, {}, subject.factor), subject)
    for form in chain(staircase_forms(subject), frozen_forms(subject)):
        if form.kind in _NATIVE:
            yield _native(form)
        yield _divided(form, subject)


def _native(form: Form) -> Form:
    """A rope type of transformers under llama.cpp's names; what it has no key for is left out, and found when read."""
    parameters = form.rope_parameters
    keys: dict[str, Any] = {"rope.freq_base": float(parameters["rope_theta"]), "rope.scaling.type": "none"}
    default = 1.0
    if form.kind != "default":
        keys |= {"rope.scaling.type": form.kind, "rope.scaling.factor": float(parameters["factor"])}
    if form.kind == "yarn":
        keys["rope.scaling.original_context_length"] = int(parameters["original_max_position_embeddings"])
        default = max(1.0, 0.1 * math.log(float(parameters["factor"])) + 1)
    return replace(form, rope_parameters=keys | _scales(form, default), entries={})


def _divided(form: Form, subject: Subject) -> Form:
    """The table as divisors of the trained one."""
    trained = subject.config.rope.frequencies
    with np.errstate(divide="ignore"):
        divisors = np.minimum(trained / form.frequencies(subject, subject.target_length), _STOPPED)
    keys = {"rope.freq_base": float(subject.config.rope.base), "rope.scaling.type": "none"}
    return replace(form, rope_parameters=keys | _scales(form, 1.0) | {DIVISORS: divisors.tolist()}, entries={})


def _scales(form: Form, default: float) -> dict[str, Any]:
    """The factor on cos and sin beside the one that the type brings, and the stairs."""
    keys: dict[str, Any] = {}
    if not math.isclose(form.factor, default, rel_tol=1e-12):
        keys["rope.scaling.attn_factor"] = form.factor / default
    if form.stairs is not None:
        beta, length = form.stairs
        keys |= {"attention.temperature_scale": beta, "rope.scaling.original_context_length": length}
    return keys


def gguf_reading(form: Form, subject: Subject, architecture: str) -> Reading:
    """What llama.cpp makes of a form."""
    keys = {
        **{key: value for key, value in form.rope_parameters.items() if key != DIVISORS},
        "rope.dimension_count": subject.config.rope.head_dim,
        "context_length": subject.target_length,
    }
    return read_keys(architecture, keys, divisors_of(form.rope_parameters))


def divisors_of(parameters: Mapping[str, Any]) -> Floats | None:
    """The divisors of a form, `[pairs]`."""
    found = parameters.get(DIVISORS)
    return None if found is None else np.asarray(found, dtype=np.float64)


def gguf_mismatch(reading: Reading, form: Form, subject: Subject) -> str | None:
    """How a reading differs from what a form stands for, or None."""
    target = subject.target_length
    wanted = Wanted(form.frequencies(subject, target), form.factor, target, form.stairs)
    return mismatch((reading,), wanted, TOLERANCE)
