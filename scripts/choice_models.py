"""Two small models of other shapes than the built-in one, pre-trained here, for `measure_choice.py`.

Both have the built-in tokenizer and window, because the tasks of a certificate need room. What differs is what a choice
of method depends on: how many pairs there are, how fast they turn, and how many channels they turn at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import GPTNeoXConfig, LlamaConfig, PreTrainedConfig

from ropewalk import adapters
from ropewalk.adapters.source import BUILTIN
from ropewalk.cells.runs import recipe
from ropewalk.reproduce.bases import PretrainedBase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.run.runfile import RunFile

VOCABULARY, WINDOW = 4096, 256


@dataclass(frozen=True)
class GroupedQueries(adapters.Form):
    """A Llama with two query heads to a key head, short heads, and a higher base than the built-in model."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    key_heads: int = 2
    base: float = 2000.0

    def config(self) -> PreTrainedConfig:
        """16 pairs, of which 8 turn once in the window."""
        return LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=self.width,
            intermediate_size=344,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            head_dim=self.width // self.heads,
            max_position_embeddings=WINDOW,
            rope_parameters={"rope_type": "default", "rope_theta": self.base},
            tie_word_embeddings=True,
            **special_tokens(),
        )


@dataclass(frozen=True)
class PartialRotary(adapters.Form):
    """A GPT-NeoX of which half the channels of a head turn."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    base: float = 500.0
    share: float = 0.5

    def config(self) -> PreTrainedConfig:
        """8 pairs, of which 5 turn once in the window."""
        return GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=self.width,
            intermediate_size=512,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=WINDOW,
            rope_parameters={"rope_type": "default", "rope_theta": self.base, "partial_rotary_factor": self.share},
            tie_word_embeddings=True,
            **special_tokens(),
        )


def special_tokens() -> Mapping[str, int | None]:
    """As the built-in tokenizer has them."""
    tokenizer = adapters.load_tokenizer(BUILTIN)
    return {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def pretraining() -> RunFile:
    """That of the study of Position Interpolation's smaller base, until recall is sure enough to be certified."""
    return recipe("reproduce-pi-base", train={"steps": 6000})


MODELS = (
    PretrainedBase("grouped", "Llama, grouped queries, heads of 32", pretraining(), GroupedQueries()),
    PretrainedBase("partial", "GPT-NeoX, half of the channels turn", pretraining(), PartialRotary()),
)
