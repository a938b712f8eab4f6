"""Sampling from a generator of one's own: the right tokens, with the right frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.generation.logits_process import TopPLogitsWarper

from ropewalk.evals.sampling import NotFiniteError, Sampler, likeliest


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.95, 1.0])
def test_the_likeliest_tokens_are_those_of_transformers(top_p):
    rng = np.random.default_rng(0)
    for spread in (0.1, 1.0, 5.0):
        logits = rng.normal(0, spread, size=200)
        theirs = TopPLogitsWarper(top_p)(None, torch.as_tensor(logits)[None])[0]
        assert (likeliest(logits, top_p) == torch.isfinite(theirs).numpy()).all()


@pytest.mark.parametrize(("temperature", "fits"), [(0.5, True), (1.0, False)])
def test_draws_follow_the_tempered_distribution(temperature, fits):
    """Chi-square against the softmax at temperature 0.5 over the likeliest 95 %; another temperature is caught."""
    logits = np.array([2.0, 1.5, 1.0, 0.0, -1.0, -6.0])
    weights = np.where(likeliest(logits / 0.5, 0.95), np.exp(logits / 0.5), 0)
    shares = weights / weights.sum()
    sampler = Sampler(temperature, 0.95, np.random.default_rng(3))
    scores = torch.as_tensor(logits, dtype=torch.float32)[None]
    draws = np.bincount([int(sampler(None, scores).argmax()) for _ in range(4000)], minlength=6)
    possible = shares > 0
    expected = 4000 * shares[possible]
    statistic = float(((draws[possible] - expected) ** 2 / expected).sum())
    assert (statistic < 16.3 and draws[~possible].sum() == 0) == fits  # chi-square, 3 degrees of freedom, 0.1 %


def test_without_temperature_the_scores_stay_as_they_are():
    scores = torch.tensor([[0.5, -torch.inf, 2.0]])
    assert Sampler(0, 0.95, np.random.default_rng(0))(None, scores) is scores


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_scores_that_are_not_finite_end_the_text(bad):
    for temperature in (0, 1.0):
        with pytest.raises(NotFiniteError):
            Sampler(temperature, 0.95, np.random.default_rng(0))(None, torch.tensor([[0.0, bad]]))
