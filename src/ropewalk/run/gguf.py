"""An extended checkpoint becomes a GGUF file, which is read again before it gets its name."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ropewalk.adapters import files
from ropewalk.adapters.export import choose
from ropewalk.adapters.gguf import GGUF_ENGINES
from ropewalk.adapters.gguf.engine import MODELFILE, modelfile
from ropewalk.adapters.source import require_outside
from ropewalk.errors import OptionError
from ropewalk.run.card import write_export_card
from ropewalk.run.export import RECORD, export_result, source_subject, without_place
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters.export import Form, Subject
    from ropewalk.adapters.gguf import Gguf, GgufEngine
    from ropewalk.result import ExportResult

_CHAT = "Ollama takes the chat template from the GGUF only where it knows it; else write TEMPLATE into the Modelfile"
_REPLACES = "flags such as --rope-scaling, --rope-freq-base and --yarn-orig-ctx replace what the file says: pass none"


def export_gguf(
    source: str | Path,
    engine_name: str,
    output: Path | None = None,
    *,
    carrier: str | None = None,
    approximate: bool = False,
    dtype: str | None = None,
    pre: str | None = None,
    overwrite: bool = False,
) -> tuple[Path, ExportResult]:
    """Writes an extended checkpoint as a GGUF file, and compares what was written with the method.

    Args:
        source: The extended checkpoint.
        engine_name: `llama.cpp` for a file, `ollama` for a folder with the file and a Modelfile.
        output: The file or folder to make; None for the source's name with `.gguf` or `-ollama` behind it.
        carrier: Only a form of this name; None for the best one.
        approximate: Allow a form that is not exact.
        dtype: Of matrices: f32, f16 or bf16; None for the checkpoint's own.
        pre: llama.cpp's name of the pre-tokenizer; None to recognise it.
        overwrite: Replace an output that exists.

    Returns:
        The file or folder, and what was written; the record stands beside the file as `FILE.json`, or in the folder.

    Raises:
        RopewalkError: See `ropewalk.errors`; nothing half-written stands under the output.
    """
    engine = GGUF_ENGINES[engine_name]
    subject = source_subject(source)
    engine.require(subject)
    form = choose(engine, subject, carrier=carrier, approximate=approximate)
    folder = subject.folder.resolve()
    target = output or folder.with_name(folder.name + ("-ollama" if engine_name == "ollama" else ".gguf"))
    require_outside(subject.folder, target)
    if engine_name == "llama.cpp" and target.suffix != ".gguf":
        raise OptionError(f"llama.cpp is given one file, whose name ends in .gguf; got {target}. Say -o NAME.gguf.")
    with ExitStack() as stack:
        if engine_name == "ollama":
            place = stack.enter_context(files.whole_folder(target, overwrite=overwrite))
            file, record = place / f"{folder.name}.gguf", place / RECORDS / RECORD
            record.parent.mkdir()
            (place / MODELFILE).write_text(modelfile(file.name, subject), "utf-8")
        else:
            record = stack.enter_context(files.whole_file(record_of(target), overwrite=overwrite))
            file = stack.enter_context(files.whole_file(target, overwrite=overwrite))
        written = engine.write(form, subject, file, dtype, pre)
        result = _result(engine, form, subject, written, target)
        record.write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
        if engine_name == "ollama":
            write_export_card(subject.folder, place, without_place(result, engine, target, subject))
    return target, result


def makes_gguf(engine_name: str) -> bool:
    """Whether an engine is given a GGUF file, and not a checkpoint folder."""
    return engine_name in GGUF_ENGINES


def record_of(file: Path) -> Path:
    """Where the record of a GGUF file stands."""
    return file.with_name(file.name + ".json")


def _result(engine: GgufEngine, form: Form, subject: Subject, written: Gguf, target: Path) -> ExportResult:
    return export_result(
        engine,
        form,
        subject,
        target,
        weights=f"{written.tensors} tensors in one file, matrices in {written.dtype}",
        notes=(*written.notes, _REPLACES, *((_CHAT,) if engine.name == "ollama" else ())),
        checked=(
            f"read again, the file's keys give llama.cpp ('{written.architecture}') the method's frequencies and scale",
            "every tensor read again has the bytes that were written",
        ),
        serve_source=None,
    )
