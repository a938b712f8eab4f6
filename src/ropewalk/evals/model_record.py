"""What a result says of the model that was measured."""

from __future__ import annotations

from typing import Any

from ropewalk.evals.static_rope import rope_parameters
from ropewalk.result import ModelRecord


def model_record(
    model: Any,
    *,
    name: str,
    method: str,
    trained_length: int | None = None,
    target_length: int | None = None,
    weights: str | None = None,
) -> ModelRecord:
    """The record of a model, with the rotary parameters that are in force in it.

    Args:
        model: A loaded causal language model.
        name: What to call it.
        method: What was done to it.
        trained_length: Tokens of the original window; read from the config if not given.
        target_length: Tokens of the extended window; read from the config if not given.
        weights: Fingerprint of the weight files.
    """
    sets = [dict(parameters) for parameters in rope_parameters(model)]
    window = int(model.config.get_text_config().max_position_embeddings)
    declared = next(
        (p["original_max_position_embeddings"] for p in sets if "original_max_position_embeddings" in p), window
    )
    return ModelRecord(
        name=name,
        method=method,
        trained_length=trained_length or declared,
        target_length=target_length or window,
        rope=sets[0] if len(sets) == 1 else {str(i): parameters for i, parameters in enumerate(sets)},
        weights=weights,
    )
