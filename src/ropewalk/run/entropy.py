"""Measures the attention entropy of a checkpoint: the work behind `ropewalk evaluate --entropy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import read_texts
from ropewalk.evals import tasks
from ropewalk.evals.entropy_curve import EntropyPlan, entropy_curves
from ropewalk.evals.model_record import model_record
from ropewalk.evals.store import RESULT, refuse_earlier, write_record
from ropewalk.report.entropy import write_entropy_figure
from ropewalk.run.checkpoint import load_checkpoint, target_length_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ropewalk.result import EntropyResult


def measure_entropy(
    model: str | Path,
    lengths: Sequence[int],
    data: Sequence[str | Path] = (),
    *,
    name: str | None = None,
    documents: int = 8,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> EntropyResult:
    """Measures attention entropy by position, layer by layer, and the logit scale that would keep it flat.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        lengths: Context lengths in tokens; the longest is read, and shows every shorter one.
        data: Text files and folders; the built-in held-out modules by default.
        name: What to call the model.
        documents: Number of documents, chosen at random among those that are long enough.
        seed: Seed of the choice.
        progress: Called with (what is measured, forwards done, forwards in total).

    Raises:
        RopewalkError: See `ropewalk.evals.entropy_curve.entropy_curves`.
    """
    plan = EntropyPlan(longest=max(lengths), documents=documents, seed=seed)
    texts = (read_texts(data) if data else standard_library(held_out=True)).documents
    checkpoint = load_checkpoint(model, name=name)
    streams = tasks.text_data(texts, tasks.encoder(checkpoint.tokenizer), longest=plan.longest)
    record = model_record(
        checkpoint.model,
        name=checkpoint.name,
        method=checkpoint.method,
        trained_length=checkpoint.trained_length,
        target_length=checkpoint.target_length,
        weights=checkpoint.weights,
    )
    return entropy_curves(checkpoint.model, streams, plan, record, progress=progress)


def evaluate_entropy(
    model: str | Path,
    lengths: Sequence[int] = (),
    data: Sequence[str | Path] = (),
    *,
    output: Path | None = None,
    overwrite: bool = False,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> EntropyResult:
    """Measures attention entropy and leaves `result.json` and `figure.png` in a folder.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        lengths: Context lengths in tokens; the model's window if none are given.
        data: Text files and folders; the built-in held-out modules by default.
        output: The folder, or None to keep nothing.
        overwrite: Replace an earlier result in `output`.
        seed: Seed of the choice of documents.
        progress: Called with (what is measured, forwards done, forwards in total).

    Raises:
        RopewalkError: See `measure_entropy`.
        OutputError: An earlier result is in the way, or the folder cannot be written.
    """
    if output is not None:
        refuse_earlier(output, overwrite=overwrite)
    window = (target_length_of(adapters.read_model_config(model)),)
    result = measure_entropy(model, lengths or window, data, seed=seed, progress=progress)
    if output is not None:
        write_record(output / RESULT, result)
        write_entropy_figure([result], output / "figure.png")
    return result
