"""Which numbers of a model are trained, what a checkpoint of them holds, and how they reach the saved model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ropewalk.adapters.load import save_model, save_tokenizer
from ropewalk.adapters.merge import merge_checkpoint
from ropewalk.adapters.quantize import four_bits
from ropewalk.adapters.shards import Change, Replacement
from ropewalk.errors import OptionError
from ropewalk.train.frequencies import add_frequencies, learned_method, scale_changes
from ropewalk.train.lora import adapter_changes, add_adapters
from ropewalk.train.settings import LoraSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ropewalk.adapters.apply import ExtensionReport
    from ropewalk.method import Method
    from ropewalk.train.settings import TrainSettings


@dataclass(frozen=True)
class Trainable:
    """A model whose trained numbers are chosen.

    Attributes:
        model: The model; every other parameter is frozen.
        kind: As the run file says it.
        weights: Weights of the model before anything was put beside them.
        added: Names of the parameters that were put beside them.
    """

    model: PreTrainedModel
    kind: str
    weights: int
    added: frozenset[str]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters, by their names in the model."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    @property
    def count(self) -> int:
        """How many numbers are trained."""
        return sum(value.numel() for value in self.parameters.values())

    def describe(self) -> str:
        """Such as `lora: 28,672 numbers are trained, 0.4 % of the model's 7,208,960 weights`."""
        share = _share(self.count / self.weights)
        return f"{self.kind}: {self.count:,} numbers are trained, {share} of the model's {self.weights:,} weights"

    def changes(self) -> dict[str, Change]:
        """What training did to the weights of the original model, by their names in it."""
        replaced = {
            name: Replacement(value.detach().cpu()) for name, value in self.parameters.items() if name not in self.added
        }
        return {**adapter_changes(self.model), **scale_changes(self.model), **replaced}

    def tied(self) -> dict[str, str]:
        """Names of trained tensors that are another one (a head that is the embeddings), and that one's name."""
        first = {id(value): name for name, value in self.parameters.items()}
        named = self.model.named_parameters(remove_duplicate=False)
        return {name: first[id(value)] for name, value in named if first.get(id(value), name) != name}


def make_trainable(
    model: PreTrainedModel, settings: TrainSettings, *, frozen_dtype: torch.dtype | None = None
) -> Trainable:
    """Chooses what is trained, in place, and freezes the rest.

    `embeddings-norms` are the input embeddings and every norm, as in LongLoRA (arXiv:2309.12307); the output head
    learns only where it is the same tensor. What is trained is float32, because bfloat16 loses most small updates.

    Args:
        model: An extended model.
        settings: `trainable`, `lora` and `seed` are read.
        frozen_dtype: Number format of what is not trained, to save memory; None leaves it. A model in two formats
            runs under autocast, except with adapters alone, which convert by themselves.

    Raises:
        OptionError: Settings that contradict each other, or an extra that is not installed.
        UnknownNameError: A target that no linear layer has.
        ModelError: A model whose frequencies or queries cannot be trained by themselves.
        CarrierError: Frequencies that no config could carry.
    """
    lora = _lora_settings(settings)
    if lora and lora.quantize:
        _require_four_bits(model)
    weights, before = int(model.num_parameters()), {name for name, _ in model.named_parameters()}
    chosen: list[nn.Parameter] = []
    if settings.trainable == "all":
        chosen += model.parameters()
    if settings.trainable == "embeddings-norms" or (lora and lora.embeddings_and_norms):
        chosen += _embeddings_and_norms(model)
    if settings.trainable == "frequencies":
        chosen += add_frequencies(model)
    if lora:
        add_adapters(model, lora, settings.seed)
        chosen += [value for name, value in model.named_parameters() if ".lora_" in name]
    _freeze_others(model, chosen, frozen_dtype)
    added = frozenset(name for name, value in model.named_parameters() if value.requires_grad) - before
    return Trainable(model, settings.trainable, weights, added)


def save_trained(
    trainable: Trainable,
    folder: Path,
    *,
    source: Path,
    method: Method,
    report: ExtensionReport,
    tokenizer: PreTrainedTokenizerBase | None,
    dtype: torch.dtype,
) -> ExtensionReport:
    """Saves a trained model into a folder, as one that plain transformers loads.

    A model whose every weight was trained is saved as it is, in `dtype`. Everything else goes into a copy of the
    source's weight files, in the format that they have, and the model in memory stays as it is.

    Args:
        trainable: What `make_trainable` returned.
        folder: Gets the files of the checkpoint; other files in it stay.
        source: The checkpoint folder that training started from.
        method: The method of the extension.
        report: What `extend_model` returned.
        tokenizer: Of the model.
        dtype: Number format of a model whose every weight was trained.

    Returns:
        The report, with what was saved.

    Raises:
        RopewalkError: As `save_model` and `merge_checkpoint`.
    """
    model, target_length = trainable.model, report.target_length
    if trainable.kind == "all":
        save_model(model.to(dtype), tokenizer, folder)
        return report
    notes = [trainable.describe()]
    if trainable.kind == "frequencies":
        notes.append(f"the frequencies were trained from those of {report.method}")
        method = learned_method(model, target_length)
    merged = folder / "merged"
    saved = merge_checkpoint(
        source, merged, method, target_length, trainable.changes(), tied=trainable.tied(), overwrite=True
    )
    for file in merged.iterdir():
        file.replace(folder / file.name)
    merged.rmdir()
    if tokenizer is not None:  # training may have given it a chat template
        save_tokenizer(tokenizer, folder, target_length)
    return dataclasses.replace(saved, notes=(*saved.notes, *notes))


def _lora_settings(settings: TrainSettings) -> LoraSettings | None:
    if settings.trainable == "lora":
        return settings.lora or LoraSettings()
    if settings.lora is not None:
        raise OptionError(
            f"the section [train.lora] belongs to trainable = 'lora'; this run has it with trainable = "
            f"'{settings.trainable}'. Set trainable = 'lora', or take the section out."
        )
    return None


def _require_four_bits(model: Any) -> None:
    four_bits(torch.bfloat16, model.device)
    if not getattr(model, "is_loaded_in_4bit", False):
        raise OptionError(
            "quantize trains adapters beside weights in 4 bits; this model was loaded with its own. Load it with "
            "load_model(..., quantize=True)."
        )
    model._hf_peft_config_loaded = True  # by this mark Trainer knows that a quantised model has adapters


def _embeddings_and_norms(model: PreTrainedModel) -> Iterator[nn.Parameter]:
    yield from model.get_input_embeddings().parameters()
    for module in model.modules():
        if "norm" in type(module).__name__.lower():
            yield from module.parameters(recurse=False)


def _freeze_others(model: nn.Module, chosen: list[nn.Parameter], frozen_dtype: torch.dtype | None) -> None:
    trained = {id(value) for value in chosen}
    for value in model.parameters():
        value.requires_grad_(id(value) in trained)
        if not value.is_floating_point():
            continue
        dtype = torch.promote_types(value.dtype, torch.float32) if value.requires_grad else frozen_dtype or value.dtype
        value.data = value.data.to(dtype)


def _share(fraction: float) -> str:
    percent = 100 * fraction
    return f"{percent:.3g} %" if percent >= 0.001 else "under 0.001 %"
