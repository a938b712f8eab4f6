"""Sampling from a model with a generator of one's own: `generate` of transformers draws from a global one.

Temperature and nucleus as in Holtzman et al. (2020), arXiv:1904.09751.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from ropewalk.rope import Floats


def likeliest(logits: Floats, top_p: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The smallest set of tokens that holds `top_p` of the probability (Holtzman et al. 2020, arXiv:1904.09751).

    Args:
        logits: `[vocabulary]`.
        top_p: Share of probability.

    Returns:
        Which tokens may be drawn, `[vocabulary]`.
    """
    weights = np.exp(logits - logits.max())
    order = np.argsort(-weights, kind="stable")
    sums = np.cumsum(weights[order])
    kept = np.zeros(len(logits), dtype=bool)
    kept[order] = sums - weights[order] < top_p * sums[-1]
    return kept


class NotFiniteError(Exception):
    """The model's logits are not finite: the summary ends here and counts as failed."""


class Sampler:
    """A logits processor that leaves one token: drawn from a generator of its own, or the likeliest.

    The largest of logit / temperature + Gumbel noise is a draw from the softmax (Gumbel 1954). So plain greedy
    `generate` samples, and no global seed is touched.
    """

    def __init__(self, temperature: float, top_p: float, rng: np.random.Generator) -> None:
        """For one row.

        Args:
            temperature: Divides the logits; 0 takes the likeliest token.
            top_p: Share of probability that is drawn from.
            rng: Source of the draws.
        """
        self.temperature = temperature
        self.top_p = top_p
        self.rng = rng

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        del input_ids
        if bool((scores.isnan() | scores.isposinf()).any()):
            raise NotFiniteError
        if not self.temperature:
            return scores
        logits = scores[0].double().cpu().numpy() / self.temperature
        noise = self.rng.gumbel(size=len(logits))
        chosen = int(np.where(likeliest(logits, self.top_p), logits + noise, -np.inf).argmax())
        only = torch.full_like(scores, -torch.inf)
        only[0, chosen] = 0.0
        return only
