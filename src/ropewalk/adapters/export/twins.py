"""Small random models on which an export is compared with the method: the same weights, two configs.

What an export changes is the config (and, folded, the weights that make queries), so a narrow model of a few layers
shows every error that the real one would, and the real weights need not be read.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from ropewalk.adapters import attention, twin
from ropewalk.adapters.apply import replace_rotary
from ropewalk.adapters.carriers.folded import query_changes
from ropewalk.adapters.config import loaded_config
from ropewalk.adapters.families import FULL

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from ropewalk.adapters.export.form import Form, Subject
    from ropewalk.analysis.engines import Reading


def applied_twin(subject: Subject) -> PreTrainedModel:
    """A small model with the subject's config, and with the whole method."""
    config, method = subject.config, subject.method
    scaled = attention.scaled_layers(method, config, subject.target_length) if method.scale_varies else ()
    full = config.layer_types.index(FULL) if FULL in config.layer_types else 0
    layers = min(config.layers, max(2, full + 1, scaled[0] + 1 if scaled else 0))
    model = twin.random_model(twin.load_config(subject.folder), layers)
    if method.scale_varies:
        small = dataclasses.replace(config, layers=layers, layer_types=config.layer_types[:layers])
        attention.attach(model, method, small, subject.target_length)
    return model


@torch.no_grad()
def exported_twin(folder: Path, form: Form, applied: PreTrainedModel) -> PreTrainedModel:
    """The applied twin's weights under an exported config.

    Args:
        folder: The export.
        form: What was written there.
        applied: The twin of the subject.
    """
    model = twin.random_model(twin.load_config(folder), applied.config.num_hidden_layers)
    model.load_state_dict(applied.state_dict())
    if form.query_factor != 1:
        weights = dict(model.named_parameters())
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        for name, change in query_changes(shapes, loaded_config(applied), form.query_factor).items():
            weights[name].copy_(change.apply(weights[name].clone(), 0))
    return model


def read_as(model: PreTrainedModel, reading: Reading, window: int) -> None:
    """Makes a loaded model compute what an engine reads, through transformers' own longrope.

    Args:
        model: Loaded from the folder that the engine reads.
        reading: Frequencies and factor of the engine.
        window: Tokens that the tables cover.
    """
    before = dict(model.config.rope_parameters)
    base = float(before["rope_theta"])
    share = {key: value for key, value in before.items() if key in ("partial_rotary_factor", "llama_4_scaling_beta")}
    pairs = len(reading.frequencies)
    trained = [base ** (-pair / pairs) for pair in range(pairs)]
    factors = [plain / max(float(f), 1e-30) for plain, f in zip(trained, reading.frequencies, strict=True)]
    # The stairs of ministral3 are counted in the same key that longrope switches at; equal lists make that harmless.
    original = reading.stairs[1] if reading.stairs else window
    model.config.rope_parameters = {
        "rope_type": "longrope",
        "rope_theta": base,
        "factor": 1.0,
        "original_max_position_embeddings": original,
        "short_factor": factors,
        "long_factor": list(factors),
        "attention_factor": reading.attention_factor,
        **share,
    }
    model.config.max_position_embeddings = window
    replace_rotary(model)
