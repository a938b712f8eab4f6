"""`export --check FILE.gguf`: the model with its method applied, against llama.cpp itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError
from tokenizers import Tokenizer

from ropewalk import adapters
from ropewalk.adapters.export import Form, choose, read_subject
from ropewalk.adapters.gguf import GGUF_ENGINES, read_gguf, require_gguf
from ropewalk.errors import ModelError
from ropewalk.evals.llama_cpp import LlamaCppRunner
from ropewalk.evals.parity import ModelRunner, compare, whole_prompts, within_tolerance
from ropewalk.result import ExportResult, ParityResult
from ropewalk.run.gguf import record_of
from ropewalk.run.output import RECORDS

if TYPE_CHECKING:
    from ropewalk.adapters.export import Subject
    from ropewalk.adapters.gguf import GgufFile
    from ropewalk.result import ParityCell

Verdict = Literal["PASS", "FAIL", "APPROXIMATE"]
# Of the largest logit. llama.cpp adds up angles in float32; of 16-bit matrices it rounds the other operand, too.
TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 2e-2}
TAIL = 32
# Spaces, lines, digits, contractions, capitals, accents, other scripts and pictures: where tokenizers part.
SAMPLES = (
    "It's 3 33 333 3333 words, isn't it?  WE'LL see...\n\n\n\tdef f(x):\n        return x**2  # 12.5%\r\n",
    "café naïve Straße Дума 日本語 한국어 كتاب 🚀🦙 \u200d a\u0301 ---===### <tag attr='1'>",
)


@dataclass(frozen=True)
class _Written:
    """A GGUF file, what it was made from, and as what."""

    file: Path
    record: ExportResult | None
    subject: Subject
    form: Form


def check_gguf(path: Path, engine_name: str | None = None, *, source: str | Path | None = None) -> ParityResult:
    """Compares table, tokens and logits of a GGUF file in llama.cpp with the applied method.

    Prompts are as long as the old window and the new one; the logits after the last tokens are compared, from one call
    and token by token with a cache, both computed in float32.

    Args:
        path: The file, or a folder made for Ollama.
        engine_name: `llama.cpp`, which Ollama runs too; None for the one that the file was made for.
        source: The extended checkpoint that it was made from; None for the recorded one.

    Raises:
        ModelError: There is no such file, or nothing says what it was made from.
        OptionError: gguf or llama-cpp-python is not installed.
        CarrierError: The file is broken.
    """
    require_gguf()
    written = _find(path, source)
    subject, form = written.subject, written.form
    engine = GGUF_ENGINES[engine_name or (written.record.engine if written.record else "llama.cpp")]
    complaint = engine.reread(form, subject, written.file)
    lengths = (subject.config.rope.trained_length, subject.target_length)
    prompts = whole_prompts(lengths, subject.config.vocabulary_size)
    tail = min(TAIL, *lengths)
    runner = LlamaCppRunner(written.file, subject.target_length, tail)
    try:
        complaint = complaint or _other_tokens(runner, subject.folder)
        applied = ModelRunner(adapters.load_model(subject.folder), tail)
        cells = compare(applied, runner, prompts)
    finally:
        runner.close()
    tolerance = TOLERANCES[_matrices(read_gguf(written.file, digests=True))]
    verdict, reason = _verdict(form, complaint, cells, tolerance)
    return ParityResult(
        engine=engine.name, folder=str(path), verdict=verdict, reason=reason, tolerance=tolerance, cells=cells
    )


def is_gguf(path: Path) -> bool:
    """Whether `check_gguf` is meant: a GGUF file, or a folder that holds one and no weights beside it."""
    return path.suffix == ".gguf" or (path.is_dir() and (path / "Modelfile").is_file())


def _find(path: Path, source: str | Path | None) -> _Written:
    files = [path] if path.suffix == ".gguf" else sorted(path.glob("*.gguf"))
    if len(files) != 1 or not files[0].is_file():
        raise ModelError(
            f"llama.cpp is given one GGUF file; {path} is none. Write it with: ropewalk export DIR --to ..."
        )
    place = record_of(path) if path.suffix == ".gguf" else path / RECORDS / "export.json"
    record = _read_record(place) if place.is_file() else None
    if source is None and record is None:
        raise ModelError(
            f"a GGUF file is compared with the checkpoint that it was made from; {place} is not there to name it. Name "
            "it with --source DIR."
        )
    origin = Path(source) if source is not None else Path(record.source if record else "")
    if source is None and not origin.is_dir():
        raise ModelError(
            f"a GGUF file is compared with the checkpoint that it was made from; {path} was made from {origin}, which "
            "is gone. Name it with --source DIR."
        )
    subject = read_subject(origin)
    form = Form("as it is", subject.method, {}, subject.factor)
    if record is not None:
        engine = GGUF_ENGINES[record.engine]
        form = choose(engine, subject, carrier=record.carrier, approximate=not record.exact)
    return _Written(files[0], record, subject, form)


def _read_record(file: Path) -> ExportResult:
    try:
        return ExportResult.model_validate_json(file.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"{file} must be the record of an export; it is not ({error}). Export again.") from error


def _other_tokens(runner: LlamaCppRunner, folder: Path) -> str | None:
    """Where llama.cpp cuts a sample of text otherwise than the checkpoint's tokenizer."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(file))
    for sample in SAMPLES:
        wanted, got = tokenizer.encode(sample).ids, runner.tokenize(sample)
        if wanted != got:
            at = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), len(wanted))
            return f"llama.cpp cuts a sample of text into other tokens, from token {at} on: tokenizer.ggml.pre"
    return None


def _matrices(found: GgufFile) -> str:
    """The format of the matrices."""
    return next(words.split()[1] for name, words in found.digests.items() if name == "token_embd.weight")


def _verdict(form: Form, complaint: str | None, cells: tuple[ParityCell, ...], tolerance: float) -> tuple[Verdict, str]:
    worst = max(cells, key=lambda cell: cell.largest_difference)
    logits = f"logits differ by at most {worst.largest_difference:.2g} ({worst.phase}, {worst.length:,} tokens)"
    if complaint is not None:
        return "FAIL", f"{complaint}; {logits}"
    if form.loses is not None:
        return "APPROXIMATE", f"as exported: {form.loses}; {logits}"
    if not all(within_tolerance(cell, tolerance) for cell in cells):
        return "FAIL", f"llama.cpp has the method's table, but {logits}"
    return "PASS", f"llama.cpp has the method's table and tokens, and {logits}"
