"""llama.cpp, and Ollama, which is built on it: a GGUF file in place of a checkpoint folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.adapters.gguf.file import DTYPES, read_gguf, require_gguf, stored_dtype, write_gguf
from ropewalk.adapters.gguf.forms import gguf_forms, gguf_mismatch, gguf_reading
from ropewalk.adapters.gguf.layout import architecture_of, require_layout
from ropewalk.adapters.gguf.vocabulary import read_vocabulary
from ropewalk.analysis.llama_cpp import read_keys
from ropewalk.errors import CarrierError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ropewalk.adapters.export.form import Form, Subject


@dataclass(frozen=True)
class Gguf:
    """A GGUF file that was written and read again.

    Attributes:
        architecture: As llama.cpp calls the model.
        dtype: Of matrices.
        tensors: How many.
        notes: Sentences for people.
    """

    architecture: str
    dtype: str
    tensors: int
    notes: tuple[str, ...]


class GgufEngine:
    """An engine that reads GGUF files as `analysis.llama_cpp` says.

    Attributes:
        name: `llama.cpp` or `ollama`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def require(self, subject: Subject) -> None:
        """Refuses a model that cannot be written.

        Raises:
            CarrierError: llama.cpp would compute another model, or nobody has compared it.
            OptionError: The package gguf is not installed.
        """
        require_gguf()
        require_layout(subject.config, subject.target_length)

    def forms(self, subject: Subject) -> Iterator[Form]:
        """llama.cpp's own rope types, divisors, a staircase, a frozen table."""
        yield from gguf_forms(subject)

    def complaint(self, form: Form, subject: Subject) -> str | None:
        """Compares the table that llama.cpp computes from the form's keys."""
        if form.method.depends_on_length:
            return "llama.cpp computes one table for every length: rope.scaling.type"
        return gguf_mismatch(gguf_reading(form, subject, architecture_of(form, subject)), form, subject)

    def write(self, form: Form, subject: Subject, file: Path, dtype: str | None, pre: str | None) -> Gguf:
        """Writes a form and reads it again: keys, table, factor, stairs, and the bytes of every tensor.

        Args:
            form: What `choose` chose.
            subject: What is exported.
            file: To be made.
            dtype: Of matrices: f32, f16 or bf16; None for the checkpoint's own.
            pre: llama.cpp's name of the pre-tokenizer; None to recognise it.

        Raises:
            CarrierError: The file would not be the model, or is not what was to be written.
            ModelError: The weights are missing or broken.
            OptionError: There is no such format.
        """
        if dtype is not None and dtype not in DTYPES:
            raise OptionError(f"the matrices of a GGUF are stored as {', '.join(DTYPES)}; got --dtype {dtype}.")
        kind = dtype or stored_dtype(subject)
        architecture = architecture_of(form, subject)
        vocabulary = read_vocabulary(subject.config, subject.folder, pre)
        written = write_gguf(file, form, subject, architecture, vocabulary, kind)
        complaint = self.reread(form, subject, file)
        found = read_gguf(file, digests=True).digests
        changed = sorted(name for name in {*written, *found} if written.get(name) != found.get(name))
        if changed:
            complaint = f"llama.cpp would load other bytes than were written: {', '.join(changed[:3])}"
        if complaint is not None:
            raise CarrierError(
                f"what was written must hold the method's numbers; read again, {complaint}. Report this."
            )
        return Gguf(architecture, kind, len(written), vocabulary.notes)

    def reread(self, form: Form, subject: Subject, file: Path) -> str | None:
        """How llama.cpp would compute something else from a file than the form says, or None."""
        found = read_gguf(file)
        try:
            reading = read_keys(found.architecture, found.keys, found.divisors)
        except CarrierError as error:
            return f"llama.cpp cannot read the file: {error}"
        return gguf_mismatch(reading, form, subject)

    def serve(self, target: Path, subject: Subject) -> str:
        """The command that serves the file, or the folder with the Modelfile."""
        path = shlex.quote(str(target))
        if self.name == "ollama":
            name = shlex.quote(target.name.lower())
            return f"ollama create {name} -f {shlex.quote(str(target / MODELFILE))} && ollama run {name}"
        return f"llama-server -m {path} -c {subject.target_length}"


MODELFILE = "Modelfile"
GGUF_ENGINES = {name: GgufEngine(name) for name in ("llama.cpp", "ollama")}


def modelfile(file_name: str, subject: Subject) -> str:
    """What Ollama reads beside the GGUF: without `num_ctx` it would cut texts at its own short default."""
    return f"FROM ./{file_name}\nPARAMETER num_ctx {subject.target_length}\n"
