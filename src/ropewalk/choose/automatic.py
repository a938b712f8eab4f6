"""`extend --method auto`: plan, probe, short comparison; every decision is said with the measurement behind it.

No training         the probe decides: the smallest loss on needles of the untrained model; where others are not shown
                    to be behind, the first of them in the plan.
Training            the probe's best few are trained for a share of the budget, and the comparison decides.
Nothing named       the same, unless the probe would take more than minutes here or cannot be made: then the config
                    decides, in no time: the first method that suits by its frequencies.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.shape import shape_of
from ropewalk.analysis.compute import forward_work
from ropewalk.cells.measuring import model_fingerprints, text_fingerprint, text_fingerprints, what_matters
from ropewalk.choose.comparison.budget import Budget
from ropewalk.choose.comparison.candidates import OURS
from ropewalk.choose.comparison.comparing import compare
from ropewalk.choose.comparison.order import CompareOrder, frame_of
from ropewalk.choose.probing import ProbePlan, probe
from ropewalk.choose.suitability import suitable_methods
from ropewalk.errors import DataError, MeasurementError, ModelError, OptionError, SelfTestError
from ropewalk.evals.store import write_record
from ropewalk.result import MethodChoice
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.device import default_device
from ropewalk.run.plan import check_target, target_of
from ropewalk.run.training_data import paths_of
from ropewalk.train.processes import started_together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.result import Probe, Ranking
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

CHOICE = "choice.json"
MOST = 3  # candidates of the short comparison
SHARE = 0.1  # of the run's steps that each of them is trained for
CONTEXTS = 8  # needle contexts of probe and comparison
CUTS = 2  # of the probe
PATIENCE_MINUTES = 5.0  # for a probe that nobody asked for
USUAL_RATE = {"cpu": 3e10, "cuda": 1e14, "mps": 2e12}  # operations a second, of a device of that kind, about
# They change no number, or belong to the run alone.
OF_THE_RUN = ("save_every", "evaluate_every", "stop_when", "report_to", "warmup_steps", "micro_batch")


def choose_unnamed(
    run: RunFile, folder: Path, held_out: Sequence[str], reporter: Reporter, *, contexts: int = CONTEXTS
) -> str:
    """The method of a run that names none: measured where that takes minutes, else by the config.

    Args:
        run: Its method does not matter.
        folder: Keeps what was measured.
        held_out: Text to measure, which is not trained on.
        reporter: Hears of every decision.
        contexts: Needle contexts of probe and comparison.

    Raises:
        RopewalkError: The model cannot be extended to that length.
    """
    config, target_length = _asked(run)
    minutes = probe_seconds(config, target_length, default_device()) / 60
    why = "several processes would choose apart"
    if not started_together():
        why = f"to measure would take about {minutes:,.0f} minutes here"
        if minutes <= PATIENCE_MINUTES:
            try:
                return choose_method(run, folder, held_out, reporter, contexts=contexts).method
            except (DataError, MeasurementError, ModelError, OptionError, SelfTestError) as error:
                why = f"nothing can be measured: {error}"
    first = suitable_methods(config.rope, target_length)[0]
    reporter.stage(f"no method named: {first.method}, by the config alone ({first.because}); {why}")
    return first.method


def _asked(run: RunFile) -> tuple[ModelConfig, int]:
    """The model's config and the target length, where it can be extended so far."""
    config = read_model_config(run.model)
    config.require_unscaled()
    target_length = target_of(run, config)
    check_target(target_length, config)
    return config, target_length


def probe_seconds(config: ModelConfig, target_length: int, device: torch.device) -> float:
    """About how long the probe of `choose_method` takes, by its operations and what a usual device does.

    Not measured, so that a command that is repeated decides the same.
    """
    readings = 2 + CUTS + len(suitable_methods(config.rope, target_length))
    work = forward_work(shape_of(config), target_length).times(readings * CONTEXTS * target_length)
    return work.total / USUAL_RATE.get(device.type, USUAL_RATE["cpu"])


def choose_method(
    run: RunFile, folder: Path, held_out: Sequence[str], reporter: Reporter, *, contexts: int = CONTEXTS
) -> MethodChoice:
    """Measures which method a run should take, or reads what was chosen before.

    Args:
        run: Its method does not matter.
        folder: Keeps probe, comparison and choice.
        held_out: Text to measure, which is not trained on.
        reporter: Hears of every decision.
        contexts: Needle contexts of probe and comparison.

    Raises:
        OptionError: Several processes, which would choose apart.
        RopewalkError: See `probe` and `compare`.
    """
    if started_together():
        raise OptionError(
            "a method is chosen by one process, because several would choose apart; this command was launched as "
            "several. Choose first: ropewalk compare. Then name what it says with --method."
        )
    config, target_length = _asked(run)
    earlier = earlier_choice(folder / CHOICE, run, held_out)
    if earlier is not None:
        reporter.stage(f"method {earlier.method}, as chosen before")
        return earlier
    started = time.monotonic()
    suits = [one for one in suitable_methods(config.rope, target_length) if one.suits == "suits"]
    because = [f"plan: {len(suits)} methods suit by the config alone: {', '.join(one.method for one in suits)}"]
    reporter.stage(because[-1])
    probed = probe(
        load_checkpoint(run.model),
        config,
        target_length,
        plan=ProbePlan(contexts=contexts, cuts=CUTS, slopes=(0.0,)),
        progress=reporter.advance,
    )
    because.append(_probe_words(probed, config))
    reporter.stage(because[-1])
    method, ranking = _best_untrained(probed, config), None
    if run.train.steps:
        ranking = _compared(run, config, target_length, probed, folder / "comparison", held_out, reporter, contexts)
        method = ranking.find(ranking.best).method_name
        because.append(_comparison_words(ranking))
        reporter.stage(because[-1])
    chosen = MethodChoice(
        model=run.model,
        target_length=target_length,
        steps=run.train.steps,
        method=method,
        because=tuple(because),
        probe=probed,
        ranking=ranking,
        wall_seconds=time.monotonic() - started,
        conditions=_conditions(run, held_out),
    )
    write_record(folder / CHOICE, chosen)
    return chosen


def earlier_choice(path: Path, run: RunFile, held_out: Sequence[str]) -> MethodChoice | None:
    """What was chosen before for the same run, texts and model; None if nothing was."""
    try:
        found = MethodChoice.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError):
        return None
    return found if found.conditions == _conditions(run, held_out) else None


def _conditions(run: RunFile, held_out: Sequence[str]) -> dict[str, Any]:
    """What a choice depends on, as JSON knows it; the method that the run file names by default is no part of it."""
    matters = what_matters(run)
    for name in ("model", "method"):
        matters.pop(name)
    return {
        "run": matters,
        "model": model_fingerprints(run.model),
        "training_text": text_fingerprints(run),
        "held_out": [text_fingerprint(path) for path in held_out],
    }


def finalists(probed: Probe) -> tuple[str, ...]:
    """The two best untrained, and a third that is not shown to be behind."""
    close = [row.method for row in probed.methods[2:] if row.behind.low <= 0]
    return (*(row.method for row in probed.methods[:2]), *close)[:MOST]


def _compared(
    run: RunFile,
    config: ModelConfig,
    target_length: int,
    probed: Probe,
    folder: Path,
    held_out: Sequence[str],
    reporter: Reporter,
    contexts: int,
) -> Ranking:
    positions = run.positions.name if run.positions else "contiguous"
    window = target_length if positions == "contiguous" else config.rope.trained_length

    def order(files: Sequence[str]) -> CompareOrder:
        return CompareOrder(
            model=run.model,
            target_length=target_length,
            methods=finalists(probed),
            positions=(positions,),
            budget=Budget(max(1, math.ceil(SHARE * run.train.steps)), "steps"),
            shares=(1.0,),
            seeds=1,
            rates=(run.train.learning_rate,),
            batch=max(1, round(run.train.batch * window / target_length)),
            data=tuple(path for path in paths_of(run.data)),
            held_out=tuple(files),
            entries=_entries(run),
            contexts=contexts,
            windows_per_document=1,
            controls=False,
        )

    try:
        frame_of(order(held_out))
    except DataError as error:
        if not held_out:
            raise
        reporter.stage(f"needles alone decide: {error}")
        held_out = ()
    return compare(order(held_out), folder, reporter)


def _entries(run: RunFile) -> dict[str, Any]:
    """What the run says of its training, without what a comparison sets itself."""
    given = run.model_dump(include={"train", "data"}, exclude_unset=True)
    ours = {tuple(name.split(".")) for name in OURS} | {("train", name) for name in OF_THE_RUN}
    return {
        section: {key: value for key, value in given.get(section, {}).items() if (section, key) not in ours}
        for section in ("train", "data")
    }


def _best_untrained(probed: Probe, config: ModelConfig) -> str:
    """The best of the probe; of those that are not shown to be behind it, the first of the plan."""
    close = {row.method for row in probed.methods if row.behind.low <= 0}
    return next(one.method for one in suitable_methods(config.rope, probed.target_length) if one.method in close)


def _probe_words(probed: Probe, config: ModelConfig) -> str:
    losses = ", ".join(f"{row.method} {row.needles.value:.3f}" for row in probed.methods[:MOST])
    close = [row.method for row in probed.methods[1:] if row.behind.low <= 0]
    first = _best_untrained(probed, config)
    told = f"; not shown to be behind {probed.methods[0].method}: {', '.join(close)}; first of the plan: {first}"
    return (
        f"probe: loss on answers at {probed.target_length:,} tokens, untrained, {probed.contexts} contexts: {losses} "
        f"(as it is {probed.untouched.value:.3f}){told if close else ''}"
    )


def _comparison_words(ranking: Ranking) -> str:
    scores = ", ".join(f"{one.candidate} {one.rungs[-1].score.value:.3f}" for one in ranking.candidates if one.rungs)
    close = f"; not shown to be behind: {', '.join(ranking.close)}" if ranking.close else ""
    return f"comparison: {ranking.score} after {ranking.budget}: {scores}; best {ranking.best}{close}"
