"""An extended checkpoint becomes a folder for an engine, and is compared with the method before it gets its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ropewalk import adapters
from ropewalk.adapters import files
from ropewalk.adapters.export import choose, find_engine, read_subject
from ropewalk.adapters.export.folder import weight_notes
from ropewalk.adapters.export.twins import applied_twin, exported_twin
from ropewalk.adapters.source import require_outside
from ropewalk.errors import CarrierError, ModelError
from ropewalk.evals.parity import ModelRunner, compare, spread_prompts, within_tolerance
from ropewalk.result import ExportResult
from ropewalk.run.card import write_export_card
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from ropewalk.adapters.export import Engine, Form, Subject
    from ropewalk.result import ParityCell

RECORD = "export.json"


class Server(Protocol):
    """What every engine has that an export is written for."""

    @property
    def name(self) -> str:
        """What `--to` calls it."""

    def serve(self, target: Path, subject: Subject) -> str:
        """The command that serves what was written."""


def export(
    source: str | Path,
    engine_name: str,
    output: Path | None = None,
    *,
    carrier: str | None = None,
    approximate: bool = False,
    copy: bool = False,
    overwrite: bool = False,
) -> tuple[Path, ExportResult]:
    """Writes an extended checkpoint for an engine, and compares what was written with the method.

    Args:
        source: The extended checkpoint.
        engine_name: Such as `vllm`; see `adapters.export.ENGINES`.
        output: The folder to make; None for the source's name with the engine's behind it.
        carrier: Only a form of this name; None for the best one.
        approximate: Allow a form that is not exact.
        copy: Copy weight files instead of linking them.
        overwrite: Replace an output folder that exists.

    Returns:
        The folder, and what was written.

    Raises:
        RopewalkError: See `ropewalk.errors`; nothing half-written stands under the output.
    """
    engine = find_engine(engine_name)
    subject = source_subject(source)
    form = choose(engine, subject, carrier=carrier, approximate=approximate)
    target = output or subject.folder.with_name(f"{subject.folder.resolve().name}-{engine.name}")
    require_outside(subject.folder, target)
    with files.whole_folder(target, overwrite=overwrite) as partial:
        weights = engine.write(form, subject, partial, copy=copy)
        checked, parity = _check_written(engine, form, subject, partial)
        result = export_result(
            engine,
            form,
            subject,
            target,
            query_factor=form.query_factor,
            weights=weights,
            notes=weight_notes(form, subject) + _notes(weights),
            checked=checked,
            parity=parity,
            serve_source=engine.serve_source(form, subject),
        )
        (partial / RECORDS).mkdir(exist_ok=True)
        (partial / RECORDS / RECORD).write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
        write_export_card(subject.folder, partial, without_place(result, engine, target, subject))
    return target, result


def export_result(engine: Server, form: Form, subject: Subject, target: Path, **others: Any) -> ExportResult:
    """The record of an export.

    Args:
        engine: What serves it.
        form: How the method was carried.
        subject: The extended checkpoint.
        target: The folder or file that was made.
        **others: Fields of `ExportResult` that each engine fills in its own way.
    """
    return ExportResult(
        engine=engine.name,
        source=str(subject.folder.resolve()),
        method=subject.method.describe(subject.config.rope),
        trained_length=subject.config.rope.trained_length,
        target_length=subject.target_length,
        carrier=form.carrier,
        exact=form.loses is None,
        loses=form.loses,
        rope_parameters=dict(form.rope_parameters),
        serve=engine.serve(target, subject),
        **others,
    )


def without_place(result: ExportResult, engine: Server, target: Path, subject: Subject) -> ExportResult:
    """The record for a card: a command that names a place on this machine says nothing to its readers."""
    return result.model_copy(update={"serve": engine.serve(Path(target.name), subject)})


def source_subject(source: str | Path) -> Subject:
    """The extended checkpoint that an export starts from.

    Raises:
        ModelError: It is none, or an export itself.
    """
    subject = read_subject(source)
    if (subject.folder / RECORDS / RECORD).is_file():
        raise ModelError(
            f"an export starts from the extended checkpoint, because a second one could fold a scale twice; {source} "
            f"is an export itself. Name what its {RECORDS}/{RECORD} calls the source."
        )
    return subject


def _notes(weights: str) -> tuple[str, ...]:
    if weights != "linked":
        return ()
    return ("the weight files are hard links: they take no space, and a program that writes into one changes both",)


def _check_written(
    engine: Engine, form: Form, subject: Subject, folder: Path
) -> tuple[tuple[str, ...], tuple[ParityCell, ...]]:
    """Reads the written folder again, and compares it with the method.

    Raises:
        CarrierError: The engine would compute something else; nothing is left behind.
    """
    complaint = engine.reread(form, subject, adapters.read_model_config(folder))
    if complaint is not None:
        raise CarrierError(
            f"what was written must hold the method's numbers; read again, {engine.name} {complaint}. Report this."
        )
    applied = applied_twin(subject)
    exported = exported_twin(folder, form, applied)
    lengths = (subject.config.rope.trained_length, subject.target_length)
    prompts = spread_prompts(lengths, int(applied.config.vocab_size))
    cells = compare(ModelRunner(applied), ModelRunner(exported), prompts)
    worst = max(cells, key=lambda cell: cell.largest_difference)
    if form.loses is None and not all(map(within_tolerance, cells)):
        raise CarrierError(
            f"an exact form must give the method's logits; written as '{form.carrier}' they differ by "
            f"{worst.largest_difference:.3g} at {worst.length:,} tokens ({worst.phase}). Choose another carrier, and "
            "report this model family."
        )
    return (
        f"the written config gives {engine.name} the method's frequencies and scale",
        f"logits of a small random model with that config differ by at most {worst.largest_difference:.2g} at "
        f"{' and '.join(f'{length:,}' for length in lengths)} tokens, in one call and token by token",
    ), cells
