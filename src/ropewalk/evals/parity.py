"""Do two forms of a model choose the same tokens? The same prompt through both, in one call and token by token.

A prompt is a few drawn tokens at the start, in the middle and at the end of a window, so that both the slowest pairs
and the largest positions count; a short prompt of neighbours would hide an error of either. An engine that numbers its
tokens itself gets the whole window instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ropewalk.result import ParityCell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Of the largest logit, or of 1: two orders of the same float32 sums differ by some 1e-6 of it.
TOLERANCE = 1e-4
TOKENS = 32
SEED = 20240611


@dataclass(frozen=True)
class Prompt:
    """Tokens at positions.

    Attributes:
        length: Tokens of the window that it stands for.
        tokens: Token numbers, `[tokens]`.
        positions: 0-based, increasing, `[tokens]`.
    """

    length: int
    tokens: Tensor
    positions: Tensor


class Runner(Protocol):
    """A form of a model that computes logits."""

    def prefill(self, prompt: Prompt) -> Tensor:
        """Logits after every token, or the last ones, from one call, float64, `[tokens, vocabulary]`."""

    def decode(self, prompt: Prompt) -> Tensor:
        """The same, token by token with a cache."""


class ModelRunner:
    """A causal language model in memory.

    Args:
        model: From transformers.
        tail: Only the last so many tokens give logits, and are decoded one by one after a call with the others; None
            for all. The logits of a whole window do not fit into memory.
    """

    def __init__(self, model: Any, tail: int | None = None) -> None:
        self.model, self.tail = model.eval(), tail

    @torch.no_grad()
    def prefill(self, prompt: Prompt) -> Tensor:
        """See `Runner`."""
        logits: Tensor = self._forward(prompt, 0, len(prompt.tokens), None, self.tail or 0).logits[0]
        return logits.double().cpu()

    @torch.no_grad()
    def decode(self, prompt: Prompt) -> Tensor:
        """See `Runner`."""
        cache, rows = None, []
        first = max(0, len(prompt.tokens) - self.tail) if self.tail else 0
        if first:
            cache = self._forward(prompt, 0, first, None, 1).past_key_values
        for index in range(first, len(prompt.tokens)):
            output = self._forward(prompt, index, index + 1, cache)
            cache = output.past_key_values
            rows.append(output.logits[0].double().cpu())
        return torch.cat(rows)

    def _forward(self, prompt: Prompt, first: int, last: int, cache: Any, keep: int = 0) -> Any:
        device = self.model.device
        return self.model(
            input_ids=prompt.tokens[None, first:last].to(device),
            position_ids=prompt.positions[None, first:last].to(device),
            # The mask keeps transformers from reading a jump of positions as a document border.
            attention_mask=torch.ones(1, last, dtype=torch.long, device=device),
            past_key_values=cache,
            use_cache=True,
            **({"logits_to_keep": keep} if keep else {}),
        )


def spread_prompts(lengths: Sequence[int], vocabulary: int, *, tokens: int = TOKENS) -> tuple[Prompt, ...]:
    """One prompt for each window: its first, middle and last positions.

    Args:
        lengths: Tokens of the windows.
        vocabulary: Tokens to draw from.
        tokens: Of a prompt, at most.
    """
    prompts = []
    for length in lengths:
        count = min(tokens, length)
        part, rest = divmod(count, 3)
        middle = min(max(length // 2, part + rest), length - 2 * part)
        starts = np.arange(part + rest), np.arange(middle, middle + part), np.arange(length - part, length)
        positions = np.arange(length) if count == length else np.concatenate(starts)
        prompts.append(Prompt(length, _draw(count, vocabulary), torch.from_numpy(positions)))
    return tuple(prompts)


def whole_prompts(lengths: Sequence[int], vocabulary: int) -> tuple[Prompt, ...]:
    """One prompt for each window, as long as the window."""
    return tuple(Prompt(length, _draw(length, vocabulary), torch.arange(length)) for length in lengths)


def _draw(count: int, vocabulary: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng((SEED, count)).integers(0, vocabulary, size=count))


def compare(applied: Runner, engine: Runner, prompts: Sequence[Prompt]) -> tuple[ParityCell, ...]:
    """Compares the logits of two forms on the same prompts, prefill and decode.

    Args:
        applied: The model with the method applied.
        engine: The form of it that an engine computes.
        prompts: One for each window.
    """
    cells = []
    for prompt in prompts:
        for phase in ("prefill", "decode"):
            wanted, got = getattr(applied, phase)(prompt), getattr(engine, phase)(prompt)
            positions = prompt.positions[-len(wanted) :]
            apart = (wanted.argmax(-1) != got.argmax(-1)).nonzero()
            difference = float((wanted - got).abs().max())
            cells.append(
                ParityCell(
                    length=prompt.length,
                    phase=phase,
                    tokens=len(wanted),
                    # NaN is no difference that can be tolerated.
                    largest_difference=difference if np.isfinite(difference) else float("inf"),
                    largest_logit=float(wanted.abs().max()),
                    first_divergent_token=int(positions[apart[0, 0]]) if len(apart) else None,
                )
            )
    return tuple(cells)


def within_tolerance(cell: ParityCell, tolerance: float = TOLERANCE) -> bool:
    """Whether a difference is no more than rounding, as a share of the largest logit (at least 1)."""
    return cell.largest_difference <= tolerance * max(1.0, cell.largest_logit)
