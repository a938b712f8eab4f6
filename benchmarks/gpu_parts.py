"""The parts of the GPU benchmark. Each gives its figures one by one, within its share of the time."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gpu_model import (
    RANK,
    Sizes,
    Way,
    attention_backend,
    lora_model,
    peak,
    random_model,
    step,
    synchronize,
    without_scores,
)
from recall import fact
from shapes import TINY, document, word_tokenizer

from ropewalk.analysis.memory import Step, longest_window
from ropewalk.evals.nll import token_nll
from ropewalk.evals.shared_prefix import answer_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GIB = 2**30
FLOPS = 989e12  # dense bfloat16 of one H100 or H200, by its data sheet
CONFIRMED_AT = 0.95
SEARCH_DOCUMENTS = 5


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        part: Of the benchmark.
        name: What it is.
        value: None where it did not fit or failed.
        unit: Of the value.
        words: The value as it is printed, or why there is none.
        expected: What was predicted or asked for, in words.
    """

    part: str
    name: str
    value: float | None
    unit: str
    words: str
    expected: str | None = None


def figure(part: str, name: str, value: float, unit: str, expected: str | None = None) -> Figure:
    return Figure(part, name, value, unit, f"{value:,.4g} {unit}" if value < 1000 else f"{value:,.0f} {unit}", expected)


def growing(part: str, sizes: Sequence[int], share: float, measure: Callable[[int], list[Figure]]) -> Iterator[Figure]:
    """Figures of growing sizes, while the next one, taken to last four times as long, fits the time."""
    started, last = time.monotonic(), 0.0
    for size in sizes:
        if time.monotonic() - started + 4 * last > share:
            yield Figure(part, f"{size:,} tokens", None, "", f"left out: more than the part's {share:.0f} s")
            return
        before = time.monotonic()
        try:
            yield from measure(size)
        except torch.OutOfMemoryError:
            yield Figure(part, f"{size:,} tokens", None, "", "did not fit into the device's memory")
            return
        finally:
            gc.collect()
        last = time.monotonic() - before


def longest_context(
    sizes: Sizes, probes: tuple[int, int], device: torch.device, share: float, *, tile: int | None
) -> Iterator[Figure]:
    """The longest LoRA window by the line through two measured peaks, and a step near it that shows if it holds."""
    started, part = time.monotonic(), "longest context"
    total = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else GIB
    model = lora_model(sizes, device)
    known = Step(1, trained=sizes.shape.lora_parameters(RANK), activation_checkpointing="on")
    ways = (
        (Way("transformers, activation checkpointing", ours=False), replace(known, chunked_loss=False)),
        (Way("chunked loss", ours=True, tile=0), known),
        (Way("chunked loss, tiled MLP", ours=True, tile=tile), replace(known, tile=tile or 1024)),
        (
            Way("chunked loss, tiled MLP, offloaded checkpoints", ours=True, tile=tile, offload=device.type == "cuda"),
            replace(known, tile=tile or 1024, activation_checkpointing="offload"),
        ),
    )
    for way, modelled in ways:
        predicted = longest_window(sizes.shape, modelled, total)
        try:
            step(model, way, probes[0], device)
            few, many = (_peak_of_step(model, way, tokens, device) for tokens in probes)
            slope = max(1.0, (many - few) / (probes[1] - probes[0]))
            longest = int((total - many) / slope) + probes[1]
            yield figure(part, f"{way.name}, from two windows", longest, "tokens", f"{predicted:,} predicted")
            if device.type == "cpu":
                longest = 2 * probes[1]
            if way.offload or time.monotonic() - started > share:
                continue
            with without_scores(model, wanted=True):
                shown = int(CONFIRMED_AT * longest)
                used = _peak_of_step(model, way, shown, device)
            yield figure(part, f"{way.name}, peak at {shown:,} tokens (attention left out)", used / GIB, "GiB")
        except torch.OutOfMemoryError:
            yield Figure(part, way.name, None, "", "did not fit where the line said that it would")
            model.zero_grad(set_to_none=True)


def _peak_of_step(model: Any, way: Way, tokens: int, device: torch.device) -> int:
    with peak(device) as found:
        step(model, way, tokens, device)
    return found[0]


def training_speed(
    sizes: Sizes, windows: Sequence[int], device: torch.device, share: float, *, tile: int | None
) -> Iterator[Figure]:
    """Tokens per second and model-FLOP utilisation of LoRA steps with checkpointing."""
    part, model = "training speed", lora_model(sizes, device)
    way = Way("ropewalk", ours=True, tile=tile)
    backend = attention_backend(model, device)
    predictions = {16384: 11_100, 32768: 8_200, 131072: 3_100}
    step(model, way, min(windows), device)

    def measure(tokens: int) -> list[Figure]:
        seconds = []
        while sum(seconds) < share / 12 and len(seconds) < 3:
            synchronize(device)
            before = time.monotonic()
            step(model, way, tokens, device)
            synchronize(device)
            seconds.append(time.monotonic() - before)
        rate = tokens / min(seconds)
        useful = sizes.operations(tokens, linear=2, head=2, attention=3)  # frozen weights need no gradient
        expected = f"{predictions[tokens]:,} predicted for a Hopper flash kernel" if tokens in predictions else None
        name = f"{tokens:,} tokens, attention by {backend}"
        return [
            figure(part, f"{name}, best of {len(seconds)}", rate, "tokens/s", expected),
            figure(part, f"{name}, of {FLOPS / 1e12:.0f} TFLOP/s", 100 * useful * rate / tokens / FLOPS, "%"),
        ]

    yield from growing(part, windows, share, measure)


def needle_sweep(sizes: Sizes, longest: Sequence[int], device: torch.device, share: float) -> Iterator[Figure]:
    """A lattice of needles: 21 positions, 10 lengths, every cell from one chain for each position."""
    part, model = f"needle sweep, {sizes.name}", random_model(sizes, device)
    tokenizer = word_tokenizer(replace(TINY, vocabulary=sizes.vocabulary))
    haystack = document(replace(TINY, vocabulary=sizes.vocabulary), max(longest))
    needle = fact(np.random.default_rng(0))

    def measure(tokens: int) -> list[Figure]:
        lengths = [tokens * k // 10 for k in range(1, 11)]
        positions = [tokens * k // 20 for k in range(21)]
        with peak(device) as used:
            before = time.monotonic()
            cells = answer_grid(model, tokenizer, haystack, needle, positions=positions, lengths=lengths)
            synchronize(device)
            seconds = time.monotonic() - before
        name = f"{len(cells)} cells to {tokens:,} tokens"
        return [
            figure(part, name, seconds, "s", "at most 240 s" if tokens == 131072 else None),
            figure(part, f"{name}, peak", used[0] / GIB, "GiB"),
        ]

    yield from growing(part, longest, share, measure)


def one_forward(sizes: Sizes, windows: Sequence[int], device: torch.device, share: float) -> Iterator[Figure]:
    """Every token of a window scored in one forward, without a cache and without logits of more than a chunk."""
    part, model = "scoring in one forward", random_model(sizes, device)

    def measure(tokens: int) -> list[Figure]:
        ids = np.random.default_rng(0).integers(1, sizes.vocabulary, size=(1, tokens))
        with peak(device) as used:
            before = time.monotonic()
            scores = token_nll(model, ids)
            seconds = time.monotonic() - before
        if not np.isfinite(scores).all():
            raise AssertionError("scores must be finite numbers")
        expected = ("at most 45 s", "at most 45 GiB") if tokens == 262144 else (None, None)
        return [
            figure(part, f"{tokens:,} tokens", seconds, "s", expected[0]),
            figure(part, f"{tokens:,} tokens, peak", used[0] / GIB, "GiB", expected[1]),
        ]

    yield from growing(part, windows, share, measure)


def search_evaluation(sizes: Sizes, tokens: int, device: torch.device, share: float) -> Iterator[Figure]:
    """One evaluation of a factor search: new frequencies in place, then the likelihood of five documents."""
    part, model = "search", random_model(sizes, device)
    rotary = model.model.rotary_emb
    frequencies = rotary.inv_freq / torch.linspace(1, 8, len(rotary.inv_freq), device=device)
    rows = np.random.default_rng(0).integers(1, sizes.vocabulary, size=(SEARCH_DOCUMENTS, tokens))
    token_nll(model, rows[:1, : min(tokens, 1024)])

    def measure(size: int) -> list[Figure]:
        synchronize(device)
        before = time.monotonic()
        rotary.inv_freq.copy_(frequencies)
        synchronize(device)
        swapped = time.monotonic()
        for row in rows:
            token_nll(model, row[None])
        seconds = time.monotonic() - swapped
        return [
            figure(part, "exchange of the frequencies", 1000 * (swapped - before), "ms", "below 5 ms"),
            figure(part, f"{SEARCH_DOCUMENTS} x {size:,} tokens", seconds, "s", "at most 6.5 s"),
        ]

    yield from growing(part, [tokens], share, measure)
