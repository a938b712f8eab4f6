"""`export --check`: the model with its method applied, against the form that an engine computes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ropewalk import adapters
from ropewalk.adapters.export import GGUF_NAMES, choose, find_engine, read_subject
from ropewalk.adapters.export.load import engine_model, form_as_written
from ropewalk.errors import ModelError
from ropewalk.evals.parity import TOLERANCE, ModelRunner, compare, spread_prompts, whole_prompts, within_tolerance
from ropewalk.result import ExportResult, ParityResult
from ropewalk.run.device import default_device
from ropewalk.run.export import RECORD
from ropewalk.run.gguf_parity import check_gguf, is_gguf
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from ropewalk.adapters.export import Form
    from ropewalk.result import ParityCell

Verdict = Literal["PASS", "FAIL", "APPROXIMATE"]


def check(
    folder: str | Path, engine_name: str | None = None, *, source: str | Path | None = None, whole: bool = False
) -> ParityResult:
    """Compares tables and logits of an engine's form with the applied method, at the old window and at the new one.

    Args:
        folder: An export, or an extended checkpoint; for a GGUF file see `gguf_parity.check_gguf`.
        engine_name: Whose reading of it; None for the engine that it was exported for, else transformers.
        source: The extended checkpoint that it was made from; None for the recorded one, else the folder itself.
        whole: Prompts as long as the windows, instead of their first and last tokens.

    Raises:
        ModelError: There is no such model, or the recorded source is gone.
        RopewalkError: As `export`, where the form cannot be made again from the source.
    """
    if engine_name in GGUF_NAMES or is_gguf(Path(folder)):
        return check_gguf(Path(folder), engine_name, source=source)
    path = adapters.resolve_source(folder)
    record = _record(path)
    engine = find_engine(engine_name or (record.engine if record else "transformers"))
    origin = source or (_recorded_source(record, path) if record else path)
    subject = read_subject(origin)
    form = form_as_written(path, subject)
    if record is not None:
        form = choose(find_engine(record.engine), subject, carrier=record.carrier, approximate=not record.exact)
    complaint = engine.reread(form, subject, adapters.read_model_config(path))
    applied = adapters.load_model(origin, device=default_device())
    compared = engine_model(engine, path, subject, default_device())
    lengths = (subject.config.rope.trained_length, subject.target_length)
    vocabulary = int(applied.config.vocab_size)
    prompts = whole_prompts(lengths, vocabulary) if whole else spread_prompts(lengths, vocabulary)
    cells = compare(ModelRunner(applied), ModelRunner(compared), prompts)
    verdict, reason = _verdict(engine.name, form, complaint, cells)
    return ParityResult(
        engine=engine.name, folder=str(folder), verdict=verdict, reason=reason, tolerance=TOLERANCE, cells=cells
    )


def _verdict(engine: str, form: Form, complaint: str | None, cells: tuple[ParityCell, ...]) -> tuple[Verdict, str]:
    worst = max(cells, key=lambda cell: cell.largest_difference)
    logits = f"logits differ by at most {worst.largest_difference:.2g} ({worst.phase}, {worst.length:,} tokens)"
    if complaint is not None:
        return "FAIL", f"{engine} {complaint}; {logits}"
    if form.loses is not None:
        return "APPROXIMATE", f"as exported: {form.loses}; {logits}"
    if not all(map(within_tolerance, cells)):
        return "FAIL", f"{engine} has the method's tables, but {logits}"
    return "PASS", f"{engine} has the method's tables, and {logits}"


def _record(folder: Path) -> ExportResult | None:
    file = folder / RECORDS / RECORD
    if not file.is_file():
        return None
    try:
        return ExportResult.model_validate_json(file.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} must be the record of an export; it is not ({error}). Export again.") from error


def _recorded_source(record: ExportResult, folder: Path) -> Path:
    source = Path(record.source)
    if not source.is_dir():
        raise ModelError(
            f"an export is compared with the checkpoint that it was made from; {folder} was made from {source}, which "
            "is gone. Name it with --source DIR."
        )
    return source
