"""Plain transformers, without ropewalk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.adapters.carriers import RELATIVE_TOLERANCE, STANDS_STILL, transformers_table
from ropewalk.adapters.config import rope_dictionary
from ropewalk.adapters.export import form as forms
from ropewalk.adapters.export.folder import write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.export.form import Form, Subject


class Transformers:
    """Hugging Face transformers, through `AutoModelForCausalLM.from_pretrained`."""

    name = "transformers"

    def forms(self, subject: Subject) -> Iterator[Form]:
        """Tables, then folded ones, then a staircase."""
        yield from forms.table_forms(subject)
        yield from forms.folded_forms(subject)
        yield from forms.staircase_forms(subject)

    def complaint(self, form: Form, subject: Subject) -> str | None:
        """Compares the tables that transformers computes, at every length that matters."""
        return _difference(form.rope_parameters, form, subject)

    def reread(self, form: Form, subject: Subject, config: ModelConfig) -> str | None:
        """The same from the rope settings of a written config."""
        written = rope_dictionary(config.text, config.model_type)
        share = float(written.pop("partial_rotary_factor"))  # the geometry counts rotated dimensions alone
        if int(subject.config.head_size * share) != subject.config.rope.head_dim:
            return f"rotates a share of {share:g} of each head: partial_rotary_factor"
        return _difference(written, form, subject)

    def write(self, form: Form, subject: Subject, folder: Path, *, copy: bool) -> str:
        """A checkpoint folder."""
        return write_folder(form, subject, folder, copy=copy)

    def serve(self, folder: Path, subject: Subject) -> str:
        """The server of transformers itself."""
        del subject
        return f"transformers serve {folder}"

    def serve_source(self, form: Form, subject: Subject) -> str | None:
        """None: the settings stand in the config that it reads."""
        del form, subject
        return None


def _difference(parameters: Mapping[str, Any], form: Form, subject: Subject) -> str | None:
    rope, target = subject.config.rope, subject.target_length
    if form.method.depends_on_length and form.kind != "dynamic":
        return "its frequencies do not change with the length of a call: rope_type"
    for length in (rope.trained_length, (rope.trained_length + target) // 2, target):
        table, factor = transformers_table(parameters, rope, length)
        wanted = form.frequencies(subject, length)
        if not np.allclose(table, wanted, rtol=RELATIVE_TOLERANCE, atol=STANDS_STILL):
            pair = int(np.argmax(np.abs(table - wanted) / np.maximum(wanted, STANDS_STILL)))
            return (
                f"turns pair {pair} by {table[pair]:.9g} radians per token instead of {wanted[pair]:.9g}: rope_type "
                "and its factors"
            )
        if not math.isclose(factor, form.factor, rel_tol=RELATIVE_TOLERANCE):
            return f"multiplies cos and sin by {factor:.9g} instead of {form.factor:.9g}: attention_factor"
    if parameters.get("llama_4_scaling_beta") != (form.stairs[0] if form.stairs else None):
        return "scales queries by another staircase: llama_4_scaling_beta"
    return None
