"""`ropewalk plan --probe`: what forward passes alone say, before any training.

Three lines of readings on the same needle contexts, so that everything is paired: each candidate method untrained; the
frequencies cut at each pair, from which the measured critical pair comes (LongRoPE2, arXiv:2502.20082, finds it below
the theoretical one); the logit scale at the best cut.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk import methods
from ropewalk.adapters.swap import swapped_frequencies, swapped_method
from ropewalk.analysis.geometry import critical_dimension
from ropewalk.analysis.taper import tapered_frequencies
from ropewalk.choose.needles import Needles
from ropewalk.choose.suitability import suitable_methods
from ropewalk.evals.environment import environment
from ropewalk.evals.estimates import NATS, estimate_of
from ropewalk.evals.nll import paired_nll
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.tasks import encoder, text_data, text_windows
from ropewalk.result import Probe, ProbedMethod, ProbedPoint
from ropewalk.statistics import bootstrap_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ropewalk.adapters.config import ModelConfig
    from ropewalk.evals.tasks import Window
    from ropewalk.result import Estimate
    from ropewalk.rope import Floats
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]

SLOPES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
MOST_CUTS = 16
CONTEXTS, TEXT_WINDOWS = 12, 1


@dataclass(frozen=True)
class ProbePlan:
    """Sizes of a probe.

    Attributes:
        contexts: Needle contexts.
        windows_per_document: Text windows of each document.
        cuts: Places at which the frequencies are cut, at most; evenly spread over the pairs.
        slopes: Logit slopes.
        seed: Of everything that is drawn.
    """

    contexts: int = CONTEXTS
    windows_per_document: int = TEXT_WINDOWS
    cuts: int = MOST_CUTS
    slopes: tuple[float, ...] = SLOPES
    seed: int = 0


def probe(
    checkpoint: Checkpoint,
    config: ModelConfig,
    target_length: int,
    *,
    documents: Mapping[str, str] | None = None,
    plan: ProbePlan | None = None,
    progress: Progress | None = None,
) -> Probe:
    """Measures candidates, the critical pair and the logit slope of a loaded model.

    Args:
        checkpoint: Loaded, and not scaled.
        config: Its config.
        target_length: Tokens of the new window.
        documents: Held-out texts; None measures needles alone.
        plan: Sizes.
        progress: Called with (what, done, total).

    Raises:
        DataError: No text holds a window of the target length.
        ModelError: The model's frequencies cannot be swapped.
        OptionError: The target is too short for the needles.
    """
    return _Prober(checkpoint, config, target_length, documents, plan or ProbePlan(), progress).probe()


class _Prober:
    def __init__(
        self,
        checkpoint: Checkpoint,
        config: ModelConfig,
        target_length: int,
        documents: Mapping[str, str] | None,
        plan: ProbePlan,
        progress: Progress | None,
    ) -> None:
        self.model, self.config, self.target_length, self.plan = checkpoint.model, config, target_length, plan
        self.name, self.progress = checkpoint.name, progress
        self.rope, self.factor = config.rope, target_length / config.rope.trained_length
        self.needles = Needles.draw(checkpoint.tokenizer, target_length, contexts=plan.contexts, seed=plan.seed)
        self.lengths = _lengths(self.rope.trained_length, target_length)
        self.windows = self._windows(documents, checkpoint.tokenizer)
        self.candidates = [one.method for one in suitable_methods(self.rope, target_length)]
        self.cuts = sorted({round(place) for place in np.linspace(0, self.rope.pairs, plan.cuts)})
        self.done, self.total = 0, 1 + len(self.candidates) + len(self.cuts) + len(plan.slopes)

    def probe(self) -> Probe:
        started = time.monotonic()
        untouched = self._losses(self._as_it_is())
        with self._as_it_is():
            untouched_text = self._texts()
        rows = self._methods()
        cuts = {float(cut): self._losses(self._cut(cut, 0.0)) for cut in self.cuts}
        best_cut = _best(cuts)
        close = [place for place, losses in cuts.items() if self._behind(losses, cuts[best_cut]).low <= 0]
        slopes = {slope: self._losses(self._cut(best_cut, slope)) for slope in self.plan.slopes}
        return Probe(
            model=self.name,
            trained_length=self.rope.trained_length,
            target_length=self.target_length,
            untouched=self._estimate(untouched),
            untouched_text=untouched_text,
            methods=tuple(rows),
            cuts=self._points(cuts, best_cut),
            critical_pair=int(best_cut),
            critical_low=int(min(close)),
            critical_high=int(max(close)),
            theoretical_pair=critical_dimension(self.rope) // 2,
            slopes=self._points(slopes, _best(slopes)),
            slope=_best(slopes),
            contexts=self.plan.contexts,
            environment=environment(self.model.device),
            wall_seconds=time.monotonic() - started,
        )

    def _methods(self) -> list[ProbedMethod]:
        losses: dict[str, Floats] = {}
        texts: dict[str, tuple[Estimate, ...]] = {}
        for name in self.candidates:
            with self._method(name):
                texts[name] = self._texts()
            losses[name] = self._losses(self._method(name))
        best = min(losses, key=lambda name: float(losses[name].mean()))
        rows = [
            ProbedMethod(
                method=name,
                described=methods.get(name).for_target(self.rope, self.target_length).describe(self.rope),
                needles=self._estimate(losses[name]),
                behind=self._behind(losses[name], losses[best]),
                text=texts[name],
            )
            for name in self.candidates
        ]
        return sorted(rows, key=lambda row: row.needles.value)

    def _method(self, name: str) -> AbstractContextManager[None]:
        method = methods.get(name).for_target(self.rope, self.target_length)
        return swapped_method(self.model, method, self.config, self.target_length)

    def _cut(self, cut: float, slope: float) -> AbstractContextManager[None]:
        frequencies = tapered_frequencies(self.rope, cut=cut, width=0.0, stretch=self.factor)
        return swapped_frequencies(self.model, frequencies, 1.0 + slope * math.log(self.factor))

    def _as_it_is(self) -> AbstractContextManager[None]:
        return swapped_frequencies(self.model, self.rope.frequencies)

    def _losses(self, changed: AbstractContextManager[None]) -> Floats:
        with changed:
            losses = self.needles.losses(self.model)
        self.done += 1
        if self.progress is not None:
            self.progress("probe", self.done, self.total)
        return np.minimum(losses, 1e6)  # what is no number is the worst, and a mean must stay one

    def _texts(self) -> tuple[Estimate, ...]:
        return tuple(self._text(length) for length in self.lengths) if self.windows else ()

    def _text(self, length: int) -> Estimate:
        scored = len(self.windows[0].counted)
        losses = [paired_nll(self.model, w.tokens[None], length, scored=scored).mean() for w in self.windows]
        clusters = [window.cluster for window in self.windows]
        interval = bootstrap_mean(losses, clusters, np.random.default_rng(self.plan.seed))
        return estimate_of(
            interval,
            measure="paired_nll",
            protocol=f"the last {scored} tokens of windows",
            unit=NATS,
            length=length,
            failed=0,
        )

    def _windows(self, documents: Mapping[str, str] | None, tokenizer: Any) -> Sequence[Window]:
        if documents is None:
            return ()
        plan = EvaluationPlan(
            lengths=self.lengths,
            windows_per_document=self.plan.windows_per_document,
            tasks=("paired",),
            seed=self.plan.seed,
        )
        return text_windows(text_data(documents, encoder(tokenizer), longest=self.target_length), plan)

    def _points(self, losses: Mapping[float, Floats], best: float) -> tuple[ProbedPoint, ...]:
        return tuple(
            ProbedPoint(place=place, needles=self._estimate(found), behind=self._behind(found, losses[best]))
            for place, found in losses.items()
        )

    def _behind(self, losses: Floats, best: Floats) -> Estimate:
        return self._estimate(losses - best, protocol="minus the best, on the same contexts")

    def _estimate(self, losses: Floats, protocol: str = "mean loss on answers, all records asked for") -> Estimate:
        interval = bootstrap_mean(
            losses, list(range(len(losses))), np.random.default_rng(self.plan.seed), unit="contexts"
        )
        return estimate_of(
            interval, measure="needle_nll", protocol=protocol, unit=NATS, length=self.target_length, failed=0
        )


def _lengths(trained_length: int, target_length: int) -> tuple[int, ...]:
    """The trained window, its doublings, and the target."""
    doublings = itertools.takewhile(lambda n: n < target_length, (trained_length * 2**k for k in itertools.count()))
    return (*doublings, target_length)


def _best(losses: Mapping[float, Floats]) -> float:
    return min(losses, key=lambda place: float(losses[place].mean()))
