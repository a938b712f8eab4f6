"""Measures one model: the work behind `ropewalk evaluate`."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from ropewalk import adapters
from ropewalk.data.corpus import Corpus, standard_library
from ropewalk.data.documents import read_texts
from ropewalk.data.ruler_files import read_ruler_file, ruler_rule
from ropewalk.errors import OptionError
from ropewalk.evals.batches import Subject
from ropewalk.evals.environment import environment
from ropewalk.evals.journal import Journal
from ropewalk.evals.plan import TASKS, EvaluationPlan
from ropewalk.evals.store import refuse_earlier, write_evaluation
from ropewalk.evals.suite import evaluate_model
from ropewalk.evals.suites import read_suite
from ropewalk.evals.tasks import encoder
from ropewalk.run.checkpoint import (
    Checkpoint,
    load_checkpoint,
    reference_of,
    settings_fingerprint,
    target_length_of,
    weights_fingerprint,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ropewalk.data.ruler_files import RulerSample
    from ropewalk.evals.certification import CertificatePlan
    from ropewalk.result import EvaluationResult, SampleResult

    Evaluation = tuple[EvaluationResult, list[SampleResult]]
    Progress = Callable[[str, int, int], None]

__all__ = [
    "PARTIAL",
    "Checkpoint",
    "Order",
    "evaluate",
    "evaluate_order",
    "load_checkpoint",
    "measure",
    "weights_fingerprint",
]

PARTIAL = ".partial"


@dataclass(frozen=True)
class Order:
    """What is measured on which texts.

    Attributes:
        plan: Lengths, tasks and sizes.
        documents: Texts by name.
        ruler: Lines of files in RULER's format, by the task's name.
        certificate: Settings of a certificate, or None for no certificate.
        reference: The untouched model that the certificate compares with.
        suite: The suite that all this comes from, or None.
    """

    plan: EvaluationPlan
    documents: Mapping[str, str]
    ruler: Mapping[str, Sequence[RulerSample]] = field(default_factory=dict)
    certificate: CertificatePlan | None = None
    reference: str | Path | None = None
    suite: str | None = None


def evaluate(
    model: str | Path,
    lengths: Sequence[int] = (),
    *,
    suite: str | None = None,
    tasks: Sequence[str] = (),
    data: Sequence[str | Path] = (),
    ruler: Mapping[str, str | Path] | None = None,
    reference: str | Path | None = None,
    certificate: bool = True,
    released_code: bool = False,
    output: Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Measures a checkpoint at several context lengths.

    With an output folder every sample is kept as it is measured, in `OUTPUT.partial`: a killed evaluation that is run
    again goes on where it stopped, with the same numbers as if nothing had happened.

    Args:
        model: A checkpoint folder, a hub id, or `builtin`.
        lengths: Context lengths in tokens; by the suite's rule if none are given.
        suite: `smoke`, `standard`, `full`, or a suite file.
        tasks: What to measure, in place of the suite's choice.
        data: Text files and folders that the model was not trained on; the built-in held-out modules by default.
        ruler: Files in RULER's format, by the name of the task that they hold.
        reference: The untouched model, for the certificate; the one that the checkpoint was made from by default.
        certificate: Make the suite's certificate, if it has one.
        released_code: Perplexities average as released code of papers does, and say so.
        output: Folder for `result.json` and `samples.jsonl`.
        seed: Seed of everything that is drawn.
        overwrite: Replace an earlier result in `output`, or unfinished work of another evaluation.
        progress: Called with (what is measured, samples done, samples in total).

    Raises:
        RopewalkError: See `ropewalk.errors`.
    """
    if output is not None:
        refuse_earlier(output, overwrite=overwrite)
    plan, settings = _chosen(model, lengths, suite, tasks, seed)
    settings = settings if certificate else None
    order = Order(
        plan=dataclasses.replace(plan, released_code=released_code or plan.released_code),
        documents=_documents(data),
        ruler=_ruler(ruler or {}),
        certificate=settings,
        reference=reference_of(model, reference) if settings else None,
        suite=suite,
    )
    checkpoint = load_checkpoint(model)
    if output is None:
        return _measured(checkpoint, order, Journal(), progress)[0]
    return evaluate_order(checkpoint, order, output, overwrite=overwrite, progress=progress)


def evaluate_order(
    checkpoint: Checkpoint, order: Order, output: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> EvaluationResult:
    """Measures a loaded checkpoint and writes the result; goes on with what `OUTPUT.partial` holds of it.

    Raises:
        RopewalkError: See `ropewalk.errors`.
    """
    folder = output.resolve()
    partial = folder.with_name(folder.name + PARTIAL)
    with Journal(partial, _conditions(checkpoint, order), replace=overwrite) as journal:
        result, samples = _measured(checkpoint, order, journal, progress)
        written = write_evaluation(output, result, samples)
        journal.remove()
    return written


def measure(
    model: str | Path,
    plan: EvaluationPlan,
    *,
    name: str | None = None,
    data: Sequence[str | Path] = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Loads a checkpoint and measures it by a plan."""
    return _measured(load_checkpoint(model, name=name), Order(plan, _documents(data)), Journal(), progress)


def _chosen(
    model: str | Path, lengths: Sequence[int], suite: str | None, tasks: Sequence[str], seed: int
) -> tuple[EvaluationPlan, CertificatePlan | None]:
    if suite is not None:
        chosen, config = read_suite(suite), adapters.read_model_config(model)
        trained, target = config.rope.trained_length, target_length_of(config)
        return chosen.plan(trained, target, lengths=lengths, tasks=tasks, seed=seed), chosen.certificate
    if not lengths:
        raise OptionError(
            "an evaluation needs context lengths, or a suite that chooses them; got neither. Add --lengths 256,512 or "
            "--suite smoke."
        )
    return EvaluationPlan(lengths=tuple(sorted(lengths)), tasks=tuple(tasks) or TASKS, seed=seed), None


def _measured(checkpoint: Checkpoint, order: Order, journal: Journal, progress: Progress | None) -> Evaluation:
    @cache
    def untouched() -> Subject:
        loaded = load_checkpoint(str(order.reference), dtype=checkpoint.model.dtype)
        return Subject(loaded.model.eval(), loaded.tokenizer, encoder(loaded.tokenizer))

    itself = order.reference is None or str(order.reference) == checkpoint.name
    result, samples = evaluate_model(
        checkpoint.model,
        checkpoint.tokenizer,
        order.plan,
        order.documents,
        name=checkpoint.name,
        method=checkpoint.method,
        trained_length=checkpoint.trained_length,
        target_length=checkpoint.target_length,
        weights=checkpoint.weights,
        ruler=order.ruler,
        certificate=order.certificate,
        reference=None if itself else untouched,
        progress=progress,
        journal=journal,
    )
    return result.model_copy(update={"suite": order.suite}), samples


def _conditions(checkpoint: Checkpoint, order: Order) -> dict[str, Any]:
    """Everything that the numbers of an evaluation depend on, so that only the same evaluation is continued."""
    here = environment(checkpoint.model.device)
    prompts = repr(sorted(order.ruler.items())).encode()
    return {
        "plan": dataclasses.asdict(order.plan),
        "certificate": order.certificate.model_dump(mode="json") if order.certificate else None,
        "model": {"weights": checkpoint.weights, "settings": checkpoint.settings},
        "reference": _reference_fingerprint(order),
        "data": Corpus(order.documents).fingerprint,
        "ruler": hashlib.sha256(prompts).hexdigest()[:16],
        "versions": here.model_dump(include={"ropewalk", "torch", "transformers", "numpy", "device"}),
    }


def _reference_fingerprint(order: Order) -> str | None:
    if order.reference is None:
        return None
    folder = adapters.resolve_source(order.reference)
    return f"{weights_fingerprint(folder)}-{settings_fingerprint(folder)}"


def _documents(data: Sequence[str | Path]) -> Mapping[str, str]:
    return (read_texts(data) if data else standard_library(held_out=True)).documents


def _ruler(files: Mapping[str, str | Path]) -> dict[str, list[RulerSample]]:
    for task in files:
        ruler_rule(task)  # an unknown task is refused before any file is read
    return {task: read_ruler_file(file) for task, file in files.items()}
