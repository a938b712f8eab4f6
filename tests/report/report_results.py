"""Results as an evaluation would leave them."""

from __future__ import annotations

from typing import Any

from ropewalk.result import Environment, Estimate, EvaluationResult, ModelRecord

LENGTHS = (256, 512, 1024, 2048)


def estimate(measure: str, length: int, value: float, spread: float, **changes: Any) -> Estimate:
    fields = {
        "protocol": "made for a test",
        "unit": "per token" if measure == "perplexity" else "share of answers",
        "interval": "bootstrap over 21 documents" if measure == "perplexity" else "Wilson",
        "samples": 168 if measure == "perplexity" else 30,
        "clusters": 21 if measure == "perplexity" else 30,
    }
    return Estimate(
        measure=measure, length=length, value=value, low=value - spread, high=value + spread, **{**fields, **changes}
    )


def result(
    method: str,
    perplexities: tuple[float, ...] = (9.3, 24.6, 33.8, 41.4),
    accuracies: tuple[float, ...] = (0.97, 0.1, 0.03, 0.03),
    *,
    data: str = "0123456789abcdef-01234567",
    extra: tuple[Estimate, ...] = (),
    **changes: Any,
) -> EvaluationResult:
    """A result with given perplexities and accuracies at 256 to 2,048 tokens."""
    estimates = [estimate("perplexity", n, v, v / 12) for n, v in zip(LENGTHS, perplexities, strict=False)]
    for measure in ("passkey_accuracy", "key_value_accuracy"):
        estimates += [estimate(measure, n, v, 0.03) for n, v in zip(LENGTHS, accuracies, strict=False)]
    for depth in (0.0, 0.5, 1.0):
        estimates += [estimate("passkey_accuracy", n, 0.5, 0.3, depth=depth, samples=10) for n in LENGTHS]
    gain = {"unit": "nats/token", "interval": "bootstrap over 21 documents", "samples": 168, "clusters": 21}
    for shorter, longer in ((256, 512), (512, 1024), (1024, 2048), (512, 2048), (256, 2048)):
        estimates.append(estimate("context_gain", longer, 0.08, 0.01, baseline_length=shorter, **gain))
    estimates.append(estimate("repeated_gain", 2048, 0.5, 0.1, baseline_length=1024, **gain))
    return EvaluationResult(
        **{
            "status": "complete",
            "model": ModelRecord(name="builtin", method=method, trained_length=256, target_length=2048),
            "data": data,
            "seed": 0,
            "estimates": (*estimates, *extra),
            "environment": Environment(
                ropewalk="0.1.0", python="3.11.7", torch="2", transformers="5", numpy="2", device="cpu", threads=2
            ),
            "wall_seconds": 61.5,
            **changes,
        }
    )
