"""Models of random weights, to be pre-trained with the built-in tokenizer: the built-in form in other sizes, or any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ropewalk.adapters.load import load_tokenizer, save_model
from ropewalk.adapters.source import BUILTIN, resolve_source

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig

HEAD_DIM = 64  # of the built-in model: with its base and window, the pairs then turn as often in every size
FEED_FORWARD = 2.6875  # times the width, as in the built-in model


@dataclass(frozen=True)
class Form(ABC):
    """What a model is like before it has weights, in plain numbers; conditions of what is made from it name them."""

    @abstractmethod
    def config(self) -> PreTrainedConfig:
        """Its config; the vocabulary is the built-in tokenizer's."""


@dataclass(frozen=True)
class Shape(Form):
    """The built-in Llama in another size: its window, base, and heads of 64 channels.

    Attributes:
        layers: Number of layers.
        width: Channels of a hidden state, a multiple of 64.
    """

    layers: int
    width: int

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return self.width // HEAD_DIM

    def config(self) -> PreTrainedConfig:
        """The built-in model's, in this size."""
        config = AutoConfig.from_pretrained(resolve_source(BUILTIN))
        config.hidden_size = self.width
        config.intermediate_size = round(FEED_FORWARD * self.width)
        config.num_hidden_layers = self.layers
        config.num_attention_heads = config.num_key_value_heads = self.heads
        return config


def write_fresh_model(form: Form, folder: Path, *, seed: int = 0) -> None:
    """Writes a model folder with a config, the built-in tokenizer, and random weights.

    Matrices are normal with the config's `initializer_range` as deviation, norms are 1 and biases 0, as transformers
    starts them.

    Args:
        form: What it is like.
        folder: Where to write; files of the same names are replaced.
        seed: Of the weights.

    Raises:
        OutputError: The folder cannot be written.
    """
    config = form.config()
    # transformers draws first weights from the global generator; the caller's state must survive that.
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, config.initializer_range, generator=generator)
    save_model(model, load_tokenizer(BUILTIN), folder)
