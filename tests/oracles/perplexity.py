"""Perplexity protocols written out: one forward for each length or window, all logits, a loop that anyone would write.

`one_forward` is what a model says about one row of tokens; everything else is bookkeeping in plain Python, in terms of
a `Nll`: (row of tokens) -> NLL of its tokens 1, 2, ... in nats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Nll = Callable[[list[int]], list[float]]


def one_forward(model: Any) -> Nll:
    """NLL from a log-softmax in float64 over the logits of all positions."""

    def nll(row: list[int]) -> list[float]:
        with torch.no_grad():
            logits = model(torch.tensor([row]), use_cache=False).logits[0].double()
        chosen = torch.log_softmax(logits, -1)[torch.arange(len(row) - 1), torch.tensor(row[1:])]
        return (-chosen).tolist()

    return nll


def truncated(nll: Nll, tokens: Sequence[int], length: int, start: int | None = None) -> list[float]:
    """NLL of every token of the first `length` tokens that has a token before it."""
    front = [] if start is None else [start]
    return nll((front + list(tokens))[:length])


def windows(nll: Nll, tokens: Sequence[int], window: int, stride: int, start: int | None = None) -> list[list[float]]:
    """YaRN's `compute_perplexity`: NLL of the tokens that each window is the first to hold, window by window.

    A token that begins a window and has nothing before it is not predicted; where the stride is a whole window this
    loop would lose one token in each, so it moves by at most what a window predicts.
    """
    room = window if start is None else window - 1
    step = min(stride, window - 1)
    found = []
    known_to = 0 if start is not None else 1
    begin = 0
    while True:
        end = min(begin + room, len(tokens))
        text = list(tokens[begin:end])
        losses = nll(text) if start is None else nll([start, *text])
        predicted = range(end - len(losses), end)
        found.append([loss for place, loss in zip(predicted, losses, strict=True) if place >= known_to])
        known_to = end
        if end == len(tokens):
            return found
        begin += step


def perplexity(losses: Sequence[Sequence[float]]) -> float:
    """exp of the mean over tokens."""
    everything = [loss for window in losses for loss in window]
    return math.exp(sum(everything) / len(everything))


def released_perplexity(losses: Sequence[Sequence[float]]) -> float:
    """exp of the mean of the windows' means: what the released code prints."""
    means = [sum(window) / len(window) for window in losses]
    return math.exp(sum(means) / len(means))
