"""Loads a folder as an engine reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ropewalk.adapters.attention import attached
from ropewalk.adapters.config import read_model_config
from ropewalk.adapters.export.form import Form
from ropewalk.adapters.export.served import Served
from ropewalk.adapters.export.twins import read_as
from ropewalk.adapters.families import assumed_family
from ropewalk.adapters.load import load_model

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

    from ropewalk.adapters.export.engine import Engine
    from ropewalk.adapters.export.form import Subject


def engine_model(engine: Engine, folder: Path, subject: Subject, device: torch.device | str | None) -> PreTrainedModel:
    """The model that an engine makes of a folder, in transformers: without ropewalk's own scale, and for engines that
    do not run here with the tables that their sources say they compute.

    Args:
        engine: For which program.
        folder: An export, or an extended checkpoint.
        subject: What it was made from.
        device: Where to put the model.
    """
    model = load_model(folder, device=device)
    ours = attached(model)
    if ours is not None:
        ours.active = False
    config = read_model_config(folder)
    if isinstance(engine, Served) and not assumed_family(config.model_type).rope_per_layer_type:
        reading = engine.readings(config.raw, subject)[0]
        read_as(model, reading, subject.target_length)
    return model


def form_as_written(folder: Path, subject: Subject) -> Form:
    """The form of a checkpoint that no export made: what its config holds, taken for the method itself."""
    config = read_model_config(folder)
    scaling = dict(config.declared_scaling or {"rope_type": "default"})
    return Form(str(scaling.get("rope_type", "default")), subject.method, scaling, subject.factor)
