"""The checkpoints of a run: which is the last that was written to its end, and what of a model is in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from ropewalk.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

TRAINED = "trained.safetensors"


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end. Trainer writes `trainer_state.json` last."""
    found = []
    for candidate in folder.glob("checkpoint-*"):
        try:
            found.append((step_of(candidate), candidate))
        except (OSError, ValueError, KeyError):
            continue
    return max(found)[1] if found else None


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(json.loads((checkpoint / "trainer_state.json").read_text())["global_step"])


def trained_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """What training changes, by its name in the model; a tensor that two modules share is there once."""
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


def set_trained_tensors(model: PreTrainedModel, stored: Mapping[str, torch.Tensor]) -> None:
    """Sets what training changes to what it was, bit for bit.

    Raises:
        ModelError: The names or shapes are not those of this model and its settings.
    """
    mine = trained_tensors(model)
    wrong = sorted(set(mine) ^ set(stored)) or [name for name in mine if mine[name].shape != stored[name].shape]
    if wrong:
        raise ModelError(
            f"a checkpoint must hold exactly the {len(mine)} tensors that this run trains; this one differs in "
            f"{len(wrong)}, the first being '{wrong[0]}'. Resume with the settings of the interrupted run."
        )
    with torch.no_grad():
        for name, value in mine.items():
            value.copy_(stored[name])


def save_checkpoint(model: PreTrainedModel, folder: Path) -> None:
    """Writes what training changes, and nothing else: adapters of a large model make a small checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in trained_tensors(model).items()}
    save_file(tensors, folder / TRAINED, metadata={"format": "pt"})


def load_checkpoint(model: PreTrainedModel, folder: Path) -> None:
    """Reads what `save_checkpoint` wrote back into the model."""
    set_trained_tensors(model, load_file(folder / TRAINED))
