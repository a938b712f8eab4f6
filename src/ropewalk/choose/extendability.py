"""An early warning: a few training steps of an extension, extrapolated with an interval.

Some models do not extend by any recipe, and neither loss nor short benchmarks tell; an extension that is run early does
(OlmPool, Ai2, 2026). Here it is run for 8, 16 and 32 steps at a constant rate. The loss on answers at the target length
is taken to fall as a power of the steps, which the last points fix; what is left of it after a whole training decides.
The interval is over needle contexts alone: that a power law holds is an assumption, and one seed was trained.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.choose.needles import KEYS, Needles
from ropewalk.errors import InterruptedRunError
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import NATS, estimate_of
from ropewalk.result import EarlyPoint, Extendability
from ropewalk.run.checkpoint import load_checkpoint
from ropewalk.run.extension import Silent, run_extension
from ropewalk.run.plan import resolve
from ropewalk.statistics import DRAWS, LEVEL, Interval, bootstrap_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ropewalk.result import Estimate, ExtensionResult
    from ropewalk.result.extendability import Prospect
    from ropewalk.rope import Floats
    from ropewalk.run.extension import Reporter
    from ropewalk.run.runfile import RunFile

STEPS = (8, 16, 32)
FITTED = 3  # points that fix the power
SMALLEST = 1e-6  # nats; a logarithm must exist
LITTLE_LEFT, MUCH_LEFT = 0.1, 0.5


def extendability(
    run: RunFile,
    *,
    steps: Sequence[int] = STEPS,
    at: int = 1000,
    contexts: int = 12,
    reporter: Reporter | None = None,
) -> Extendability:
    """Trains a few steps of a run, several times as many each time, and foretells the whole.

    Args:
        run: The extension; its steps and schedule are replaced.
        steps: Numbers of steps, increasing, at least two.
        at: Steps that are foretold.
        contexts: Needle contexts behind each number.
        reporter: Hears of stages and steps.

    Raises:
        RopewalkError: See `run_extension`.
    """
    tell, started = reporter or Silent(), time.monotonic()
    plan = resolve(_shortened(run, steps[0]))
    rope, target_length = plan.config.rope, plan.target_length
    untouched = load_checkpoint(run.model)
    needles = Needles.draw(untouched.tokenizer, target_length, contexts=contexts)
    # What fits into the old window: few records where it is short.
    near = Needles.draw(untouched.tokenizer, rope.trained_length, contexts=contexts, keys=KEYS // 4)
    inside, before = near.losses(untouched.model), needles.losses(untouched.model)
    losses, tokens = [], 0
    for count in steps:
        with TemporaryDirectory() as folder:
            made = _trained(_shortened(run, count), Path(folder) / "model", tell)
            losses.append(needles.losses(load_checkpoint(Path(folder) / "model").model))
        tokens += made.tokens
    table = np.minimum(np.array(losses), 1e6)
    foretold = extrapolated(steps, table, at)
    left = share_left(foretold, float(inside.mean()), float(before.mean()))
    return Extendability(
        model=run.model,
        method=plan.method.describe(rope),
        positions=plan.run.positions.name if plan.run.positions else "contiguous",
        trained_length=rope.trained_length,
        target_length=target_length,
        inside=_estimate(bootstrapped(inside), rope.trained_length),
        untouched=_estimate(bootstrapped(before), target_length),
        points=tuple(
            EarlyPoint(steps=count, needles=_estimate(bootstrapped(row), target_length))
            for count, row in zip(steps, table, strict=True)
        ),
        at=at,
        foretold=_estimate(foretold, target_length),
        share_left=left,
        prospect=prospect(*left[1:]),
        tokens=tokens,
        environment=environment(untouched.model.device),
        wall_seconds=time.monotonic() - started,
    )


def _trained(run: RunFile, model: Path, reporter: Reporter) -> ExtensionResult:
    try:
        return run_extension(run, model, reporter=reporter)
    except InterruptedRunError as error:
        raise InterruptedRunError(
            f"an early warning was stopped while it trained {run.train.steps} steps; it keeps nothing. Run the same "
            "command again."
        ) from error


def extrapolated(steps: Sequence[int], losses: Floats, at: int) -> Interval:
    """The mean loss after `at` steps, by a power law through the last points of each draw of contexts.

    Args:
        steps: Increasing.
        losses: `[points, contexts]`, on the same contexts.
        at: Steps that are foretold; a loss that rises is taken to stay as it is.
    """
    places = np.log(np.asarray(steps[-FITTED:], dtype=np.float64))
    rows = losses[-FITTED:]
    rng = np.random.default_rng(0)
    shares = rng.multinomial(rows.shape[1], np.full(rows.shape[1], 1 / rows.shape[1]), size=DRAWS) / rows.shape[1]

    def foretell(means: Floats) -> Floats:
        logarithms = np.log(np.maximum(means, SMALLEST))
        centred = places - places.mean()
        slopes = np.minimum((logarithms * centred).sum(axis=-1) / (centred**2).sum(), 0.0)
        ends: Floats = np.exp(logarithms.mean(axis=-1) + slopes * (math.log(at) - places.mean()))
        return ends

    drawn = foretell(shares @ rows.T)
    value = float(foretell(rows.mean(axis=1)))
    low, high = (float(end) for end in np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    method = f"bootstrap over {rows.shape[1]} contexts, by a power law"
    return Interval(value, min(low, value), max(high, value), LEVEL, method, rows.size, rows.shape[1])


def share_left(foretold: Interval, inside: float, untouched: float) -> tuple[float, float, float]:
    """Which share of the way from the loss inside the old window to that of the untouched model is left."""
    way = max(untouched - inside, SMALLEST)
    value, low, high = ((end - inside) / way for end in (foretold.value, foretold.low, foretold.high))
    return value, low, high


def prospect(low: float, high: float) -> Prospect:
    """The rule, from the interval of the share that is left."""
    if high <= LITTLE_LEFT:
        return "extends"
    return "does not extend" if low >= MUCH_LEFT else "open"


def bootstrapped(losses: Floats) -> Interval:
    """The mean loss with its interval over contexts."""
    return bootstrap_mean(losses, list(range(len(losses))), np.random.default_rng(0), unit="contexts")


def _shortened(run: RunFile, steps: int) -> RunFile:
    """So many steps at a constant rate, so that fewer are the beginning of more."""
    changes = {"steps": steps, "schedule": "constant", "warmup_steps": min(run.train.warmup_steps, 2)}
    train = run.train.model_copy(update={**changes, "evaluate_every": None, "stop_when": None})
    return run.model_copy(update={"train": train})


def _estimate(interval: Interval, length: int) -> Estimate:
    protocol = "mean loss on answers, all records asked for"
    return estimate_of(interval, measure="needle_nll", protocol=protocol, unit=NATS, length=length, failed=0)
