"""Attention entropy of one model against query position, and the logit scale that would keep it flat."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ropewalk.errors import DataError, MeasurementError, OptionError
from ropewalk.evals import flat_entropy
from ropewalk.evals.entropy import scaled_entropy
from ropewalk.evals.environment import environment
from ropewalk.evals.static_rope import depends_on_length
from ropewalk.result import EntropyResult, Estimate, LayerEntropy
from ropewalk.statistics import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ropewalk.data.recall import Tokens
    from ropewalk.evals.flat_entropy import Stretch
    from ropewalk.evals.tasks import TextData
    from ropewalk.result import ModelRecord
    from ropewalk.rope import Floats

    Progress = Callable[[str, int, int], None]

STAGE = "attention entropy"
PROTOCOL = (
    "mean over documents, heads and {queries} query positions at most in each stretch, of -sum p ln p of each query's "
    "own attention; one forward of {length} tokens for each document"
)
SLOPE_PROTOCOL = (
    "least squares, through 1 at the trained length, of the logit multipliers at which a layer's mean entropy equals "
    "that of the trained length; the layer's inputs are the model's own"
)
FAILED_SHARE = 0.01


@dataclass(frozen=True)
class EntropyPlan:
    """Sizes of an entropy measurement.

    Attributes:
        longest: Tokens read of each document.
        documents: Documents, chosen at random among those that are long enough.
        queries: Positions measured in each stretch, at most; there are four stretches to an octave.
        seed: Seed of the choice.

    Raises:
        OptionError: Sizes with which nothing can be measured.
    """

    longest: int
    documents: int = 8
    queries: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.documents < 2 or self.queries < 1:
            raise OptionError(
                "an entropy measurement needs at least 2 documents, because its intervals are over documents, and 1 "
                f"query in each stretch; got {self.documents} documents and {self.queries} queries."
            )


def chosen_windows(data: TextData, plan: EntropyPlan) -> dict[str, Tokens]:
    """The first `longest` tokens of the documents that the seed chooses.

    Raises:
        DataError: Fewer than two documents are long enough.
    """
    names = sorted(data.streams)
    if len(names) < 2:
        raise DataError(
            f"attention entropy is a mean over at least 2 documents of {plan.longest:,} tokens; {len(names)} of "
            f"{len(names) + len(data.too_short)} texts is that long. Give longer texts or a shorter length."
        )
    chosen = data.chosen(plan.documents, plan.seed).streams
    return {name: chosen[name][: plan.longest] for name in sorted(chosen)}


def entropy_curves(
    model: Any, data: TextData, plan: EntropyPlan, record: ModelRecord, *, progress: Progress | None = None
) -> EntropyResult:
    """Measures attention entropy against position, and what would keep it flat beyond the trained length.

    Args:
        model: A causal language model of transformers, in evaluation mode, on any device.
        data: Tokenised texts.
        plan: Sizes.
        record: The model's name, method and trained length.
        progress: Called with (what is measured, forwards done, forwards in total).

    Raises:
        OptionError: The longest context is below the trained length, which is what others are compared with.
        DataError: Fewer than two documents are long enough.
        MeasurementError: The rope depends on the length of the call, attention cannot be heard (see `evals.entropy`),
            or fewer than two documents have finite entropies.
        ModelError: See `adapters.attention_probe.listening`.
    """
    started = time.monotonic()
    _check(model, plan, record.trained_length)
    windows = chosen_windows(data, plan)
    stretches = flat_entropy.stretches(record.trained_length, plan.longest, queries=plan.queries)
    reader = _Reader(model, windows, progress)
    plain = reader.means(stretches, np.broadcast_to([1.0, 0.0], (reader.layers, len(stretches), 2)))
    failed = reader.drop(~np.isfinite(plain).all(axis=(1, 2, 3)))
    plain = plain[np.isfinite(plain).all(axis=(1, 2, 3))]
    layers = _layers(reader, plain, stretches, record.trained_length)
    return EntropyResult(
        status="incomplete" if len(failed) > FAILED_SHARE * len(windows) else "complete",
        model=record,
        data=data.fingerprint,
        seed=plan.seed,
        documents=tuple(reader.windows),
        failed=failed,
        length=plan.longest,
        heads=int(model.config.get_text_config().num_attention_heads),
        first=tuple(s.first for s in stretches),
        last=tuple(s.last for s in stretches),
        protocol=PROTOCOL.format(queries=plan.queries, length=plan.longest),
        interval=_interval_name(plain),
        level=LEVEL,
        layers=layers,
        environment=environment(model.device),
        wall_seconds=time.monotonic() - started,
    )


class _Reader:
    """Documents that are read again and again, at other multipliers."""

    def __init__(self, model: Any, windows: Mapping[str, Tokens], progress: Progress | None) -> None:
        self.model, self.windows, self.progress = model, dict(windows), progress
        self.layers = int(model.config.get_text_config().num_hidden_layers)
        self.done, self.total = 0, len(windows) * (1 + flat_entropy.PASSES)

    def means(self, stretches: Sequence[Stretch], multipliers: Floats) -> Floats:
        """Entropy `[documents, layers, stretches, points]` at multipliers `[layers, stretches, points]`."""
        queries = np.concatenate([s.queries for s in stretches])
        sizes = [len(s.queries) for s in stretches]
        starts = np.cumsum([0, *sizes[:-1]])
        found = []
        for tokens in self.windows.values():
            each = scaled_entropy(self.model, tokens[None], queries, np.repeat(multipliers, sizes, axis=1))[0]
            found.append(np.add.reduceat(each, starts, axis=1) / np.asarray(sizes)[:, None])
            self.done += 1
            if self.progress is not None:
                self.progress(STAGE, self.done, self.total)
        return np.stack(found)

    def drop(self, failed: Any) -> tuple[str, ...]:
        """Leaves documents out, and says which.

        Raises:
            MeasurementError: Fewer than two are left.
        """
        names = tuple(name for name, bad in zip(self.windows, failed, strict=True) if bad)
        if len(self.windows) - len(names) < 2:
            raise MeasurementError(
                f"attention entropy is a mean over at least 2 documents; the logits of {len(names)} of "
                f"{len(self.windows)} are not finite. Check that the model computes finite numbers at this length."
            )
        for name in names:
            del self.windows[name]
        return names


def _layers(
    reader: _Reader, plain: Floats, stretches: Sequence[Stretch], trained_length: int
) -> tuple[LayerEntropy, ...]:
    reference = next(i for i, s in enumerate(stretches) if s.last == trained_length)
    curves = flat_entropy.mean_over_documents(plain[..., 0])
    largest = plain[..., 1].mean(axis=0)
    scales, slopes = _flat(reader, plain[:, :, reference, 0], stretches, reference, trained_length)
    found = []
    for layer in range(reader.layers):
        entropy, low, high = (tuple(curve[layer].tolist()) for curve in curves)
        scale, scale_low, scale_high = ((None,) * (reference + 1) + _present(numbers[layer]) for numbers in scales)
        found.append(
            LayerEntropy(
                layer=layer,
                entropy=entropy,
                low=low,
                high=high,
                largest=tuple(largest[layer].tolist()),
                flat_scale=scale,
                flat_scale_low=scale_low,
                flat_scale_high=scale_high,
                slope=slopes[layer],
            )
        )
    return tuple(found)


def _flat(
    reader: _Reader, target: Floats, stretches: Sequence[Stretch], reference: int, trained_length: int
) -> tuple[tuple[Floats, Floats, Floats], list[Estimate | None]]:
    """Multipliers beyond the trained length with their intervals, `[layers, stretches]`, and each layer's slope."""
    beyond = stretches[reference + 1 :]
    if not beyond:
        nothing = np.empty((reader.layers, 0))
        return (nothing, nothing, nothing), [None] * reader.layers
    scales, pseudo = flat_entropy.flat_scales(partial(reader.means, beyond), target, len(beyond))
    _, low, high = flat_entropy.mean_over_documents(pseudo)
    ratios = np.array([s.log_ratio(trained_length) for s in beyond])
    slopes = flat_entropy.flat_slope(ratios, stretches[reference].log_ratio(trained_length), pseudo)
    return (scales, low, high), [_slope(slopes[:, layer], beyond[-1].last) for layer in range(reader.layers)]


def _present(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def _slope(slopes: Floats, length: int) -> Estimate | None:
    if not np.isfinite(slopes).all():
        return None
    value, low, high = (float(v) for v in flat_entropy.mean_over_documents(slopes))
    return Estimate(
        measure="flat_entropy_slope",
        protocol=SLOPE_PROTOCOL,
        unit="per ln n / ln L",
        length=length,
        value=value,
        low=low,
        high=high,
        level=LEVEL,
        interval=_interval_name(slopes) + ", linearised",
        samples=len(slopes),
        clusters=len(slopes),
    )


def _interval_name(values: Floats) -> str:
    return f"Student's t over {len(values)} documents"


def _check(model: Any, plan: EntropyPlan, trained_length: int) -> None:
    if plan.longest < trained_length:
        raise OptionError(
            f"entropy is compared with that at the trained length of {trained_length:,} tokens, so at least that many "
            f"must be read; got {plan.longest:,}. Give a longer length."
        )
    if depends_on_length(model, plan.longest):
        raise MeasurementError(
            "one forward shows the entropy at every position only if the rope does not change with the length of the "
            f"call; this model's does ('dynamic', or 'longrope' across its switch) below {plan.longest:,} tokens. "
            "Extend with a static method."
        )
