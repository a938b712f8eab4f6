"""The main job: one run file becomes one checkpoint folder."""

from __future__ import annotations

import errno
import shutil
import time
from typing import TYPE_CHECKING, Protocol

from safetensors import SafetensorError

from ropewalk import adapters
from ropewalk.errors import OptionError, OutputError
from ropewalk.evals.environment import environment
from ropewalk.result import ExtensionResult, ModelRecord
from ropewalk.run.card import write_card
from ropewalk.run.device import default_device
from ropewalk.run.gate import prepare_gate
from ropewalk.run.output import CHECKPOINTS, RECORDS, OutputFolder
from ropewalk.run.plan import resolve
from ropewalk.run.training_data import training_windows
from ropewalk.run.watch_text import prepare_watch
from ropewalk.train.checkpoints import last_complete_checkpoint
from ropewalk.train.processes import is_first, leave_the_others, on_first

if TYPE_CHECKING:
    from pathlib import Path

    from ropewalk.adapters import ExtensionReport
    from ropewalk.result import GateResult
    from ropewalk.run.gate import Gate, GateSettings
    from ropewalk.run.plan import Plan
    from ropewalk.run.runfile import RunFile
    from ropewalk.run.training import Trained
    from ropewalk.run.watch_text import WatchText
    from ropewalk.train.progress import StepReport


DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


class Reporter(Protocol):
    """What a run tells while it works."""

    def stage(self, text: str) -> None:
        """A new stage of the work begins."""

    @property
    def step(self) -> StepReport:
        """A training step is done."""

    def advance(self, label: str, done: int, total: int) -> None:
        """A part of the labelled measurement is done."""


class Silent:
    """A reporter that tells nothing."""

    def stage(self, text: str) -> None:
        """Says nothing."""

    def step(self, *_: object, **__: object) -> None:
        """Says nothing."""

    def advance(self, label: str, done: int, total: int) -> None:
        """Says nothing."""


def run_extension(
    run: RunFile,
    output: Path,
    *,
    gate: GateSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    link: bool = False,
    keep_checkpoints: bool = False,
    reporter: Reporter | None = None,
) -> ExtensionResult:
    """Extends a model as a run file says, trains it if asked, and saves it.

    Args:
        run: The run.
        output: The checkpoint folder to make; partial work lives in `output.partial`.
        gate: Measure the cost inside the trained window before the folder is complete; None leaves that out.
        resume: Nothing there: start. Finished: return the earlier result. Partial: go on.
        overwrite: Replace an earlier result.
        link: Without training: hard links in the place of copies of the weight files.
        keep_checkpoints: The state of the training at its end stays in the finished folder; see
            `ropewalk.run.longer.begin_with`.
        reporter: Hears of stages and steps.

    Raises:
        SystemExit: Where a launcher started several processes, on all but the first, when their part is done.
        RopewalkError: See `ropewalk.errors`; nothing half-written stands under `output`.
    """
    folder = OutputFolder(output)
    tell = (reporter or Silent()) if is_first() else Silent()
    if resume and run.train.precision == "auto" and (chosen := folder.earlier_precision()):
        run = run.model_copy(update={"train": run.train.model_copy(update={"precision": chosen})})
    # What depends on this machine is chosen once; the other processes of a run take it as a run file.
    plan = resolve(on_first(lambda: resolve(run).run))
    if resume and folder.is_finished():
        on_first(lambda: folder.check_same_run(plan.run.to_toml()))
        tell.stage(f"'{output}' was finished before; nothing is done")
        return ExtensionResult.model_validate_json((folder.final / RECORDS / "result.json").read_text("utf-8"))
    _refuse_links(plan, link=link)
    prepared, watch_text = on_first(lambda: _prepare(plan, folder, gate, resume=resume, overwrite=overwrite))
    started = time.monotonic()
    tell.stage(
        f"{plan.run.model}: {plan.config.rope.trained_length:,} -> {plan.target_length:,} tokens by "
        f"{plan.method.describe(plan.config.rope)}"
    )
    from ropewalk.run.training import train_and_save  # a Trainer takes seconds to import, and a refusal must not

    if not is_first():
        train_and_save(plan, folder.partial, tell, watch_text=watch_text)
        leave_the_others()
        raise SystemExit(0)
    try:
        if plan.run.train.steps:
            trained = train_and_save(plan, folder.partial, tell, watch_text=watch_text)
            report = trained.report
        else:
            trained, report = None, _untrained(plan, folder.partial, tell, link=link)
        leave_the_others()
        checked = prepared.run(folder.partial, tell) if prepared else None
        result = _result(plan, report, trained, checked, time.monotonic() - started)
        (folder.partial / RECORDS / "result.json").write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
        write_card(plan.source, folder.partial, result, folder.partial_run_file.read_text("utf-8"))
        folder.complete(keep_checkpoints=keep_checkpoints)
    except BaseException as error:
        kept = last_complete_checkpoint(folder.partial / CHECKPOINTS) is not None
        if not kept:  # nothing is lost, so nothing stands in the way of the next try
            shutil.rmtree(folder.partial, ignore_errors=True)
        if is_write_failure(error):
            advice = "Free some space, then run the same command " + ("with --resume." if kept else "again.")
            raise OutputError(
                f"saving must reach its end; writing for '{output}' failed: {error}. Nothing stands under that name. "
                f"{advice}"
            ) from error
        raise
    return result


def check_extension(
    run: RunFile,
    output: Path,
    *,
    gate: GateSettings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    link: bool = False,
) -> None:
    """Refuses what `run_extension` would refuse, before any work is done for it; writes nothing.

    Args:
        run: The run.
        output: The checkpoint folder to make.
        gate: Of the run, or None.
        resume: Partial work may stand there.
        overwrite: An earlier result may stand there.
        link: Hard links in the place of copies of the weight files.

    Raises:
        RopewalkError: See `run_extension`.
    """
    folder = OutputFolder(output)
    if resume and folder.is_finished():
        return
    plan = resolve(run)
    _refuse_links(plan, link=link)
    if gate:
        prepare_gate(plan, gate)
    folder.refuse_what_stands_there(resume=resume, overwrite=overwrite)
    if plan.run.train.steps:
        training_windows(plan, adapters.load_tokenizer(plan.source))


def _refuse_links(plan: Plan, *, link: bool) -> None:
    if link and plan.run.train.steps:
        raise OptionError(
            f"links stand for weight files that do not change; this run trains {plan.run.train.steps} steps. Leave "
            "--link out, or set --steps 0."
        )


def _prepare(
    plan: Plan, folder: OutputFolder, gate: GateSettings | None, *, resume: bool, overwrite: bool
) -> tuple[Gate | None, WatchText | None]:
    """Everything that can be refused before any work, then the partial folder."""
    prepared = prepare_gate(plan, gate) if gate else None
    watch_text = prepare_watch(plan, gate.files if gate else ())
    folder.prepare(plan.run.to_toml(), resume=resume, overwrite=overwrite)
    return prepared, watch_text


def _result(
    plan: Plan, report: ExtensionReport, trained: Trained | None, gate: GateResult | None, wall_seconds: float
) -> ExtensionResult:
    return ExtensionResult(
        model=ModelRecord(
            name=plan.run.model,
            method=report.method,
            trained_length=report.trained_length,
            target_length=report.target_length,
            rope=dict(report.rope_parameters),
        ),
        carrier=report.carrier,
        exact=report.exact,
        notes=report.notes,
        self_test=report.self_test,
        data=trained.data.fingerprint if trained else None,
        data_report=trained.data if trained else None,
        steps=trained.record.steps if trained else 0,
        tokens=trained.record.tokens if trained else 0,
        losses=trained.record.losses if trained else (),
        watch=trained.watch if trained else None,
        wall_seconds=wall_seconds,
        environment=environment(default_device()),
        gate=gate,
    )


def is_write_failure(error: BaseException | None) -> bool:
    """Whether a disk refused: safetensors and torch have their own words for it."""
    if isinstance(error, OutputError):
        return is_write_failure(error.__cause__)
    if isinstance(error, RuntimeError):
        return "failed writing" in str(error) or "write failed" in str(error)
    return isinstance(error, SafetensorError) or (isinstance(error, OSError) and error.errno in DISK_REFUSES)


def _untrained(plan: Plan, partial: Path, tell: Reporter, *, link: bool) -> ExtensionReport:
    """Writes the extended checkpoint without reading a weight."""
    tell.stage(f"no training: the config changes, the weight files are {'linked' if link else 'copied'}")
    checkpoint = partial / "checkpoint"
    report = adapters.extend_checkpoint(
        plan.source, checkpoint, plan.method, plan.target_length, link=link, overwrite=True
    )
    for file in checkpoint.iterdir():
        file.rename(partial / file.name)
    checkpoint.rmdir()
    return report
