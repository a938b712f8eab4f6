"""Measures one model: the work behind `ropewalk evaluate`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ropewalk import adapters
from ropewalk.adapters.apply import recorded_method
from ropewalk.data.corpus import standard_library
from ropewalk.data.documents import read_texts
from ropewalk.errors import OutputError
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.store import RESULT, write_evaluation
from ropewalk.evals.suite import evaluate_model
from ropewalk.run.device import default_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ropewalk.result import EvaluationResult, SampleResult

    Evaluation = tuple[EvaluationResult, list[SampleResult]]

UNTOUCHED = "untouched"


def evaluate(
    model: str | Path,
    lengths: Sequence[int],
    *,
    data: Sequence[str | Path] = (),
    output: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> EvaluationResult:
    """Measures a checkpoint at several context lengths.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        lengths: Context lengths in tokens.
        data: Text files and folders that the model was not trained on; the built-in held-out modules by default.
        output: Folder for `result.json` and `samples.jsonl`.
        seed: Seed of the recall tasks.
        overwrite: Replace an earlier result in `output`.
        progress: Called with (what is measured, samples done, samples in total).

    Raises:
        RopewalkError: See `ropewalk.errors`.
    """
    if output is not None and (output / RESULT).exists() and not overwrite:
        raise OutputError(
            f"an earlier result must not be lost; '{output / RESULT}' exists. Choose another folder with -o, or "
            "replace it with --overwrite."
        )
    plan = EvaluationPlan(lengths=tuple(sorted(lengths)), seed=seed)
    result, samples = measure(model, plan, data=data, progress=progress)
    return write_evaluation(output, result, samples) if output is not None else result


def measure(
    model: str | Path,
    plan: EvaluationPlan,
    *,
    name: str | None = None,
    data: Sequence[str | Path] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Loads a checkpoint and measures it by a plan."""
    documents = (read_texts(data) if data else standard_library(held_out=True)).documents
    config = adapters.read_model_config(model)
    extension = config.extension or {}
    method = recorded_method(config)
    return evaluate_model(
        adapters.load_model(model, device=default_device()),
        adapters.load_tokenizer(model),
        plan,
        documents,
        name=name or str(model),
        method=method.describe(config.rope) if method else UNTOUCHED,
        trained_length=config.rope.trained_length,
        target_length=int(extension.get("target_length", config.declared_length)),
        weights=weights_fingerprint(config.path),
        progress=progress,
    )


def weights_fingerprint(folder: Path) -> str:
    """First 16 hex digits of SHA-256 over the safetensors files of a checkpoint, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
