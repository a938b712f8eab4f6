"""Exams of Entropy-ABF's scale: what it does to the entropy of attention, and to loss, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.cells.sampled_exams import SampledExam
from ropewalk.evals.batches import sample
from ropewalk.evals.entropy import attention_entropy
from ropewalk.evals.flat_entropy import STRETCHES_PER_OCTAVE
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.evals.scale_slopes import losses_by_slope, own_slopes
from ropewalk.result import AGAINST_NO_SLOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ropewalk.result import SampleResult
    from ropewalk.rope import Floats, Integers
    from ropewalk.run.checkpoint import Checkpoint

    Progress = Callable[[str, int, int], None]

FIRST_LAYERS, LATER_LAYERS = "entropy_first_layers", "entropy_later_layers"
EXEMPT = 2  # the paper's first layers, whose logits it leaves alone
ALL_LAYERS = "all"
SLOPES = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class EntropyExam(SampledExam):
    """Attention entropy by query position: Entropy-ABF's diagnosis (arXiv:2401.07004, section 3.1, figure 1).

    A sample is the mean over heads and queries of -sum p ln p of one layer (`entropy_layer_2`, counted from 0), of the
    first two layers (`entropy_first_layers`) or of all others (`entropy_later_layers`), on the first tokens of one
    document. Its length is the last of a stretch of query positions a quarter of an octave wide.

    Attributes:
        positions: Last position of each stretch, counted from 1, increasing; the last one is how much is read.
        queries: Positions that are measured in each stretch.
    """

    positions: tuple[int, ...] = ()
    queries: int = 8

    @property
    def lengths(self) -> tuple[int, ...]:
        """The last position of each stretch, tokens."""
        return self.positions

    @property
    def tokens(self) -> int:
        """About so many tokens are read."""
        return 16 * self.positions[-1]

    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """Entropies of each document."""
        streams = self._streams(checkpoint).streams
        places = [stretch(position, self.queries) for position in self.positions]
        found = []
        for number, (name, tokens) in enumerate(sorted(streams.items()), 1):
            rows = tokens[None, : self.positions[-1]]
            entropies = attention_entropy(checkpoint.model, rows, queries=np.concatenate(places).tolist())[0]
            for position, chosen in zip(self.positions, np.split(entropies, len(places), axis=1), strict=True):
                for measure, value in _by_measure(chosen.mean(axis=1)).items():
                    found.append(sample(measure, f"{name}/{position}", name, position, value))
            report(self.name, number, len(streams))
        return found


@dataclass(frozen=True)
class SlopeExam(SampledExam):
    """Loss against the slope of the scale: one layer at a time, then all layers together.

    A sample is the NLL of the last tokens of a window at a slope, minus that at slope 0 (`layer_2_slope_1.5...`,
    `layers_all_slope_1...`). Where one layer is changed, the others keep what the model has.

    Attributes:
        contexts: Context lengths, tokens, increasing.
        windows: Of each document.
        scored: Tokens at the end of each window.
    """

    contexts: tuple[int, ...] = ()
    windows: int = 1
    scored: int = 128

    @property
    def lengths(self) -> tuple[int, ...]:
        """Context lengths, tokens."""
        return self.contexts

    @property
    def tokens(self) -> int:
        """About so many tokens are read, for a model of four layers."""
        return 16 * self.windows * sum(self.contexts) * len(settings((0.0,) * 4))

    def samples(self, checkpoint: Checkpoint, report: Progress) -> list[SampleResult]:
        """Differences of each window."""
        plan = EvaluationPlan(lengths=self.contexts, scored=self.scored, windows_per_document=self.windows)
        windows = self._windows(checkpoint, plan)
        own = own_slopes(checkpoint.model)
        wanted = settings(own)
        found = []
        for number, length in enumerate(self.contexts, 1):
            losses = losses_by_slope(
                checkpoint.model, [w.tokens for w in windows], wanted, length=length, scored=self.scored
            )
            for layer in (*range(len(own)), ALL_LAYERS):
                without = losses[_setting(own, layer, 0.0)]
                for slope in SLOPES[1:]:
                    changes = losses[_setting(own, layer, slope)] - without
                    found += [
                        sample(slope_measure(layer, slope), w.sample, w.cluster, length, float(change))
                        for w, change in zip(windows, changes, strict=True)
                    ]
            report(self.name, number, len(self.contexts))
        return found


def stretch(last: int, queries: int) -> Integers:
    """Positions, counted from 0, evenly spread over the quarter octave that ends with position `last`, from 1."""
    first = round(last * 2 ** (-1 / STRETCHES_PER_OCTAVE))
    return np.linspace(first, last - 1, queries).round().astype(np.int64)


def entropy_measure(layer: int) -> str:
    """The measure of one layer, counted from 0."""
    return f"entropy_layer_{layer}"


def slope_measure(layer: int | str, slope: float) -> str:
    """The measure of a slope in one layer, counted from 0, or in all."""
    return f"{'layers' if layer == ALL_LAYERS else 'layer'}_{layer}_slope_{slope:g}{AGAINST_NO_SLOPE}"


def settings(own: Sequence[float]) -> Mapping[str, tuple[float, ...]]:
    """Every choice of slopes that differs from another: one layer at each slope, and all layers."""
    layers = (*range(len(own)), ALL_LAYERS)
    return {_setting(own, layer, slope): _slopes(own, layer, slope) for layer in layers for slope in SLOPES}


def _slopes(own: Sequence[float], layer: int | str, slope: float) -> tuple[float, ...]:
    return tuple(slope if layer in (number, ALL_LAYERS) else before for number, before in enumerate(own))


def _setting(own: Sequence[float], layer: int | str, slope: float) -> str:
    """The name of a choice is the choice itself, so that the model's own is measured once."""
    return " ".join(f"{slope:g}" for slope in _slopes(own, layer, slope))


def _by_measure(layers: Floats) -> dict[str, float]:
    """Entropy of each layer, `[layers]`, and the means of the first two and of the others."""
    each = {entropy_measure(layer): float(value) for layer, value in enumerate(layers)}
    return each | {FIRST_LAYERS: float(layers[:EXEMPT].mean()), LATER_LAYERS: float(layers[EXEMPT:].mean())}
