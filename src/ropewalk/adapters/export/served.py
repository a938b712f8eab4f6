"""vLLM and SGLang: checkpoint folders whose config says nothing that their versions read differently."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from ropewalk.adapters.config import rope_dictionary
from ropewalk.adapters.export import form as forms
from ropewalk.adapters.export.folder import exported_config, write_folder
from ropewalk.adapters.families import assumed_family
from ropewalk.analysis.engines import Wanted, mismatch, readings
from ropewalk.errors import CarrierError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.adapters.export.form import Form, Subject
    from ropewalk.analysis.engines import Reading


class Served:
    """An engine that reads config.json as `analysis.engines` says.

    Attributes:
        name: `vllm` or `sglang`.
        command: What serves a folder, up to its name.
        window: The option for the tokens of the window.
        overrides: The option for entries of the config.
    """

    def __init__(self, name: str, command: str, window: str, overrides: str) -> None:
        self.name, self.command, self.window, self.overrides = name, command, window, overrides

    def forms(self, subject: Subject) -> Iterator[Form]:
        """Tables, folded ones, a staircase, a frozen table; the container never lets a reader choose."""
        yield from forms.table_forms(subject, static_window=True)
        yield from forms.folded_forms(subject, static_window=True)
        yield from forms.staircase_forms(subject)
        yield from forms.frozen_forms(subject, static_window=True)

    def complaint(self, form: Form, subject: Subject) -> str | None:
        """Compares the tables of every documented reading."""
        if form.method.depends_on_length:
            return "freezes its table at one length: rope_type"
        return self._mismatch(exported_config(form, subject), form, subject)

    def reread(self, form: Form, subject: Subject, config: ModelConfig) -> str | None:
        """The same, from a config that was written."""
        return self._mismatch(config.raw, form, subject)

    def readings(self, raw: Mapping[str, Any], subject: Subject) -> tuple[Reading, ...]:
        """What the engine's versions make of a config, from the newer and from the older spelling."""
        found: list[Reading] = []
        older = {key: value for key, value in raw.items() if key != "rope_parameters"}
        for spelling in (raw, older):
            parameters = rope_dictionary(spelling, str(raw["model_type"]))
            dimensions = int(subject.config.head_size * float(parameters["partial_rotary_factor"]))
            found += readings(self.name, parameters, raw, dimensions, int(raw["max_position_embeddings"]))
        return tuple(found)

    def _mismatch(self, raw: Mapping[str, Any], form: Form, subject: Subject) -> str | None:
        if assumed_family(subject.config.model_type).rope_per_layer_type:
            return "may read rope_parameters of each layer type in ways that nobody has checked: rope_parameters"
        target = subject.target_length
        wanted = Wanted(form.frequencies(subject, target), form.factor, target, form.stairs)
        try:
            return mismatch(self.readings(raw, subject), wanted)
        except CarrierError as error:
            return str(error)

    def write(self, form: Form, subject: Subject, folder: Path, *, copy: bool) -> str:
        """A checkpoint folder."""
        return write_folder(form, subject, folder, copy=copy)

    def serve(self, folder: Path, subject: Subject) -> str:
        """The server on the folder, with the window that the tables cover."""
        return f"{self.command} {shlex.quote(str(folder))} {self.window} {subject.target_length}"

    def serve_source(self, form: Form, subject: Subject) -> str | None:
        """The server on the source's weights; None where weights change, or the model type."""
        if form.query_factor != 1 or form.stairs:
            return None
        entries = {
            "rope_parameters": dict(exported_config(form, subject)["rope_parameters"]),
            "max_position_embeddings": form.declared_length(subject),
            **form.entries,
        }
        return f"{self.serve(subject.folder, subject)} {self.overrides} {shlex.quote(json.dumps(entries))}"


VLLM = Served("vllm", "vllm serve", "--max-model-len", "--hf-overrides")
SGLANG = Served(
    "sglang", "python -m sglang.launch_server --model-path", "--context-length", "--json-model-override-args"
)
